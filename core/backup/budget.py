"""Capacity units a second, shared by threads, and less of them while a table throttles.

What is spent is paid by waiting afterwards, since only the answer tells what a request took.
Throttled: the rate is halved, and grows again by a tenth a second (additive increase would need
to know the table's size; see "AIMD" in RFC 5681 for the idea).
"""

from __future__ import annotations

import threading

from core.clock import Clock, Random, system_random

_CUT = 0.5
_GROWTH = 1.1
_CUT_EVERY_S = 1.0
_LEAST = 1.0
_FREE = 1e9
_PAUSE_S = 0.2


class Budget:
    """Units a second that threads may spend together. Thread-safe."""

    def __init__(self, most: float | None, clock: Clock, rng: Random | None = None) -> None:
        """`most` units a second; None: as many as the table gives."""
        self._most = most or _FREE
        self._rate = self._most
        self._clock = clock
        self._rng = rng or system_random()
        self._lock = threading.Lock()
        self._begun_s = self._paid_s = self._grown_s = clock.monotonic()
        self._cut_s = self._begun_s - _CUT_EVERY_S
        self.spent = 0.0
        self.throttles = 0

    @property
    def rate(self) -> float | None:
        """Units a second at this moment; None where nothing holds it back."""
        return None if self._rate >= _FREE else self._rate

    def spend(self, units: float) -> None:
        """Notes what a request took, and waits until that is paid."""
        with self._lock:
            now = self._clock.monotonic()
            self._grow(now)
            self.spent += units
            self._paid_s = max(self._paid_s, now) + units / self._rate
            wait = self._paid_s - now
        if wait > 0.001:
            self._clock.sleep(wait)

    def throttled(self) -> None:
        """The table refused a request: less from now on, and a short pause."""
        with self._lock:
            now = self._clock.monotonic()
            self.throttles += 1
            if now - self._cut_s >= _CUT_EVERY_S:
                seen = self.spent / max(now - self._begun_s, _CUT_EVERY_S)
                self._rate = max(_LEAST, min(self._rate, max(seen, _LEAST) / _CUT) * _CUT)
                self._cut_s = self._grown_s = now
        self._clock.sleep(self._rng.uniform(_PAUSE_S / 2, _PAUSE_S * 2))

    def _grow(self, now: float) -> None:
        if self._rate < self._most:
            self._rate = min(self._most, self._rate * _GROWTH ** (now - self._grown_s))
        self._grown_s = now
