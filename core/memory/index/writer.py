"""Putting messages into the index: items, a run of the log, and now and then a segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.aws.capacity import NOTHING, Consumed
from core.aws.table import Table, batches
from core.clock import Clock, Ids
from core.memory.index.copies import Copies
from core.memory.index.copy import UserIndex
from core.memory.index.items import MessageItems
from core.memory.index.partition import (
    FORGOTTEN_DAYS,
    LOG,
    SEGMENT_ROWS,
    IndexPartition,
    kind_of,
    time_of,
)
from core.memory.index.rows import Indexed, Rows, chosen, joined, removal_of, rows_of
from core.memory.keys import LATEST_US, MICROSECONDS

_DAY_S = 86_400


class IndexWriter:
    """Writes what was stored in the history into the index. Thread-safe; raises as `Table` does.

    All of it may be done twice. What is written here is known at once to searches of this process.
    """

    def __init__(
        self,
        embeddings: Table,
        copies: Copies,
        items: MessageItems,
        model: tuple[str, int],
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._table = embeddings
        self._partition = IndexPartition(embeddings)
        self._copies = copies
        self._items = items
        self._model = model
        self._clock = clock
        self._ids = ids

    def add(self, user_id: str, indexed: Sequence[Indexed]) -> Consumed:
        """Indexes messages of a user that stand in the history; large numbers as segments.

        Of messages of one place the last one holds. `seal` is to be called after it.
        """
        consumed = NOTHING
        # One request must not name a key twice.
        latest = list({one.place: one for one in indexed}.values())
        for some in batches(latest, SEGMENT_ROWS):
            consumed += self._add(user_id, some)
        return consumed

    def remove(self, user_id: str, places: Sequence[str]) -> Consumed:
        """Takes messages out: tells other processes, then rewrites what still names them."""
        index = self._copies.of(user_id)
        newest_us, consumed = self._partition.newest_us(user_id)
        with index.lock:
            # A removal holds only for keys below its own, whatever the clocks of others say.
            index.position.newest_us = max(index.position.newest_us, newest_us)
        for some in batches(places, SEGMENT_ROWS):
            removal = removal_of(some)
            key = self._next_key(index, "x")
            item = dict(self._partition.save_item(user_id, key, removal.block, removal.terms))
            item["ttl"] = int(self._clock.time()) + FORGOTTEN_DAYS * _DAY_S
            consumed += self._table.put(item).consumed
            with index.lock:
                index.apply(key, time_of(key), removal)
        return consumed + self._rewrite(user_id, set(places))

    def seal(self, user_id: str) -> Consumed:
        """Packs the saves known here into segments, if they are enough for one.

        What fails here is done by the next call: nothing is lost by it, nor hidden.
        """
        index = self._copies.of(user_id)
        with index.lock:
            runs = {key: rows for key, rows in index.unsealed.items() if self._ours(rows)}
        if sum(map(len, runs.values())) < SEGMENT_ROWS:
            return NOTHING
        consumed = self._drop_foreign(index, runs)
        if sum(map(len, runs.values())) < SEGMENT_ROWS:
            return consumed
        groups = _groups(runs)
        with index.lock:
            wholes = [_standing(index, joined([runs[key] for key in keys])) for keys in groups]
        segments = [(time_of(keys[-1]), rows) for keys, rows in zip(groups, wholes, strict=True)]
        consumed += self._put_segments(user_id, [(at, rows) for at, rows in segments if len(rows)])
        with index.lock:
            covered = [*(key for keys in groups for key in keys), *index.leftover]
            for key in covered:
                index.unsealed.pop(key, None)
            index.leftover.clear()
        return consumed + self._partition.delete(user_id, covered)

    def _add(self, user_id: str, indexed: Sequence[Indexed]) -> Consumed:
        index = self._copies.of(user_id)
        rows = rows_of(indexed, *self._model)
        key = self._next_key(index, "e")
        items = [self._items.item(one) for one in indexed]
        full = len(rows) >= SEGMENT_ROWS
        if not full:
            items.append(self._partition.save_item(user_id, key, rows.block, rows.terms))
        consumed = NOTHING
        if index.position.token is None:
            index.position.token, consumed = self._partition.begin(user_id, self._ids())
        consumed += self._table.batch_write(items)
        if full:
            consumed += self._put_segments(user_id, [(time_of(key), rows)])
        with index.lock:
            index.apply(key, time_of(key), rows)
            index.note(indexed)
            if not full:
                index.unsealed[key] = rows
        self._copies.shrink()
        return consumed

    def _drop_foreign(self, index: UserIndex, runs: dict[str, Rows]) -> Consumed:
        """Leaves out the runs that do not stand any more: sealed by somebody else, or forgotten.

        Sealed from memory, what was forgotten would come back.
        """
        read = self._partition.read_exactly(index.user_id, min(runs))
        standing = {r.key: Rows(r.block, r.terms) for r in read.runs if r.terms is not None}
        with index.lock:
            for run in read.runs:
                if kind_of(run.key) == "x":
                    index.apply(run.key, time_of(run.key), run.block)
            for key in list(runs):
                if key in standing:
                    runs[key] = standing[key]
                else:
                    del runs[key]
                    index.unsealed.pop(key, None)
        return read.consumed

    def _put_segments(self, user_id: str, segments: Sequence[tuple[int, Rows]]) -> Consumed:
        consumed = NOTHING
        put: dict[str, Rows] = {}
        for at_us, rows in segments:
            key, cost = self._partition.put_segment(user_id, at_us, rows.block, rows.terms)
            put[key] = rows
            consumed += cost
        if not put:
            return consumed
        # Somebody may have removed a message since its row was read here.
        late = self._partition.read_exactly(user_id, f"{min(put)} ")
        consumed += late.consumed
        gone = {
            run.block.place(n)
            for run in late.runs
            if kind_of(run.key) == "x"
            for n in range(len(run.block))
        }
        for key, rows in put.items():
            if not gone.isdisjoint(rows.block.place(n) for n in range(len(rows))):
                consumed += self._replace(user_id, key, rows, gone)
        return consumed

    def _rewrite(self, user_id: str, gone: set[str]) -> Consumed:
        """Writes every run that names one of the places anew, without it."""
        read = self._partition.read_exactly(user_id)
        consumed = read.consumed
        hit = [
            run
            for run in read.runs
            if kind_of(run.key) != "x"
            and not gone.isdisjoint(run.block.place(n) for n in range(len(run.block)))
        ]
        terms = self._partition.all_terms(user_id, [run.key for run in hit if run.terms is None])
        consumed += terms.consumed
        for run in hit:
            words = run.terms or terms.by_key.get(run.key) or removal_of(()).terms
            consumed += self._replace(user_id, run.key, Rows(run.block, words), gone)
        return consumed

    def _replace(self, user_id: str, key: str, rows: Rows, gone: set[str]) -> Consumed:
        kept = chosen(rows, [n for n in range(len(rows)) if rows.block.place(n) not in gone])
        consumed = NOTHING
        index = self._copies.of(user_id)
        with index.lock:
            known = index.unsealed.pop(key, None)
        if len(kept) and kind_of(key) == "s":
            _, consumed = self._partition.put_segment(user_id, time_of(key), kept.block, kept.terms)
        elif len(kept):
            # Over the run itself: a save keeps its key.
            item = self._partition.save_item(user_id, key, kept.block, kept.terms)
            consumed += self._table.put(item).consumed
            if known is not None:
                with index.lock:
                    index.unsealed[key] = kept
            return consumed
        return consumed + self._partition.delete(user_id, [key])

    def _next_key(self, index: UserIndex, kind: str) -> str:
        with index.lock:
            at = index.position
            newest_us = max(at.newest_us, time_of(at.last) if at.last else 0)
            now_us = int(self._clock.time() * MICROSECONDS)
            at.newest_us = min(max(now_us, newest_us + 1), LATEST_US)
            return f"{LOG}{at.newest_us:016d}#{kind}{self._ids()[:8]}"

    def _ours(self, rows: Rows) -> bool:
        block = rows.block
        return not block.coded.any() or (block.model, block.dimensions) == self._model


def _groups(runs: Mapping[str, Rows]) -> list[list[str]]:
    """The keys in order, in groups of a segment's rows or a few more; the last ones may be left.

    An item holds some thousands of rows, and of saves there may be any number: writers that end
    before they have enough for a segment leave theirs to others.
    """
    groups: list[list[str]] = []
    waiting: list[str] = []
    for key in sorted(runs):
        waiting.append(key)
        if sum(len(runs[name]) for name in waiting) >= SEGMENT_ROWS:
            groups.append(waiting)
            waiting = []
    return groups


def _standing(index: UserIndex, rows: Rows) -> Rows:
    """The rows whose messages are not gone; of those with one place, the last."""
    last = {rows.block.place(n): n for n in range(len(rows))}
    return chosen(rows, [n for place, n in last.items() if index.row_of(place) is not None])
