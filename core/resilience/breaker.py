"""A circuit breaker: what keeps failing is left alone for a while, then probed with care.

    closed ──too many failures in the window──▶ open ──its time is over──▶ half open
      ▲                                          ▲                            │
      └──────────probes succeeded────────────────┼────────────────────────────┤
                                                 └──a probe failed, or no verdict in time──┘

A call asks for a permit, and says how it went. In half-open state no more than `probes` permits
are out at once. A permit left without a verdict (the caller was cancelled, or ended in an error
that says nothing of the other side) counts as neither and is given back. Written by hand: the
libraries that were tried let every concurrent caller through as a probe.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from enum import Enum
from types import TracebackType

from core.clock import SYSTEM_CLOCK, Clock


class State(Enum):
    """What a breaker lets through: all, nothing, or a few probes."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True)
class BreakerPolicy:
    """When to open and how to come back.

    `failures` within `window_s` seconds open it, however many calls succeeded in between: so what
    is lost to time-outs is bounded by `failures` of them a window. It stays open for `open_s`,
    doubled each time that probing fails, at most `max_open_s`. Then up to `probes` calls at once
    go through, and `successes` of them close it. Half-open lasts `half_open_s` at most.
    """

    failures: int = 5
    window_s: float = 10.0
    open_s: float = 0.5
    max_open_s: float = 5.0
    probes: int = 1
    successes: int = 1
    half_open_s: float = 2.0


class Permit:
    """Leave to make one call; a context manager, so that it is given back however the call ends."""

    def __init__(self, breaker: Breaker, generation: int, probe: bool) -> None:
        self._breaker = breaker
        self._generation = generation
        self._probe = probe
        self._verdict: bool | None = None

    def succeeded(self) -> None:
        """The other side answered."""
        self._verdict = True

    def failed(self) -> None:
        """The other side is not well."""
        self._verdict = False

    def __enter__(self) -> Permit:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._breaker.settle(self._generation, self._probe, self._verdict)


class Breaker:
    """Counts failures and refuses calls while there are too many. Thread-safe; never waits."""

    def __init__(self, policy: BreakerPolicy | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._policy = policy or BreakerPolicy()
        self._clock = clock
        self._lock = threading.Lock()
        self._state = State.CLOSED
        # Each change of state begins a generation; verdicts of calls begun before it say nothing.
        self._generation = 0
        self._since = clock.monotonic()
        self._failures: deque[float] = deque(maxlen=self._policy.failures)
        self._open_s = self._policy.open_s
        self._probes_out = 0
        self._successes = 0
        self._opened = 0

    def state(self) -> State:
        """The state as of now."""
        with self._lock:
            self._turn(self._clock.monotonic())
            return self._state

    @property
    def opened(self) -> int:
        """How often it opened."""
        with self._lock:
            return self._opened

    def permit(self) -> Permit | None:
        """Leave for one call, to be used in a `with`; None where the call must not be made."""
        with self._lock:
            self._turn(self._clock.monotonic())
            if self._state is State.CLOSED:
                return Permit(self, self._generation, probe=False)
            if self._state is State.OPEN or self._probes_out >= self._policy.probes:
                return None
            self._probes_out += 1
            return Permit(self, self._generation, probe=True)

    def wake(self) -> None:
        """Something else says that the other side is back: probing begins now, not later."""
        with self._lock:
            if self._state is State.OPEN:
                self._open_s = self._policy.open_s
                self._become(State.HALF_OPEN, self._clock.monotonic())

    def settle(self, generation: int, probe: bool, verdict: bool | None) -> None:
        """Takes a permit back (called by the permit itself)."""
        with self._lock:
            if generation != self._generation:
                return
            now = self._clock.monotonic()
            if probe:
                self._probes_out -= 1
                self._probed(verdict, now)
            elif verdict is False:
                self._failed(now)

    def _probed(self, verdict: bool | None, now: float) -> None:
        if verdict is False:
            self._open_again(now)
        elif verdict:
            self._successes += 1
            if self._successes >= self._policy.successes:
                self._open_s = self._policy.open_s
                self._become(State.CLOSED, now)

    def _failed(self, now: float) -> None:
        self._failures.append(now)
        full = len(self._failures) == self._policy.failures
        if full and now - self._failures[0] <= self._policy.window_s:
            self._opened += 1
            self._become(State.OPEN, now)

    def _open_again(self, now: float) -> None:
        self._open_s = min(self._open_s * 2, self._policy.max_open_s)
        self._opened += 1
        self._become(State.OPEN, now)

    def _turn(self, now: float) -> None:
        """What the time alone changes."""
        if self._state is State.HALF_OPEN and now - self._since >= self._policy.half_open_s:
            if self._probes_out:
                self._open_again(now)  # probes that hang are as good as failed
            else:
                self._since = now
        if self._state is State.OPEN and now - self._since >= self._open_s:
            self._become(State.HALF_OPEN, now)

    def _become(self, state: State, now: float) -> None:
        self._state = state
        self._since = now
        self._generation += 1
        self._failures.clear()
        self._probes_out = 0
        self._successes = 0
