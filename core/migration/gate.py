"""Whether the copy may go on: asked before every step, answered with a reason where it may not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from core.clock import Clock
from core.errors import InterruptedRunError, ThrottledError
from core.migration.journal import Control

LAG_S = 900.0
"""The copy waits while following is so far behind."""
_PROBE_EVERY_S = 1.0
_CRITICAL_TIMES = 3
_WAIT_S = 0.2


@dataclass(frozen=True)
class Limits:
    """When the copy waits, and when it ends: the time that a small read takes (milliseconds).

    None: it is not measured, and not minded.
    """

    max_latency_ms: float | None = None
    critical_latency_ms: float | None = None


class Gate:
    """Holds up the copy. Thread-safe.

    The reads that `probe` makes are such as an application makes of the same table: what they
    take is what that application feels.
    """

    def __init__(
        self,
        limits: Limits,
        probe: Callable[[], object],
        lag_s: Callable[[], float],
        clock: Clock,
        stop: Callable[[], bool],
    ) -> None:
        self._limits = limits
        self._probe = probe
        self._lag_s = lag_s
        self._clock = clock
        self._stop = stop
        self._lock = threading.Lock()
        self._control = Control()
        self._failed: BaseException | None = None
        self._probed_s = clock.monotonic() - _PROBE_EVERY_S
        self._latency_ms = 0.0
        self._critical = 0
        self.waiting = ""

    def tell(self, control: Control) -> None:
        """What somebody told the migration."""
        self._control = control

    def fail(self, error: BaseException) -> None:
        """Another thread failed: nobody goes on."""
        self._failed = self._failed or error

    def answer(self) -> tuple[bool, str]:
        """Whether the copy may go on, and why not."""
        if self._control.paused:
            by = f" by {self._control.by}" if self._control.by else ""
            return False, f"paused{by}: `ialctl migrate resume`"
        lag_s = self._lag_s()
        if lag_s > LAG_S:
            return False, f"following lies {lag_s / 60:.0f} minutes behind"
        most = self._limits.max_latency_ms
        if most is not None and self._latency_ms > most:
            return False, f"a read takes {self._latency_ms:.0f} ms, over {most:g}"
        return True, ""

    def pass_through(self) -> None:
        """Returns once the copy may go on.

        Raises:
            InterruptedRunError: somebody asked to stop, or another thread failed.
            ThrottledError: reads are so slow that the migration is better given up.
        """
        while True:
            self.check()
            self._measure()
            free, self.waiting = self.answer()
            if free:
                return
            self._clock.sleep(_WAIT_S)

    def check(self) -> None:
        """Ends who has no reason to go on.

        Raises:
            InterruptedRunError: somebody asked to stop, or another thread failed.
        """
        if self._failed is not None or self._stop():
            raise InterruptedRunError(
                "Interrupted; what is done is kept.", "The same command goes on from there."
            )

    def _measure(self) -> None:
        if self._limits == Limits():
            return
        with self._lock:
            if self._clock.monotonic() - self._probed_s < _PROBE_EVERY_S:
                return
            self._probed_s = self._clock.monotonic()
        begun = self._clock.monotonic()
        self._probe()
        self._latency_ms = (self._clock.monotonic() - begun) * 1000
        most = self._limits.critical_latency_ms
        self._critical = self._critical + 1 if most and self._latency_ms > most else 0
        if self._critical >= _CRITICAL_TIMES:
            raise ThrottledError(
                f"A read of the legacy table took {self._latency_ms:.0f} ms, over {most:g}, "
                f"{_CRITICAL_TIMES} times in a row: the migration has ended to spare it.",
                "Run the same command again when the table has less to do; it goes on from here.",
                reasons=(),
            )


def with_budgets(control: Control, max_rcu: float | None, max_wcu: float | None) -> Control:
    """What was told, with those budgets that are given."""
    return replace(
        control,
        max_rcu=control.max_rcu if max_rcu is None else max_rcu,
        max_wcu=control.max_wcu if max_wcu is None else max_wcu,
    )
