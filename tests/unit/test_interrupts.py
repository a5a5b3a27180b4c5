"""Signals while a command works towards its next safe point."""

from __future__ import annotations

import signal

import pytest

from core.errors import TerminatedRunError
from ialctl.interrupts import stop_wish


@pytest.mark.parametrize(
    ("second", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, TerminatedRunError)]
)
def test_the_second_signal_stops_at_once_with_its_own_code(
    second: signal.Signals, raised: type[BaseException]
) -> None:
    """The first is only noted; after the second nothing waits, and a termination stays one."""
    with stop_wish() as wish:
        signal.raise_signal(signal.SIGTERM)
        assert wish()
        with pytest.raises(raised):
            signal.raise_signal(second)
