"""Read your writes: what this process just wrote, for as long as indexes may lag behind it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from core.clock import Clock
from core.memory.model import Message

MAX_AGE_S = 30.0
MAX_MESSAGES = 2000
MAX_CHARACTERS = 8 * 1024 * 1024


class RecentWrites:
    """The last messages of this process, bounded in age, number and size. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, str], tuple[float, Message]] = OrderedDict()
        self._characters = 0

    def add(self, message: Message) -> None:
        """Keeps a message that has just been acknowledged."""
        place = (message.user_id, message.message_id)
        with self._lock:
            self._drop(place)
            self._held[place] = (self._clock.monotonic(), message)
            self._characters += len(message.content)
            self._shrink()

    def of(self, wanted: Callable[[Message], bool]) -> list[Message]:
        """The messages held that are wanted."""
        with self._lock:
            self._shrink()
            return [message for _, message in self._held.values() if wanted(message)]

    def _shrink(self) -> None:
        oldest_s = self._clock.monotonic() - MAX_AGE_S
        while self._held:
            place, (written_s, _) = next(iter(self._held.items()))
            full = len(self._held) > MAX_MESSAGES or self._characters > MAX_CHARACTERS
            if not full and written_s >= oldest_s:
                return
            self._drop(place)

    def _drop(self, place: tuple[str, str]) -> None:
        found = self._held.pop(place, None)
        if found is not None:
            self._characters -= len(found[1].content)
