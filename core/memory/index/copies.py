"""The users' indexes that this process holds, bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict

from core.memory.index.copy import UserIndex

DEFAULT_BYTES = 256 * 1024 * 1024


class Copies:
    """Indexes by user; the ones used longest ago go first when there is no room. Thread-safe."""

    def __init__(self, model: str, dimensions: int, max_bytes: int = DEFAULT_BYTES) -> None:
        self._model = (model, dimensions)
        self._max = max_bytes
        self._lock = threading.Lock()
        self._held: OrderedDict[str, UserIndex] = OrderedDict()

    def of(self, user_id: str) -> UserIndex:
        """The user's index; an empty one where none is held."""
        with self._lock:
            found = self._held.get(user_id)
            if found is None:
                found = self._held[user_id] = UserIndex(user_id, *self._model)
            self._held.move_to_end(user_id)
            return found

    def drop(self, user_id: str) -> None:
        """Lets a user's index go."""
        with self._lock:
            self._held.pop(user_id, None)

    def shrink(self) -> None:
        """Lets indexes go until the rest fit; the one used last stays in any case."""
        with self._lock:
            room = self._max
            for user_id, index in reversed(list(self._held.items())):
                room -= index.bytes
                if room < 0 and user_id != next(reversed(self._held)):
                    del self._held[user_id]

    def bytes(self) -> dict[str, int]:
        """What each index takes."""
        with self._lock:
            return {user_id: index.bytes for user_id, index in self._held.items()}
