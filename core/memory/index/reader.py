"""Keeping the copies of users' indexes up to date: read once as a whole, then what is new."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor

from core.aws.capacity import NOTHING, Consumed
from core.clock import Clock
from core.memory.index.block import Postings
from core.memory.index.copies import Copies
from core.memory.index.copy import UserIndex
from core.memory.index.partition import IndexPartition, Run, Terms, kind_of, time_of
from core.memory.index.rows import Rows
from core.memory.keys import MICROSECONDS

COLD_TERMS = 8
"""Segments whose terms are read with the codes of all: 1,024 messages."""
COLD_UNITS = 72.0
"""Read units that reading an index may take. Where the terms of older segments fit into it, they
are read too, in a round of their own; else they follow as later contexts have units to spare."""
SUSPECT_EVERY_S = 600.0
COPY_IDLE_S = 3600.0
"""A copy that was not refreshed for so long is read anew: it may have missed a removal."""


class IndexReader:
    """Reads what stands of a user's index into this process's copy. Thread-safe."""

    def __init__(
        self,
        partition: IndexPartition,
        copies: Copies,
        pool: Executor,
        clock: Clock,
        *,
        consistent: bool = False,
    ) -> None:
        """`consistent`: what is new is asked for so, at twice the cost: for answers that are kept,
        which must not lack what was acknowledged before they were made."""
        self._consistent = consistent
        self._partition = partition
        self._copies = copies
        self._pool = pool
        self._clock = clock

    def current(self, index: UserIndex) -> bool:
        """Whether asking for what is new is enough."""
        return index.whole and self._clock.monotonic() - index.read_at_s < COPY_IDLE_S

    def load(self, index: UserIndex, *, again: bool = False) -> Consumed:
        """Reads the whole index of a user, two requests side by side; costs nothing if another
        thread has just done it, unless it is to be read `again`."""
        with index.loading:
            if self.current(index) and not again:
                return NOTHING
            words = self._pool.submit(self._partition.newest_terms, index.user_id, COLD_TERMS)
            read = self._partition.read(index.user_id)
            terms = words.result()
            with index.lock:
                index.begin_pass()
                self._apply(index, read.runs, read.last, terms.by_key)
                if read.complete and not read.damaged:
                    index.end_pass(self._clock.time() * MICROSECONDS)
                    _keep_unsealed(index, {run.key for run in read.runs})
                index.damaged = (*read.damaged, *terms.damaged)
                index.position.token = read.token
                index.complete = read.complete
                index.whole = True
            consumed = read.consumed.beside(terms.consumed)
            consumed += self._older_terms(index, terms, consumed.read_units)
            self._copies.shrink()
        return consumed

    def _older_terms(self, index: UserIndex, newest: Terms, spent: float) -> Consumed:
        """Reads the terms of older segments too, where these are few enough."""
        with index.lock:
            missing = sorted(index.terms_missing)
        if not missing or not newest.by_key:
            return NOTHING
        units = len(missing) * newest.consumed.read_units / len(newest.by_key)
        if spent + units > COLD_UNITS:
            return NOTHING
        below = min(newest.by_key)
        older = self._partition.newest_terms(index.user_id, len(missing), below)
        self.take_terms(index, older)
        return older.consumed

    def refresh(self, index: UserIndex) -> tuple[bool, Consumed]:
        """Reads what was written since; says whether there was anything that was not known."""
        with index.lock:
            after = index.position.asked_after
        read = self._partition.read(index.user_id, after, consistent=self._consistent)
        if read.complete and read.token != index.position.token:
            return self._begun_anew(index, read.consumed)
        with index.lock:
            before = index.version
            new = [run for run in read.runs if run.key not in index.position.tail]
            self._apply(index, new, read.last, {})
            index.damaged = tuple(dict.fromkeys((*index.damaged, *read.damaged)))
            return index.version != before, read.consumed

    def suspect(self, index: UserIndex) -> None:
        """Something should be in the index and is not here: it is read anew, but not too often."""
        now_s = self._clock.monotonic()
        if now_s - index.suspected_at_s >= SUSPECT_EVERY_S:
            index.suspected_at_s = now_s
            index.read_at_s = -math.inf

    def _begun_anew(self, index: UserIndex, consumed: Consumed) -> tuple[bool, Consumed]:
        """Where the user was forgotten since, drops all and reads what stands now."""
        # What was read may be a moment old; only a consistent read is worth so much.
        token, cost = self._partition.token(index.user_id)
        with index.lock:
            same = token == index.position.token
            if not same:
                index.clear()
        if same:
            return False, consumed + cost
        return True, consumed + cost + self.load(index, again=True)

    def take_terms(self, index: UserIndex, terms: Terms) -> None:
        """Takes over the terms of segments that were read besides."""
        with index.lock:
            for key, postings in terms.by_key.items():
                index.apply_terms(key, postings)

    def _apply(
        self,
        index: UserIndex,
        runs: Sequence[Run],
        last: str | None,
        terms: Mapping[str, Postings],
    ) -> None:
        for run in runs:
            _apply(index, run)
        for key, postings in terms.items():
            index.apply_terms(key, postings)
        index.position.has_read((run.key, run.bytes) for run in runs)
        if last is not None:
            index.position.last = max(index.position.last or "", last)
        index.read_at_s = self._clock.monotonic()


def _keep_unsealed(index: UserIndex, standing: Collection[str]) -> None:
    """Saves that somebody else sealed meanwhile need no sealing here."""
    for key in [key for key in index.unsealed if key not in standing]:
        if time_of(key) <= time_of(index.position.last or key):
            del index.unsealed[key]


def _apply(index: UserIndex, run: Run) -> None:
    stamp = time_of(run.key)
    if run.terms is None:
        index.apply(run.key, stamp, run.block)
        _cover(index, run)
        return
    index.apply(run.key, stamp, Rows(run.block, run.terms))
    if kind_of(run.key) == "e":
        index.unsealed[run.key] = Rows(run.block, run.terms)


def _cover(index: UserIndex, segment: Run) -> None:
    """Saves that a segment holds need no sealing; whoever seals next deletes what is left."""
    if not index.unsealed:
        return
    held = {segment.block.place(n) for n in range(len(segment.block))}
    for key, rows in list(index.unsealed.items()):
        if held.issuperset(rows.block.place(n) for n in range(len(rows))):
            del index.unsealed[key]
            index.leftover.add(key)
