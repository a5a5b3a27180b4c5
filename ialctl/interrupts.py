"""Ctrl-C and SIGTERM as a wish to stop at the next safe point."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from core.errors import InterruptedRunError, TerminatedRunError


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
        if wish.signal is None:
            wish.signal = number
        elif number == signal.SIGTERM:
            raise TerminatedRunError("Terminated.", "Run the same command again.")
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
