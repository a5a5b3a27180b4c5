"""Copying a segment of the legacy table: a page at a time, each page noted once it is written.

A copier goes in steps: it hands back control between any two requests, so that what it does can
be held up, given up, or told what comes next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from core.aws.capacity import item_size
from core.aws.codec import WireItem
from core.clock import Clock
from core.migration.crossing import Crossing, Key, Ticket
from core.migration.failures import DeadLetters
from core.migration.journal import Failure, Journal, Mark
from core.migration.legacy import LegacySide
from core.migration.optimized import OptimizedSide, wanted_of
from core.migration.transform import SORT_KEY, Mapped, UnmappableError, is_expired, mapped

CHUNK_ITEMS = 512
"""Pages are put together up to so many items: few of one user's in the index cost more."""
CHUNK_BYTES = 4 * 1024 * 1024


@dataclass
class _Chunk:
    items: list[WireItem] = field(default_factory=list)
    bytes: int = 0
    after: WireItem | None = None


@dataclass
class _Sorted:
    """What of a chunk is to be copied, and what came of the rest."""

    messages: list[Mapped] = field(default_factory=list)
    expired: int = 0
    failed: int = 0
    vectors: int = 0


@dataclass(frozen=True)
class Copier:
    """Copies segments. Thread-safe; each segment is for one thread.

    With `live` engines write the optimized tables already: what stands there is newer.
    """

    legacy: LegacySide
    optimized: OptimizedSide
    crossing: Crossing
    journal: Journal
    failures: DeadLetters
    clock: Clock
    segments: int
    live: bool = False

    def steps(self, number: int) -> Iterator[str]:
        """Copies one segment from where it was left; each step is named by what comes next.

        Raises:
            DifferenceError: more items could not be moved than are allowed.
        """
        mark = self.journal.mark(number)
        while not mark.done:
            with self.crossing.open() as ticket:
                chunk = _Chunk(after=mark.last_key)
                yield from self._read(number, chunk, first=mark.last_key is None)
                sorted_ = self._sort(chunk.items)
                yield from self._write(ticket, sorted_)
            self.failures.check()
            yield "note"
            mark = _moved_on(mark, chunk, sorted_)
            self.journal.save_mark(mark)

    def _read(self, number: int, chunk: _Chunk, *, first: bool) -> Iterator[str]:
        start = None if first else chunk.after
        while True:
            yield "scan"
            page = self.legacy.page(number, self.segments, start)
            chunk.items += page.items
            chunk.bytes += sum(map(item_size, page.items))
            chunk.after = start = page.after
            full = len(chunk.items) >= CHUNK_ITEMS or chunk.bytes >= CHUNK_BYTES
            if start is None or full:
                return

    def _sort(self, items: Sequence[WireItem]) -> _Sorted:
        found = _Sorted()
        now_s = self.clock.time()
        for item in items:
            if is_expired(item, now_s):
                found.expired += 1
                continue
            try:
                one = mapped(item)
            except UnmappableError as error:
                found.failed += 1
                self.failures.add(failure_of(item, error), item)
                continue
            found.vectors += one.vector is not None
            found.messages.append(one)
        return found

    def _write(self, ticket: Ticket, found: _Sorted) -> Iterator[str]:
        yield "claim"
        free = ticket.claim(map(_key, found.messages))
        mine = [one for one in found.messages if _key(one) in free]
        if not mine:
            return
        yield "insert"
        copied = self.optimized.copy(mine)
        yield "index"
        self.optimized.index((*copied.new, *copied.equal))
        for one in copied.other:
            yield "bring"
            wanted = wanted_of([one.message])
            there = self.optimized.standing([wanted])
            standing = [stood for some in there.values() for stood in some]
            if not (standing and self.live):
                self.optimized.bring(one, standing, thorough=True)


def failure_of(item: WireItem, error: UnmappableError, side: str = "legacy") -> Failure:
    """Why a legacy item can't be moved."""
    return Failure(item["user_id"]["S"], item[SORT_KEY]["S"], error.what, side)


def _key(one: Mapped) -> Key:
    return one.message.user_id, one.legacy_key


def _moved_on(mark: Mark, chunk: _Chunk, found: _Sorted) -> Mark:
    more = mark.plus(
        seen=len(chunk.items),
        copied=len(found.messages),
        expired=found.expired,
        failed=found.failed,
        vectors=found.vectors,
        bytes=chunk.bytes,
    )
    return dataclasses.replace(more, last_key=chunk.after, done=chunk.after is None)
