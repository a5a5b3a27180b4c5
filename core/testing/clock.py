"""A clock whose hands are moved by hand."""

from __future__ import annotations

import itertools


class FakeClock:
    """Starts at `start_s`; `sleep` returns at once and moves the hands."""

    def __init__(self, start_s: float = 1_800_000_000.0) -> None:
        self._now = start_s
        self._skew = 0.0
        self.slept: list[float] = []

    def time(self) -> float:
        """The hands, as seconds since the epoch."""
        return self._now + self._skew

    def jump(self, seconds: float) -> None:
        """Sets the wall clock alone, on or back, as an operator or a time server does."""
        self._skew += seconds

    def monotonic(self) -> float:
        """The same hands, whatever `jump` did."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Moves the hands by `seconds` and notes it in `slept`."""
        self.slept.append(seconds)
        self._now += max(0.0, seconds)

    def advance(self, seconds: float) -> None:
        """Moves the hands without anyone having slept."""
        self._now += seconds


class CountingIds:
    """Ids 1, 2, 3 … as 32 hex digits."""

    def __init__(self) -> None:
        self._next = itertools.count(1)

    def __call__(self) -> str:
        """The next id."""
        return f"{next(self._next):032x}"
