"""What of a user's index does not fit the history: found, counted, and put right.

The history is the truth. What it has and the index lacks is indexed; what the index has and the
history lacks is removed; what can't be read is deleted and made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.aws.capacity import NOTHING, Consumed, in_turn
from core.aws.requests import Query
from core.aws.table import query_pages
from core.clock import Clock
from core.memory import keys
from core.memory.catching_up import Catching, CaughtUp
from core.memory.chunks import user_chunk, user_chunks
from core.memory.index.block import NEVER
from core.memory.index.copies import Copies
from core.memory.index.partition import LOG, TERMS, IndexPartition, Read, kind_of
from core.memory.index.writer import IndexWriter
from core.memory.schema import USER_TIME_INDEX
from core.memory.scope import Scope, time_of_place
from core.memory.store import ConversationStore
from core.memory.sweeping import Grounds, Sweep

YOUNG_S = 3600.0
"""Parts whose head is not there yet may still get one, if they were begun so lately."""


@dataclass(frozen=True)
class Differences:
    """How a user's index differs from the history.

    `messages` stand in the history. `unindexed` of them are not in the index, `without_vector`
    have no vector of the model in use, `without_item` no vector and text of their own.
    `orphaned_entries` and `orphaned_vectors` are of messages that are gone, `orphaned_parts` parts
    of large messages that were never finished; `damaged` says which entries can't be read.
    """

    messages: int
    unindexed: int
    without_vector: int
    without_item: int
    orphaned_entries: int
    orphaned_vectors: int
    orphaned_parts: int
    damaged: tuple[str, ...]
    consumed: Consumed

    @property
    def any(self) -> bool:
        """Whether anything differs."""
        return bool(self.damaged) or any(self.counts().values())

    def counts(self) -> Mapping[str, int]:
        """The differences by kind."""
        return {
            "unindexed": self.unindexed,
            "without_vector": self.without_vector,
            "without_item": self.without_item,
            "orphaned_entries": self.orphaned_entries,
            "orphaned_vectors": self.orphaned_vectors,
            "orphaned_parts": self.orphaned_parts,
            "damaged": len(self.damaged),
        }


@dataclass(frozen=True)
class Repaired:
    """What differed, and what was done; `missing` says in sentences what could not be."""

    found: Differences
    indexed: int
    embedded: int
    missing: tuple[str, ...]
    consumed: Consumed


@dataclass(frozen=True)
class _Found:
    """The sort keys by what is the matter with them; of dead items their partition as well."""

    messages: int
    unindexed: frozenset[str]
    bare: frozenset[str]
    no_item: frozenset[str]
    dead_rows: frozenset[str]
    dead_items: frozenset[tuple[str, str]]
    damaged: tuple[str, ...]
    consumed: Consumed


def _quiet(_: int) -> None:
    pass


class Auditor:
    """Holds users' indexes against their histories. Thread-safe; may be killed and run again."""

    def __init__(
        self,
        grounds: Grounds,
        store: ConversationStore,
        writer: IndexWriter,
        copies: Copies,
        catching: Catching,
        model: tuple[str, int],
        clock: Clock,
    ) -> None:
        self._grounds = grounds
        self._partition = IndexPartition(grounds.embeddings)
        self._store = store
        self._writer = writer
        self._copies = copies
        self._catching = catching
        self._model = model
        self._clock = clock

    def check(self, user_id: str) -> Differences:
        """Counts what differs; changes nothing.

        Raises:
            UsageError: an id that no message can have.
        """
        keys.check_user(user_id)
        found = self._look(user_id)
        parts = self._parts(user_id, delete=False)
        return _differences(found, *parts)

    def repair(self, user_id: str, *, each: Callable[[int], None] = _quiet) -> Repaired:
        """Puts right what differs; `each` is told how many messages were looked at.

        Raises:
            UsageError: an id that no message can have.
        """
        keys.check_user(user_id)
        found = self._look(user_id)
        consumed = self._partition.delete(user_id, sorted(_damaged_runs(found.damaged)))
        # What this process knows of the damaged runs would hide that they are to be made again.
        self._copies.drop(user_id)
        consumed += self._remove_dead(user_id, found)
        parts, cost = self._parts(user_id, delete=True)
        again = self._catching.index_places(user_id, sorted(found.no_item))
        done = self._catching.catch_up(user_id, each=each)
        return Repaired(
            _differences(found, parts, cost),
            again.indexed + done.indexed,
            done.embedded,
            CaughtUp.plus(again, done).missing,
            in_turn((found.consumed, cost, consumed, again.consumed, done.consumed)),
        )

    def remove_orphans(self, user_id: str) -> Consumed:
        """Removes only what belongs to messages that are gone."""
        found = self._look(user_id)
        consumed = found.consumed + self._remove_dead(user_id, found)
        return consumed + self._parts(user_id, delete=True)[1]

    def _remove_dead(self, user_id: str, found: _Found) -> Consumed:
        consumed = NOTHING
        if found.dead_rows:
            consumed += self._writer.remove(user_id, sorted(found.dead_rows))
        if found.dead_items:
            dead = [
                {"user_chunk": chunk, "embedding_id": place}
                for chunk, place in sorted(found.dead_items)
            ]
            consumed += self._grounds.embeddings.batch_write((), dead)
        return consumed

    def _parts(self, user_id: str, *, delete: bool) -> tuple[int, Consumed]:
        sweep = Sweep(self._grounds, self._writer, Scope(user_id), delete=delete)
        swept = sweep.parts_without_heads(self._clock.time() - YOUNG_S)
        return swept.counts.get("message_parts", 0), swept.consumed

    def _look(self, user_id: str) -> _Found:
        read = self._partition.read_exactly(user_id)
        terms = [run.key for run in read.runs if run.terms is None]
        words = self._partition.all_terms(user_id, terms)
        known = words.by_key.keys() | _damaged_runs(words.damaged)
        lost = [f"{key}: Its terms are gone." for key in terms if key not in known]
        rows = self._rows(read)
        stored, cost = self._item_keys(user_id)
        items = {place for chunk, place in stored if chunk == user_chunk(user_id, place)}
        listed, listing = self._listed(user_id)
        gone, asking = self._gone(user_id, (set(rows) | items) - listed)
        standing = (set(rows) | listed) - gone
        unindexed, looking = self._living(user_id, standing - set(rows))
        bare, reading = self._with_text(user_id, {p for p in rows if not rows[p]} & standing)
        return _Found(
            messages=len(standing),
            unindexed=frozenset(unindexed),
            bare=frozenset(bare),
            no_item=frozenset((set(rows) & standing) - items),
            dead_rows=frozenset(set(rows) & gone),
            # One in a partition that is not its own is found by nobody.
            dead_items=frozenset(
                (chunk, place)
                for chunk, place in stored
                if place in gone or chunk != user_chunk(user_id, place)
            ),
            damaged=(*read.damaged, *words.damaged, *lost),
            consumed=in_turn(
                (read.consumed, words.consumed, cost, listing, asking, looking, reading)
            ),
        )

    def _rows(self, read: Read) -> dict[str, bool]:
        """The sort keys that the index shows, and whether each has a vector of the model."""
        now_s = self._clock.time()
        found: dict[str, bool] = {}
        for run in read.runs:
            block = run.block
            comparable = (block.model, block.dimensions) == self._model
            for n in range(len(block)):
                expired = block.expires[n] != NEVER and block.expires[n] <= now_s
                if kind_of(run.key) == "x" or expired:
                    found.pop(block.place(n), None)
                else:
                    found[block.place(n)] = bool(block.coded[n]) and comparable
        return found

    def _item_keys(self, user_id: str) -> tuple[set[tuple[str, str]], Consumed]:
        found: set[tuple[str, str]] = set()
        consumed = NOTHING
        for chunk in user_chunks(user_id):
            query = Query(chunk, attributes=("embedding_id", "ttl"), consistent=True)
            for page in query_pages(self._grounds.embeddings, query):
                consumed += page.consumed
                places = (str(i["embedding_id"]) for i in page.items if not self._expired(i))
                found |= {(chunk, place) for place in places}
        return found, consumed

    def _listed(self, user_id: str) -> tuple[set[str], Consumed]:
        """The sort keys that the history's index lists; what it has missed yet is looked at."""
        query = Query(user_id, index=USER_TIME_INDEX, attributes=("timestamp_type",))
        pages = list(query_pages(self._grounds.history, query))
        places = {str(entry["timestamp_type"]) for page in pages for entry in page.items}
        return places, in_turn(page.consumed for page in pages)

    def _gone(self, user_id: str, places: Iterable[str]) -> tuple[set[str], Consumed]:
        """Those of the sort keys at which nothing stands this moment."""
        gone: set[str] = set()
        consumed = NOTHING
        for place in places:
            day = keys.user_date(user_id, time_of_place(place))
            key = {"user_date": day, "timestamp_type": place}
            got = self._grounds.history.get(key, consistent=True)
            consumed += got.consumed
            if got.item is None:
                gone.add(place)
        return gone, consumed

    def _living(self, user_id: str, places: set[str]) -> tuple[set[str], Consumed]:
        read = self._store.read_places(user_id, sorted(places))
        return {place for place, _ in read.items}, read.consumed

    def _with_text(self, user_id: str, places: set[str]) -> tuple[set[str], Consumed]:
        read = self._store.read_places(user_id, sorted(places))
        return {place for place, m in read.items if m.content.strip()}, read.consumed

    def _expired(self, item: Mapping[str, Any]) -> bool:
        return item.get("ttl") is not None and int(item["ttl"]) <= self._clock.time()


def _differences(found: _Found, parts: int, cost: Consumed) -> Differences:
    return Differences(
        found.messages,
        len(found.unindexed),
        len(found.bare),
        len(found.no_item),
        len(found.dead_rows),
        len(found.dead_items),
        parts,
        found.damaged,
        found.consumed + cost,
    )


def _damaged_runs(damaged: Iterable[str]) -> set[str]:
    """The keys of runs that can't be read, or whose terms can't."""
    named = (sentence.split(": ", 1)[0] for sentence in damaged)
    return {LOG + key.removeprefix(TERMS) if key.startswith(TERMS) else key for key in named}
