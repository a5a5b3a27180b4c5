"""One pass over all places where something of a user stands: found, and deleted where wanted.

Reads of tables are consistent. Whoever is killed is taken up by a second run: nothing is deleted
before that which is found by it alone. A row of the index is found by its message, and goes before
it; vectors and the notes of parts name their message themselves.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.aws.capacity import NOTHING, Consumed
from core.aws.requests import Key, KeyRange, Query
from core.aws.table import Table, query_pages
from core.errors import NotFoundError
from core.memory import keys
from core.memory.chunks import user_chunks
from core.memory.index.partition import IndexPartition, kind_of, partition_of, time_of
from core.memory.index.writer import IndexWriter
from core.memory.items import part_prefix, places_of_note
from core.memory.schema import SESSION_INDEX, USER_TIME_INDEX
from core.memory.scope import Scope, time_of_place

_HEAD = (
    *("user_date", "timestamp_type", "user_id", "session_id", "message_id"),
    *("content_hash", "content_parts"),
)
_ITEM = ("user_chunk", "embedding_id", "session_id", "message_id")


@dataclass(frozen=True)
class Grounds:
    """The tables that hold something of users; those of `legacy` may not be deployed.

    Nor those of `opaque`, whose keys don't tell whose an item is.
    """

    history: Table
    embeddings: Table
    legacy: tuple[Table, ...] = ()
    opaque: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Swept:
    """What one pass found, by kind; `deleted` tells whether it is gone now.

    `newest_us` is when the newest of it was written, as far as that is known. `legacy` names the
    legacy tables that stand, `opaque` those that can't be searched by user; `damaged` the parts of
    the index that could not be looked into, `generations` the other indexes that were.
    """

    counts: Mapping[str, int]
    places: frozenset[str]
    newest_us: int
    legacy: tuple[str, ...]
    opaque: tuple[str, ...]
    damaged: tuple[str, ...]
    consumed: Consumed
    generations: tuple[str, ...] = ()

    def with_index(self, other: Swept) -> Swept:
        """And what another index held."""
        kinds = {*self.counts, *other.counts}
        return dataclasses.replace(
            self,
            counts={k: self.counts.get(k, 0) + other.counts.get(k, 0) for k in kinds},
            newest_us=max(self.newest_us, other.newest_us),
            damaged=(*self.damaged, *other.damaged),
            consumed=other.consumed + self.consumed,
        )

    @property
    def nothing(self) -> bool:
        """Whether nothing was found."""
        return not any(self.counts.values())


class Sweep:
    """A pass for one scope; run it once. Raises what `Table` raises."""

    def __init__(
        self,
        grounds: Grounds,
        writer: IndexWriter,
        scope: Scope,
        own: Iterable[str] = (),
        *,
        delete: bool,
    ) -> None:
        """`own` are sort keys of messages that are known to stand though no index may show them."""
        self._grounds = grounds
        self._writer = writer
        self._scope = scope
        self._own = tuple(own)
        self._delete = delete
        self._counts: Counter[str] = Counter()
        self._consumed = NOTHING
        self._newest_us = 0
        self._indexed: dict[str, int] = {}
        self._gone: set[str] = set()
        self._large: set[tuple[str, str]] = set()
        self._legacy: list[str] = []
        self._opaque: list[str] = []
        self._damaged: tuple[str, ...] = ()

    def run(self) -> Swept:
        """Finds, and deletes if that was asked for."""
        if self._scope.whole:
            self._all()
        else:
            self._some()
        if self._scope.legacy:
            for table in self._grounds.legacy:
                self._from_legacy(table)
            self._opaque += [t.schema.name for t in self._grounds.opaque if self._is_there(t)]
        return self._swept(self._gone)

    def parts_without_heads(self, noted_before_s: float) -> Swept:
        """Only the parts that no message needs, of messages that were begun before an instant."""
        notes = [n for n in self._notes() if float(n.get("noted_at", 0)) < noted_before_s]
        self._large = {
            (str(n["message_id"]), str(n["content_hash"])) for n in notes if not self._stands(n)
        }
        self._unneeded_parts(self._large)
        return Swept(dict(self._counts), frozenset(), 0, (), (), (), self._consumed)

    def _swept(self, places: Iterable[str]) -> Swept:
        return Swept(
            dict(self._counts),
            frozenset(places),
            self._newest_us,
            tuple(self._legacy),
            tuple(self._opaque),
            self._damaged,
            self._consumed,
        )

    def _all(self) -> None:
        user = self._scope.user_id
        notes = self._notes()
        days = {*self._listed_days(), *self._days(self._rows()), *self._days(self._own)}
        days |= set(self._days(str(note["timestamp_type"]) for note in notes))
        self._messages(days)
        self._partition(self._grounds.embeddings, partition_of(user), "index_entries")
        found: set[str] = set()
        for page in self._items():
            found |= set(self._days(str(item["embedding_id"]) for item in page))
            self._remove(self._grounds.embeddings, page, "vectors")
        self._messages(found - days)
        ids = {str(note["message_id"]) for note in notes} | {id_ for id_, _ in self._large}
        for message_id in sorted(ids):
            self._partition(
                self._grounds.history, keys.parts_partition(user, message_id), "message_parts"
            )
        # Only these: a note that came meanwhile tells the next pass of parts that come still.
        self._remove(self._grounds.history, notes, "part_notes")

    def _some(self) -> None:
        rows = self._rows()
        items = [item for page in self._items() for item in page]
        named = {str(item["embedding_id"]) for item in items}
        known = (*rows, *named, *self._own)
        days = {*self._listed_days(), *self._days(known)}
        heads = [head for page in self._heads(days) for head in page]
        self._note_heads(heads)
        self._from_index(sorted({*rows, *named, *self._gone}))
        self._remove(self._grounds.history, heads, "messages")
        self._remove(self._grounds.embeddings, items, "vectors")
        self._parts_of_some()

    def _from_index(self, places: Sequence[str]) -> None:
        indexed = [place for place in places if place in self._indexed]
        self._counts["index_entries"] += len(indexed)
        if self._delete and places:
            self._consumed += self._writer.remove(self._scope.user_id, places)

    def _rows(self) -> set[str]:
        """The sort keys in scope that the index names."""
        read = IndexPartition(self._grounds.embeddings).read_exactly(self._scope.user_id)
        self._spend(read.consumed)
        self._damaged = read.damaged
        last: dict[str, tuple[str, int]] = {}
        for run in read.runs:
            block = run.block
            if kind_of(run.key) != "x":
                for n in range(len(block)):
                    session = block.sessions[block.session_of[n]]
                    last[block.place(n)] = (session, time_of(run.key))
        self._indexed = {place: at_us for place, (_, at_us) in last.items()}
        found = {place for place, (session, _) in last.items() if self._covers(place, session)}
        self._newest_us = max([self._newest_us, *(self._indexed[place] for place in found)])
        return found

    def _covers(self, place: str, session: str | None, message_id: str | None = None) -> bool:
        return self._scope.covers(place, session, message_id)

    def _listed_days(self) -> Iterator[str]:
        """The partitions of days that an index lists for the scope; it may lag."""
        scope = self._scope
        if scope.places is not None:
            yield from self._days(scope.places)
            return
        if scope.session_id is not None:
            query = Query(scope.session_id, index=SESSION_INDEX, attributes=("user_date",))
        else:
            high = None if scope.before_us is None else scope.before_us - 1
            query = Query(
                scope.user_id,
                KeyRange(high=high),
                index=USER_TIME_INDEX,
                attributes=("user_date",),
            )
        prefix = keys.user_prefix(scope.user_id)
        for page in query_pages(self._grounds.history, query):
            self._spend(page.consumed)
            days = (str(entry["user_date"]) for entry in page.items)
            yield from (day for day in days if day.startswith(prefix))

    def _days(self, places: Iterable[str]) -> Iterator[str]:
        for place in places:
            yield keys.user_date(self._scope.user_id, time_of_place(place))

    def _messages(self, days: Iterable[str]) -> None:
        for heads in self._heads(days):
            self._note_heads(heads)
            self._remove(self._grounds.history, heads, "messages")

    def _heads(self, days: Iterable[str]) -> Iterator[list[dict[str, Any]]]:
        """The messages in scope of these days, a page at a time."""
        for day in sorted(days):
            query = Query(day, self._bounds(), attributes=_HEAD, consistent=True)
            for page in query_pages(self._grounds.history, query):
                self._spend(page.consumed)
                yield [head for head in page.items if self._is_meant(head)]

    def _bounds(self) -> KeyRange:
        scope = self._scope
        if scope.places:
            return KeyRange(low=min(scope.places), high=max(scope.places))
        if scope.before_us is not None:
            return KeyRange(high=f"{scope.before_us:016d}")
        return KeyRange()

    def _is_meant(self, head: Mapping[str, Any]) -> bool:
        place = str(head["timestamp_type"])
        return self._covers(place, head.get("session_id"), head.get("message_id"))

    def _note_heads(self, heads: Sequence[Mapping[str, Any]]) -> None:
        for head in heads:
            place = str(head["timestamp_type"])
            self._newest_us = max(self._newest_us, self._indexed.get(place, time_of_place(place)))
            if not self._scope.whole:
                self._gone.add(place)
            if "content_parts" in head:
                self._large.add((str(head["message_id"]), str(head["content_hash"])))

    def _items(self) -> Iterator[list[dict[str, Any]]]:
        """The items in scope with texts and vectors, a page at a time."""
        for chunk in user_chunks(self._scope.user_id):
            query = Query(chunk, self._bounds(), attributes=_ITEM, consistent=True)
            for page in query_pages(self._grounds.embeddings, query):
                self._spend(page.consumed)
                yield [
                    item
                    for item in page.items
                    if self._scope.whole
                    or self._covers(
                        str(item["embedding_id"]), item.get("session_id"), item.get("message_id")
                    )
                ]

    def _notes(self) -> list[dict[str, Any]]:
        query = Query(keys.notes_partition(self._scope.user_id), consistent=True)
        pages = list(query_pages(self._grounds.history, query))
        for page in pages:
            self._spend(page.consumed)
        return [item for page in pages for item in page.items]

    def _parts_of_some(self) -> None:
        meant = [note for note in self._notes() if self._note_is_meant(note)]
        named = {(str(n["message_id"]), str(n["content_hash"])) for n in meant}
        self._unneeded_parts(named | self._large)

    def _unneeded_parts(self, groups: Iterable[tuple[str, str]]) -> None:
        notes = self._notes()
        for group in sorted(groups):
            message_id, digest = group
            # The same text under the same id at another time has the same parts.
            like = [n for n in notes if (n["message_id"], n["content_hash"]) == group]
            dead = [note for note in like if not self._stands(note)]
            if len(dead) == len(like):
                partition = keys.parts_partition(self._scope.user_id, message_id)
                prefix = part_prefix({"content_hash": digest})
                self._partition(self._grounds.history, partition, "message_parts", prefix)
            self._remove(self._grounds.history, dead, "part_notes")

    def _note_is_meant(self, note: Mapping[str, Any]) -> bool:
        session, message_id = note.get("session_id"), note.get("message_id")
        return any(self._covers(place, session, message_id) for place in places_of_note(note))

    def _stands(self, note: Mapping[str, Any]) -> bool:
        for place in places_of_note(note):
            day = keys.user_date(self._scope.user_id, time_of_place(place))
            key = {"user_date": day, "timestamp_type": place}
            got = self._grounds.history.get(key, consistent=True)
            self._spend(got.consumed)
            same = got.item is not None and got.item.get("message_id") == note["message_id"]
            if same and place not in self._gone:
                return True
        return False

    def _partition(self, table: Table, value: str, kind: str, prefix: str | None = None) -> None:
        """Deletes a partition, or what of it begins with `prefix`."""
        key_range = KeyRange() if prefix is None else KeyRange(prefix=prefix)
        query = Query(value, key_range, attributes=table.schema.keys, consistent=True)
        for page in query_pages(table, query):
            self._spend(page.consumed)
            self._remove(table, page.items, kind)

    def _from_legacy(self, table: Table) -> None:
        query = Query(
            self._scope.user_id,
            attributes=(*table.schema.keys, "session_id", "message_id"),
            consistent=True,
        )
        try:
            for page in query_pages(table, query):
                self._spend(page.consumed)
                meant = [item for item in page.items if self._legacy_is_meant(item)]
                self._remove(table, meant, "legacy_items")
        except NotFoundError:
            return
        self._legacy.append(table.schema.name)

    def _is_there(self, table: Table) -> bool:
        try:
            self._spend(table.get(dict.fromkeys(table.schema.keys, "-")).consumed)
        except NotFoundError:
            return False
        return True

    def _legacy_is_meant(self, item: Mapping[str, Any]) -> bool:
        scope = self._scope
        if scope.session_id is not None:
            return bool(item.get("session_id") == scope.session_id)
        if scope.message_id is not None:
            return scope.message_id in (item.get("sort_key"), item.get("message_id"))
        return True

    def _remove(self, table: Table, items: Sequence[Mapping[str, Any]], kind: str) -> None:
        found: list[Key] = [{name: item[name] for name in table.schema.keys} for item in items]
        self._counts[kind] += len(found)
        if self._delete and found:
            self._consumed += table.batch_write((), found)

    def _spend(self, consumed: Consumed) -> None:
        self._consumed += consumed
