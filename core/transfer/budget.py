"""Capacity units a second, shared by threads, and fewer of them while a table throttles.

What is spent is paid by waiting afterwards, since only the answer tells what a request took.
Throttled: the rate falls to seven tenths of what was really spent, at most once a second; it grows
back quickly to what it was, and slowly beyond (multiplicative decrease and the two ways of growth
are those of TCP's CUBIC, RFC 9438, told by rates in place of windows).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from core.clock import Clock, Random, system_random
from core.errors import InterruptedRunError

_CUT = 0.7
_RECOVERY = 1.5
_GROWTH = 1.1
_CUT_EVERY_S = 1.0
_WINDOW_S = 1.0
_LEAST = 1.0
_FREE = 1e9
_PAUSE_S = 0.2
_SLICE_S = 1.0


class Budget:
    """Units a second that threads may spend together. Thread-safe."""

    def __init__(
        self,
        most: float | None,
        clock: Clock,
        rng: Random | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """`most` units a second; None: as many as the table gives. `stop` is asked amid waits."""
        self._stop = stop
        self._most = most or _FREE
        self._rate = self._most
        self._clock = clock
        self._rng = rng or system_random()
        self._lock = threading.Lock()
        now = clock.monotonic()
        self._paid_s = self._grown_s = self._window_s = now
        self._cut_s = now - _CUT_EVERY_S
        self._window_units = 0.0
        self._before_cut = self._most
        self._recent: float | None = None
        self.spent = 0.0
        self.throttles = 0

    @property
    def rate(self) -> float | None:
        """Units a second at this moment; None where nothing holds it back."""
        return None if self._rate >= _FREE else self._rate

    def limit(self, most: float | None) -> None:
        """From now on `most` units a second; None: as many as the table gives."""
        with self._lock:
            self._grow(self._clock.monotonic())
            now, before = self._clock.monotonic(), self._rate
            self._most = most or _FREE
            self._before_cut = min(self._before_cut, self._most)
            self._rate = self._most if self.throttles == 0 else min(self._rate, self._most)
            # What is owed is paid at the new rate, by those too who wait already.
            self._paid_s = now + max(0.0, self._paid_s - now) * before / self._rate

    def spend(self, units: float) -> None:
        """Notes what a request took, and waits until that is paid.

        Raises:
            InterruptedRunError: somebody asked to stop meanwhile.
        """
        target = self.charge(units)
        while True:
            with self._lock:
                wait = min(target, self._paid_s) - self._clock.monotonic()
            if wait <= 0.001:
                return
            if self._stop():
                raise InterruptedRunError("Interrupted.", "Run the same command again.")
            self._clock.sleep(min(wait, _SLICE_S))

    def charge(self, units: float) -> float:
        """Notes what a request took; who spends afterwards waits for it. Answers until when."""
        with self._lock:
            now = self._clock.monotonic()
            self._grow(now)
            self._note(units, now)
            self._paid_s = max(self._paid_s, now) + units / self._rate
            return self._paid_s

    def throttled(self) -> None:
        """The table refused a request: less from now on, and a short pause."""
        with self._lock:
            now = self._clock.monotonic()
            self.throttles += 1
            if now - self._cut_s >= _CUT_EVERY_S:
                self._note(0.0, now)
                self._grow(now)
                spending = self._rate if self._recent is None else self._recent
                self._before_cut = min(self._rate, spending)
                self._rate = max(_LEAST, self._before_cut * _CUT)
                self._cut_s = now
        self._clock.sleep(self._rng.uniform(_PAUSE_S / 2, _PAUSE_S * 2))

    def _note(self, units: float, now: float) -> None:
        """What was spent in all, and a second lately."""
        self.spent += units
        self._window_units += units
        elapsed = now - self._window_s
        if self._recent is None and elapsed > 0:
            self._recent = self._window_units / elapsed
        if elapsed >= _WINDOW_S:
            self._recent = self._window_units / elapsed
            self._window_s, self._window_units = now, 0.0

    def _grow(self, now: float) -> None:
        elapsed = now - self._grown_s
        self._grown_s = now
        if self._rate >= self._most:
            return
        if self._rate < self._before_cut:
            self._rate = min(self._before_cut, self._rate * _RECOVERY**elapsed)
        else:
            self._rate *= _GROWTH**elapsed
        self._rate = min(self._most, self._rate)
