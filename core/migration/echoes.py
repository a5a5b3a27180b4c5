"""This migration's own writes, told from others' when a stream shows them.

While both sides are written, what goes across comes back in the other side's stream, and would
look like somebody's change. So each write is announced before it is made, in the operations table
too: a run that goes on after a crash has to know what the one before it wrote. What is deleted is
marked before: nobody else writes what a migration does, but anybody may delete it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.migration.crossing import Key
from core.migration.journal import Journal
from core.migration.touches import Record

SLACK_S = 5.0
"""A record's stamp may be so far from when the write was made, by this machine's clock.

The stamp is a whole second, the clock may be a few off. An echo that is missed looks like a change
by others that came after the one it covers; waited for too long, another's write back to what was
announced, and never shown, would be taken for it.
"""
# A transaction may hold 100 items and 4 MB.
_AT_ONCE = 90
_AT_ONCE_BYTES = 2_500_000
_ROW_BYTES = 100
CRASHED_S = 10.0
"""So long after it was announced a run that crashed may have made a write."""


@dataclass(frozen=True)
class Expected:
    """A write that is about to be made, and what it will leave."""

    side: str
    key: Key
    digest: bytes


@dataclass
class _Batch:
    name: str
    from_s: float
    until_s: float
    left: set[Expected]
    fewer: bool = False


class Echoes:
    """Writes that streams are to show. For one thread."""

    def __init__(self, journal: Journal, read_s: float, now_s: float) -> None:
        """All that is stamped before `read_s` has been read."""
        self._journal = journal
        self._batches = [
            _Batch(name, at_s, at_s + CRASHED_S, {_expected(row) for row in rows})
            for name, at_s, rows in journal.announced()
            if at_s + CRASHED_S + SLACK_S >= read_s
        ]
        self._number = int(now_s * 1000)
        self._disputed: set[tuple[str, Key]] = set()

    def expect(self, writes: Iterable[Expected], now_s: float) -> None:
        """Announces writes before they are made."""
        batch = list(writes)
        if not batch:
            return
        self._number += 1
        name = f"{self._number:016d}"
        self._journal.announce(name, now_s, [_row(one) for one in batch])
        self._batches.append(_Batch(name, now_s, float("inf"), set(batch)))

    def done(self, now_s: float) -> None:
        """All that was announced is made by now."""
        for batch in self._batches:
            batch.until_s = min(batch.until_s, now_s)

    def cancel(self, key: Key) -> None:
        """What was announced of a message was not made after all: somebody else changed it."""
        for batch in self._batches[-1:]:
            batch.left = {one for one in batch.left if one.key != key}
            self._journal.announce(batch.name, batch.from_s, [_row(one) for one in batch.left])

    def dispute(self, side: str, key: Key) -> None:
        """Somebody else deleted a message that was marked already."""
        self._disputed.add((side, key))

    def is_echo(self, record: Record) -> bool:
        """Whether a record shows one of them; each is shown once."""
        if record.new is None:
            disputed = (record.side, record.key)
            if record.marked and disputed in self._disputed:
                self._disputed.remove(disputed)
                return False
            return record.marked
        if record.old != record.new:  # else it is the mark itself
            self._disputed.discard((record.side, record.key))
        at_s = record.stamp_us / 1_000_000
        shown = Expected(record.side, record.key, record.new)
        for batch in self._batches:
            if not batch.from_s - SLACK_S <= at_s <= batch.until_s + SLACK_S:
                continue
            if shown in batch.left:
                batch.left.remove(shown)
                batch.fewer = True
                return True
        return False

    def shown(self, read_s: float) -> dict[str, tuple[float, list[list[str]]]]:
        """What is left of announcements that streams have shown some of, to be noted with that.

        All that is stamped before `read_s` is read: what was expected before is none any more.
        """
        for batch in self._batches:
            if batch.until_s + SLACK_S < read_s:
                batch.left, batch.fewer = set(), True
        told = _fitting(batch for batch in self._batches if batch.fewer)
        for batch in told:
            batch.fewer = False
        self._batches = [batch for batch in self._batches if batch.left or batch.fewer]
        return {b.name: (b.from_s, [_row(one) for one in b.left]) for b in told}


def _fitting(batches: Iterable[_Batch]) -> list[_Batch]:
    """The first ones that are noted in one transaction; keys may be 3 KB long."""
    told: list[_Batch] = []
    room = _AT_ONCE_BYTES
    for batch in batches:
        room -= sum(_ROW_BYTES + sum(len(part.encode()) for part in one.key) for one in batch.left)
        if told and (room < 0 or len(told) == _AT_ONCE):
            break
        told.append(batch)
    return told


def _row(one: Expected) -> list[str]:
    return [one.side, *one.key, one.digest.hex()]


def _expected(row: list[str]) -> Expected:
    side, user_id, sort_key, digest = row
    return Expected(side, (user_id, sort_key), bytes.fromhex(digest))
