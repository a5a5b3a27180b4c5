"""Read your writes: what this process just wrote, for as long as indexes may lag behind it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from core.clock import Clock
from core.memory.model import Message

MAX_AGE_S = 30.0
MAX_MESSAGES = 500
MAX_CHARACTERS = 8 * 1024 * 1024


class RecentWrites:
    """The last messages of this process, bounded in age, number and size. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, str], tuple[float, Message, str]] = OrderedDict()
        self._characters = 0

    def add(self, message: Message, place: str) -> None:
        """Keeps a message that has just been acknowledged under the sort key `place`."""
        key = (message.user_id, message.message_id)
        with self._lock:
            self._drop(key)
            self._held[key] = (self._clock.monotonic(), message, place)
            self._characters += len(message.content)
            self._shrink()

    def of(self, wanted: Callable[[Message], bool]) -> list[Message]:
        """The messages held that are wanted."""
        return [message for message, _ in self.placed(wanted)]

    def placed(self, wanted: Callable[[Message], bool]) -> list[tuple[Message, str]]:
        """The messages held that are wanted, each with its sort key."""
        with self._lock:
            self._shrink()
            return [(m, place) for _, m, place in self._held.values() if wanted(m)]

    def forget(self, gone: Callable[[Message], bool]) -> None:
        """Drops messages that were deleted."""
        with self._lock:
            for key in [key for key, (_, m, _) in self._held.items() if gone(m)]:
                self._drop(key)

    def _shrink(self) -> None:
        oldest_s = self._clock.monotonic() - MAX_AGE_S
        while self._held:
            key, (written_s, _, _) = next(iter(self._held.items()))
            full = len(self._held) > MAX_MESSAGES or self._characters > MAX_CHARACTERS
            if not full and written_s >= oldest_s:
                return
            self._drop(key)

    def _drop(self, key: tuple[str, str]) -> None:
        found = self._held.pop(key, None)
        if found is not None:
            self._characters -= len(found[1].content)
