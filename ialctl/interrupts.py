"""Ctrl-C and SIGTERM as a wish to stop at the next safe point."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from core.clock import SYSTEM_CLOCK, Clock
from core.errors import InterruptedRunError, TerminatedRunError
from ialctl.frozen import launcher_folder

ECHO_S = 0.25


class Presses:
    """Tells a second Ctrl-C from the echo of the first.

    A terminal sends one Ctrl-C to all processes of a command. The launcher of the one-file binary
    is one of them, and hands on what it gets: so each signal may come twice, at once.
    """

    def __init__(self, clock: Clock, *, echoed: bool) -> None:
        """`echoed`: whether there is a launcher that hands signals on."""
        self._clock = clock
        self._echoed = echoed
        self._last: dict[int, float] = {}

    def is_echo(self, number: int) -> bool:
        """Whether this signal is the one before once more; to be asked once a signal."""
        now, before = self._clock.monotonic(), self._last.get(number)
        if self._echoed and before is not None and now - before < ECHO_S:
            return True
        self._last[number] = now
        return False


# Of the process, as signals are: a handler that takes over must know what the one before it got.
PRESSES = Presses(SYSTEM_CLOCK, echoed=launcher_folder() is not None)


def on_sigint(number: int, _frame: FrameType | None) -> None:
    """Ends what goes on at once, as Python's own handler does."""
    if not PRESSES.is_echo(number):
        raise KeyboardInterrupt


def on_sigterm(number: int, _frame: FrameType | None) -> None:
    """Ends what goes on at once, with a code of its own."""
    if not PRESSES.is_echo(number):
        _terminate()


def _terminate() -> NoReturn:
    raise TerminatedRunError("Terminated.", "Run the same command again: it goes on from there.")


class StopWish:
    """Whether somebody asked to stop; call it to know."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        """True once a signal has come."""
        return self.signal is not None


@contextmanager
def stop_wish() -> Iterator[StopWish]:
    """The first Ctrl-C or SIGTERM is only noted; the second one stops at once.

    Raises:
        TerminatedRunError: for what was interrupted by SIGTERM, so that the exit code is its own.
    """
    wish = StopWish()

    def note(number: int, _frame: FrameType | None) -> None:
        if PRESSES.is_echo(number):
            return
        if wish.signal is None:
            wish.signal = number
        elif number == signal.SIGTERM:
            _terminate()
        else:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield wish
    except InterruptedRunError as error:
        if wish.signal == signal.SIGTERM:
            raise TerminatedRunError(error.what, error.cure) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
