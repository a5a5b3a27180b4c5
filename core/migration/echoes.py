"""This migration's own writes, told from others' when a stream shows them.

While both sides are written, what goes across comes back in the other side's stream, and would
look like somebody's change. So each write is announced before it is made, in the operations table
too: a run that goes on after a crash has to know what the one before it wrote.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.migration.crossing import Key
from core.migration.journal import Journal
from core.migration.touches import Digest, Record

SLACK_S = 2.0
"""A record's stamp may be a second or two from when the write was made, by this clock."""
CRASHED_S = 10.0
"""So long after it was announced a run that crashed may have made a write."""


@dataclass(frozen=True)
class Expected:
    """A write that is about to be made: what it will leave, and where (``: at any place)."""

    side: str
    key: Key
    digest: Digest
    place: str = ""

    def is_shown_by(self, record: Record) -> bool:
        """Whether a record is what such a write would look like."""
        if (record.side, record.key, record.new) != (self.side, self.key, self.digest):
            return False
        return self.place in ("", record.place)


@dataclass
class _Batch:
    name: str
    from_s: float
    until_s: float
    left: list[Expected]


class Echoes:
    """Writes that streams are to show. For one thread."""

    def __init__(self, journal: Journal, read_s: float, now_s: float) -> None:
        """All that is stamped before `read_s` has been read."""
        self._journal = journal
        self._batches = [
            _Batch(name, at_s, at_s + CRASHED_S, [_expected(row) for row in rows])
            for name, at_s, rows in journal.announced()
            if at_s + SLACK_S >= read_s
        ]
        self._number = int(now_s * 1000)

    def expect(self, writes: Iterable[Expected], now_s: float) -> None:
        """Announces writes before they are made."""
        batch = list(writes)
        if not batch:
            return
        self._number += 1
        name = f"{self._number:016d}"
        self._journal.announce(name, now_s, [_row(one) for one in batch])
        self._batches.append(_Batch(name, now_s, float("inf"), batch))

    def done(self, now_s: float) -> None:
        """All that was announced is made by now."""
        for batch in self._batches:
            batch.until_s = min(batch.until_s, now_s)

    def cancel(self, key: Key) -> None:
        """What was announced of a message was not made after all."""
        for batch in self._batches[-1:]:
            batch.left = [one for one in batch.left if one.key != key]
            self._journal.announce(batch.name, batch.from_s, [_row(one) for one in batch.left])

    def is_echo(self, record: Record) -> bool:
        """Whether a record shows one of them; each is shown once."""
        at_s = record.stamp_us / 1_000_000
        for batch in self._batches:
            if not batch.from_s - SLACK_S <= at_s <= batch.until_s + SLACK_S:
                continue
            for one in batch.left:
                if one.is_shown_by(record):
                    batch.left.remove(one)
                    return True
        return False

    def forget(self, read_s: float) -> None:
        """Forgets the writes that streams have shown: all stamped before `read_s` is read."""
        over = [batch for batch in self._batches if batch.until_s + SLACK_S < read_s]
        for batch in over:
            self._journal.forget_announced(batch.name)
            self._batches.remove(batch)


def _row(one: Expected) -> list[str]:
    digest = "" if one.digest is None else one.digest.hex()
    return [one.side, *one.key, digest, one.place]


def _expected(row: list[str]) -> Expected:
    side, user_id, sort_key, digest, place = row
    return Expected(side, (user_id, sort_key), bytes.fromhex(digest) if digest else None, place)
