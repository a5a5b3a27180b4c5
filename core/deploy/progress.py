"""What a deployment tells while it goes on, and how it waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from core.clock import Clock
from core.errors import InterruptedRunError

State = Literal[
    "waiting", "preparing", "deploying", "verifying", "deleting",
    "done", "unchanged", "failed", "skipped", "kept",
]  # fmt: skip
_SLICE_S = 0.2


@dataclass(frozen=True)
class Progress:
    """A stack has come into a state, or something is to be said of it (`detail`)."""

    phase: str
    stack: str
    state: State
    detail: str = ""


class Observer(Protocol):
    """Is told of progress, from several threads; must be quick and must not raise."""

    def __call__(self, progress: Progress, /) -> None:
        """Something went on."""


def no_observer(progress: Progress) -> None:
    """Tells no one."""


class Pacer:
    """Waits between polls; ends the waiting when the run is to stop, keeps the lock meanwhile."""

    def __init__(self, clock: Clock, keep: Callable[[], None] = lambda: None) -> None:
        self.clock = clock
        self.keep = keep
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ends every wait, now and from now on."""
        self._stop.set()

    def pause(self, seconds: float) -> None:
        """Waits `seconds`.

        Raises:
            InterruptedRunError: the run is to stop.
            LockHeldError: the lock was lost meanwhile.
        """
        left = seconds
        while left > 0:
            self.check()
            self.clock.sleep(min(left, _SLICE_S))
            left -= _SLICE_S
        self.check()
        self.keep()

    def check(self) -> None:
        """Raises InterruptedRunError where the run is to stop: a safe point."""
        if self._stop.is_set():
            raise InterruptedRunError(
                "Stopped waiting; what CloudFormation has begun, it finishes by itself.",
                "Run `ialctl start` again: it goes on from there.",
            )


class Backoff:
    """Growing delays between polls, in seconds."""

    def __init__(self, first_s: float = 0.05, factor: float = 1.5, longest_s: float = 5.0) -> None:
        self._next, self._factor, self._longest = first_s, factor, longest_s

    def __call__(self) -> float:
        """The next delay."""
        delay, self._next = self._next, min(self._next * self._factor, self._longest)
        return delay
