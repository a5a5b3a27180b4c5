"""How far a process has read a user's log."""

from __future__ import annotations

from collections.abc import Iterable

from core.memory.index.partition import LOG

OVERLAP_BYTES = 3000
"""With the token and a save that is new, it fits into the half read unit that asking costs."""
_OVERLAP_RUNS = 32


class Position:
    """The keys that were read last. Not thread-safe.

    `last` is the highest key seen, `tail` the newest ones with the bytes of their items, `token`
    what stood after the log, `newest_us` the time in the highest key that was given out here.
    """

    def __init__(self) -> None:
        self.last: str | None = None
        self.token: str | None = None
        self.newest_us = 0
        self.tail: dict[str, int] = {}

    def has_read(self, runs: Iterable[tuple[str, int]]) -> None:
        """Notes keys of the log that were read, with their bytes."""
        self.tail.update(runs)
        self.tail = {key: self.tail[key] for key in sorted(self.tail)[-_OVERLAP_RUNS:]}

    @property
    def asked_after(self) -> str | None:
        """The key after which is to be asked for what is new; None: nothing was read yet.

        It lies before the last one: of two processes that write at once, the key of the one that
        comes second may be the lower one, be it that its clock is behind.
        """
        if self.last is None:
            return None
        room = OVERLAP_BYTES
        for key in sorted(self.tail, reverse=True):
            room -= self.tail[key]
            if room < 0:
                return key
        return LOG if len(self.tail) < _OVERLAP_RUNS else min(self.tail)

    def begin_anew(self) -> None:
        """As if nothing had been read: what stood there was deleted."""
        self.tail.clear()
        self.last = None
