"""Time, chance and ids, handed in as constructor arguments; nothing else calls for them.

`Clock` is a Protocol with two shipped implementations: `SystemClock` here and `FakeClock` in
`core.testing`, whose `sleep` only moves its hands.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

Random = random.Random
"""A source of chance; a test hands in a seeded one."""

Ids = Callable[[], str]
"""An id factory: each call gives a new id, 32 lowercase hex digits."""


class Clock(Protocol):
    """Where time comes from. Thread-safe."""

    def time(self) -> float:
        """Seconds since the epoch (UTC); may jump."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Waits at least `seconds`."""


class SystemClock:
    """The machine's own clock."""

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Blocks this thread."""
        time.sleep(max(0.0, seconds))


SYSTEM_CLOCK = SystemClock()


def new_id() -> str:
    """A random id, 32 lowercase hex digits."""
    return secrets.token_hex(16)


def system_random() -> Random:
    """A generator seeded by the operating system."""
    return Random()


def iso(epoch_s: float) -> str:
    """An instant as people read it: `2026-05-08T13:56:00Z`, with milliseconds if it has any."""
    moment = datetime.fromtimestamp(epoch_s, UTC)
    text = moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")
