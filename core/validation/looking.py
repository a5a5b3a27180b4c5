"""Strong reads of what stands this moment: messages, vectors, rows, parts. Thread-safe."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from core.aws.capacity import Consumed
from core.aws.requests import Key, KeyRange, Query
from core.aws.table import Table, query_pages
from core.memory import keys
from core.memory.chunks import user_chunk
from core.memory.index.partition import IndexPartition, Read, partition_of, terms_key
from core.memory.items import part_prefix, places_of_note
from core.memory.scope import time_of_place
from core.transfer.budget import Budget
from core.validation.reading import (
    HASH_CHARS,
    HeadSeen,
    NoteSeen,
    content_trouble,
    inflate,
    message_id_of,
    read_history,
    summaries_agree,
)
from core.validation.reading_vectors import (
    Row,
    VectorSeen,
    place_is_sound,
    read_embeddings,
    rows_of_block,
)

Item = Mapping[str, Any]
_DENSE = 3
"""From so many items of a partition on, a range of it is read in place of each by itself."""


class Looker:
    """Reads strongly, and pays for it from the budget. Raises what `Table` raises."""

    def __init__(self, history: Table, embeddings: Table, budget: Budget) -> None:
        self.history, self.embeddings = history, embeddings
        self._budget = budget
        self._lock = threading.Lock()
        self.units = 0.0

    def item(self, source: str, partition: str, sort: str) -> Item | None:
        """An item of the table that a ledger calls `source`."""
        table = self.history if source == "history" else self.embeddings
        return self._get(table, dict(zip(table.schema.keys, (partition, sort), strict=True)))

    def head(self, user: str, place: str) -> Item | None:
        """The message at a sort key, on its day; None where no message can stand there."""
        if not place_is_sound(place):
            return None
        return self._get(self.history, head_key(user, place))

    def vector(self, user: str, place: str) -> Item | None:
        """The vector and text of a message, where they belong."""
        key = {"user_chunk": user_chunk(user, place), "embedding_id": place}
        return self._get(self.embeddings, key)

    def head_seen(self, user: str, place: str) -> HeadSeen | None:
        """As `head`, looked at."""
        item = self.head(user, place)
        seen = None if item is None else read_history(item)
        return seen if isinstance(seen, HeadSeen) else None

    def vectors_seen(self, user: str, places: Sequence[str]) -> dict[str, VectorSeen]:
        """The vectors and texts of messages, where they belong, looked at."""
        keys_ = [(user_chunk(user, place), place) for place in places]
        seen = {i["embedding_id"]: read_embeddings(i) for i in self._some(self.embeddings, keys_)}
        return {place: v for place, v in seen.items() if isinstance(v, VectorSeen)}

    def heads_seen(self, user: str, places: Sequence[str]) -> dict[str, HeadSeen]:
        """The messages at sort keys, on their days, looked at."""
        sound = [head_key(user, place) for place in places if place_is_sound(place)]
        keys_ = [(key["user_date"], key["timestamp_type"]) for key in sound]
        seen = {i["timestamp_type"]: read_history(i) for i in self._some(self.history, keys_)}
        return {place: h for place, h in seen.items() if isinstance(h, HeadSeen)}

    def runs(self, user: str) -> Read:
        """All of a user's index."""
        read = IndexPartition(self.embeddings).read_exactly(user)
        self._spend(read.consumed)
        return read

    def rows(self, user: str, now_s: float) -> dict[str, Row]:
        """What a user's index shows, by place."""
        shown: dict[str, Row] = {}
        for run in self.runs(user).runs:
            for row in rows_of_block(run.block, run.key):
                if row.removed or 0 < row.ttl <= now_s:
                    shown.pop(row.place, None)
                else:
                    shown[row.place] = row
        return shown

    def lacks_terms(self, user: str, run: str) -> bool:
        """Whether a segment stands whose words are missing."""
        partition = partition_of(user)
        segment = self.item("embeddings", partition, run)
        if segment is None or "terms" in segment:
            return False
        return self.item("embeddings", partition, terms_key(run)) is None

    def content_kind(self, head: Item) -> str | None:
        """What is wrong with a content in parts: its kind, or None."""
        content = self.whole(head)
        if content is None:
            return "content_lost"
        trouble = content_trouble(head, content)
        return trouble or (None if summaries_agree(head, content) else "wrong_summary")

    def whole(self, head: Item) -> str | None:
        """The content of a message in parts; None where it can't be put together."""
        partition = keys.parts_partition(head["user_id"], message_id_of(head))
        parts = self.query(partition, part_prefix(head))
        held = [part.get("part") for part in parts]
        if len(held) != head["content_parts"]:
            return None
        whole = [part for part in held if isinstance(part, bytes)]
        return inflate(b"".join(whole)) if len(whole) == len(held) else None

    def notes(self, user: str, message_id: str, digest: str) -> list[tuple[NoteSeen, Item]]:
        """The notes of the parts of one content."""
        items = self.query(keys.notes_partition(user))
        seen = [(read_history(item), item) for item in items]
        return [
            (note, item)
            for note, item in seen
            if isinstance(note, NoteSeen)
            and (note.message_id, note.digest[:HASH_CHARS]) == (message_id, digest)
        ]

    def stands_by(self, user: str, note: Item) -> bool:
        """Whether something stands where a note's message may, under its id or damaged."""
        for place in places_of_note(note):
            item = self.head(user, place)
            if (
                item is not None
                and item.get("message_id", note["message_id"]) == note["message_id"]
            ):
                return True
        return False

    def query(self, partition: str, prefix: str | None = None) -> Sequence[Item]:
        """A partition of the history, or what of it begins with `prefix`."""
        key_range = KeyRange() if prefix is None else KeyRange(prefix=prefix)
        found: list[Item] = []
        for page in query_pages(self.history, Query(partition, key_range, consistent=True)):
            self._spend(page.consumed)
            found += page.items
        return found

    def _some(self, table: Table, wanted: Iterable[tuple[str, str]]) -> Iterator[Item]:
        """Items by partition and sort key; many of one partition are read as a range.

        A range is read no further than twice what is wanted of it.
        """
        by_partition: defaultdict[str, list[str]] = defaultdict(list)
        for partition, sort in wanted:
            by_partition[partition].append(sort)
        hash_key, sort_key = table.schema.keys
        for partition, sorts in by_partition.items():
            left = set(sorts)
            if len(sorts) >= _DENSE:
                bounds = KeyRange(min(sorts), max(sorts))
                query = Query(partition, bounds, limit=2 * len(sorts), consistent=True)
                page = table.query(query)
                self._spend(page.consumed)
                yield from (item for item in page.items if item[sort_key] in left)
                if page.next_key is None:
                    continue
                left = {sort for sort in left if sort > str(page.next_key[sort_key])}
            for sort in sorted(left):
                item = self._get(table, {hash_key: partition, sort_key: sort})
                if item is not None:
                    yield item

    def _get(self, table: Table, key: Key) -> Item | None:
        got = table.get(key, consistent=True)
        self._spend(got.consumed)
        return got.item

    def _spend(self, consumed: Consumed) -> None:
        with self._lock:
            self.units += consumed.read_units
        self._budget.spend(consumed.read_units)


def head_key(user: str, place: str) -> dict[str, str]:
    """Where the message of a sound sort key stands."""
    return {"user_date": keys.user_date(user, time_of_place(place)), "timestamp_type": place}
