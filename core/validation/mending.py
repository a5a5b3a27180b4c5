"""A user's index and vectors brought in line with the messages that stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from core.aws.capacity import NOTHING, Consumed
from core.aws.requests import Change
from core.aws.table import Table, batches
from core.clock import Clock
from core.errors import ConditionFailedError, DamagedError
from core.llm.embedder import FloatArray
from core.memory.index.partition import BEGUN, LOG, TERMS, IndexPartition, partition_of
from core.memory.index.rows import Indexed
from core.memory.model import Message
from core.memory.parts import Parts
from core.validation.confirming import Between, look_between
from core.validation.ledger import Mark
from core.validation.looking import Item, Looker
from core.validation.moving import unchanged
from core.validation.reading_vectors import RunSeen, read_embeddings

GONE = frozenset({"row_without_message", "expired_indexed"})
AGAIN = frozenset({"unindexed", "row_without_item", "row_disagrees", "stale_vector"})
BROKEN = frozenset({"damaged_vector", "foreign_vector"})
DIFFERING = frozenset({"vector_disagrees", "expiry_disagrees"})
_AT_ONCE = 128
_ABOUT = ("session_id", "message_id", "timestamp", "role")


class Mender:
    """Mends one user after the other. For one thread.

    The history is the truth: all that is written here is made from it.
    """

    def __init__(self, embeddings: Table, looker: Looker, parts: Parts, clock: Clock) -> None:
        self._table, self._looker = embeddings, looker
        self._parts, self._clock = parts, clock
        self._partition = IndexPartition(embeddings)
        self.consumed: Consumed = NOTHING
        self.left: dict[str, None] = {}

    def mend(self, user: str, marks: Sequence[Mark], moved: Iterable[str] = ()) -> None:
        """Puts right what was found of a user, as it stands this moment.

        `moved` are sort keys at which messages stand now, or stood.
        """
        places = {m.sort for m in marks if m.kind not in ("damaged_entry", "unfinished_parts")}
        places |= set(moved)
        for mark in marks:
            if mark.kind == "damaged_entry":
                places |= self._drop_entry(user, mark.sort)
            elif mark.kind == "misplaced_vector":
                self._drop(self._looker.item(mark.source, mark.partition, mark.sort))
        self._parts.copies.drop(user)
        self._mend(user, sorted(places))
        self._parts.invalidate(user)

    def _mend(self, user: str, places: Sequence[str]) -> None:
        now_s = self._clock.time()
        rows = self._looker.rows(user, now_s)
        for some in batches(places, _AT_ONCE):
            found = look_between(self._looker, user, some, rows, now_s)
            gone = [place for place, between in found.items() if between.kinds & GONE]
            if gone:
                self.consumed += self._parts.writer.remove(user, gone)
            self._remake(user, {p: b for p, b in found.items() if _is_to_be_remade(b, now_s)})
            for place, between in found.items():
                self._vector(user, place, between, now_s)

    def _vector(self, user: str, place: str, between: Between, now_s: float) -> None:
        head, item = between.head, between.item
        if item is None:
            return
        kinds = item.kinds | between.kinds
        if head is None:
            if kinds & (BROKEN | {"vector_without_message"}):
                self._drop(self._looker.vector(user, place))
        elif 0 < head.ttl <= now_s and kinds & (BROKEN | AGAIN):
            # Of an expired message nothing is made again.
            self._drop(self._looker.vector(user, place))
        elif kinds & DIFFERING and not _is_to_be_remade(between, now_s):
            self._correct(user, place)

    def _correct(self, user: str, place: str) -> None:
        """Writes what a vector says of its message anew, and leaves the vector as it is."""
        item, head = self._looker.vector(user, place), self._looker.head(user, place)
        if item is None or head is None:
            return
        right = {name: head[name] for name in _ABOUT if name in head}
        ttl = head.get("ttl")
        change = Change(
            set=right if ttl is None else {**right, "ttl": ttl},
            remove=("ttl",) if ttl is None and "ttl" in item else (),
        )
        key = {"user_chunk": item["user_chunk"], "embedding_id": place}
        try:
            self.consumed += self._table.update(key, change, unchanged(item)).consumed
        except ConditionFailedError:
            return  # saved anew meanwhile

    def _remake(self, user: str, found: Mapping[str, Between]) -> None:
        """Indexes messages again, with the vectors that they have where those are of use."""
        if not found:
            return
        messages = self._messages(user, sorted(found))
        kept = {place: self._kept(user, place, found[place]) for place in messages}
        wanted = [place for place in messages if kept[place] is None]
        embedded = self._parts.saver.embed([messages[place] for place in wanted])
        if embedded.missing:
            self.left[embedded.missing] = None
        vectors = {**kept, **dict(zip(wanted, embedded.vectors, strict=True))}
        indexed = [
            Indexed(m, place, vectors[place])
            for place, m in messages.items()
            # One of another model is worth more than none, while this one can't be asked.
            if vectors[place] is not None or not _is_whole(found[place])
        ]
        self.consumed += self._parts.writer.add(user, indexed) + self._parts.writer.seal(user)

    def _messages(self, user: str, places: Sequence[str]) -> dict[str, Message]:
        try:
            return dict(self._parts.store.read_places(user, places).items)
        except DamagedError as error:
            if len(places) == 1:
                self.left[error.what] = None
                return {}
        return {p: m for place in places for p, m in self._messages(user, [place]).items()}

    def _kept(self, user: str, place: str, between: Between) -> FloatArray | None:
        if not _is_whole(between):
            return None
        batch = self._parts.items.fetch(user, [place])
        found = batch.messages.get(place)
        return None if found is None else found.vector

    def _drop(self, item: Item | None) -> None:
        if item is None:
            return
        key = {name: item[name] for name in ("user_chunk", "embedding_id")}
        try:
            self.consumed += self._table.delete(key, unchanged(item)).consumed
        except ConditionFailedError:
            return  # saved anew meanwhile

    def _drop_entry(self, user: str, sort: str) -> set[str]:
        """Deletes a damaged entry of the index; answers the sort keys that it named."""
        if sort == BEGUN:
            # A new one is drawn by who writes next: copies made before are worth nothing then.
            self._drop(self._looker.item("embeddings", partition_of(user), BEGUN))
            return set()
        run = LOG + sort.removeprefix(TERMS) if sort.startswith(TERMS) else sort
        item = self._looker.item("embeddings", partition_of(user), run)
        seen = None if item is None else read_embeddings(item)
        self.consumed += self._partition.delete(user, [run])
        return {row.place for row in seen.rows} if isinstance(seen, RunSeen) else set()


def _is_whole(between: Between) -> bool:
    """Whether a message's vector stands, can be read, and is of its content."""
    item = between.item
    return (
        item is not None
        and item.has_vector
        and not item.kinds
        and "stale_vector" not in between.kinds
    )


def _is_to_be_remade(between: Between, now_s: float) -> bool:
    head, item, row = between.head, between.item, between.row
    if head is None or head.about is None or 0 < head.ttl <= now_s:
        return False
    broken = item is not None and bool(item.kinds & BROKEN)
    late = "expiry_disagrees" in between.kinds and row is not None and row.ttl != head.ttl
    return bool(between.kinds & AGAIN) or broken or late
