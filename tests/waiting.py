"""Waiting in tests: for something to become true, and never for ever."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(holds: Callable[[], bool], most_s: float = 30.0) -> None:
    """Returns as soon as `holds`; fails the test where it does not in `most_s` seconds."""
    end = time.monotonic() + most_s
    while not holds():
        assert time.monotonic() < end, f"waited {most_s:g} s in vain"
        time.sleep(0.01)
