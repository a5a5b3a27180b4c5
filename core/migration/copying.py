"""Copying a segment of the legacy table: a page at a time, each page noted once it is written.

A copier goes in steps: it hands back control between any two requests, so that what it does can
be held up, given up, or told what comes next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.aws.capacity import item_size
from core.aws.codec import WireItem
from core.clock import Clock
from core.migration.crossing import Crossing, Key, Ticket
from core.migration.failures import DeadLetters
from core.migration.journal import Failure, Journal, Mark
from core.migration.legacy import LegacySide
from core.migration.optimized import OptimizedSide
from core.migration.standing import wanted_of
from core.migration.transform import SORT_KEY, Mapped, UnmappableError, is_expired, mapped

CHUNK_ITEMS = 384
"""Pages are put together up to so many items: few of one user's in the index cost more."""
CHUNK_BYTES = 4 * 1024 * 1024
HOLDING = frozenset(("insert", "index", "bring"))
"""Steps at which keys are in the copy's hands: held up there, it would hold up following too."""


@dataclass
class _Chunk:
    """Pages put together: what is to be copied of them, and what came of the rest."""

    after: WireItem | None
    messages: list[Mapped] = field(default_factory=list)
    seen: int = 0
    bytes: int = 0
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
                yield from self._read(number, chunk)
                yield from self._write(ticket, chunk)
            self.failures.check()
            yield "note"
            mark = _moved_on(mark, chunk)
            self.journal.save_mark(mark)

    def _read(self, number: int, chunk: _Chunk) -> Iterator[str]:
        while True:
            yield "scan"
            page = self.legacy.page(number, self.segments, chunk.after)
            # Mapped at once: as they are read, items of vectors take fifty times their size.
            for item in page.items:
                self._take(item, chunk)
            chunk.after = page.after
            full = chunk.seen >= CHUNK_ITEMS or chunk.bytes >= CHUNK_BYTES
            if chunk.after is None or full:
                return

    def _take(self, item: WireItem, chunk: _Chunk) -> None:
        chunk.seen += 1
        chunk.bytes += item_size(item)
        if is_expired(item, self.clock.time()):
            chunk.expired += 1
            return
        try:
            one = mapped(item)
        except UnmappableError as error:
            chunk.failed += 1
            self.failures.add(failure_of(item, error), item)
            return
        chunk.vectors += one.vector is not None
        chunk.messages.append(one)

    def _write(self, ticket: Ticket, chunk: _Chunk) -> Iterator[str]:
        yield "claim"
        free = ticket.claim(map(_key, chunk.messages))
        mine = [one for one in chunk.messages if _key(one) in free]
        if not mine:
            return
        yield "insert"
        copied = self.optimized.copy(mine)
        yield "index"
        self.optimized.index(copied.new)
        self.optimized.index(copied.equal, keep=True)
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


def _moved_on(mark: Mark, chunk: _Chunk) -> Mark:
    more = mark.plus(
        seen=chunk.seen,
        copied=len(chunk.messages),
        expired=chunk.expired,
        failed=chunk.failed,
        vectors=chunk.vectors,
        bytes=chunk.bytes,
    )
    return dataclasses.replace(more, last_key=chunk.after, done=chunk.after is None)
