"""What an engine did, in figures: the last few thousand contexts, and sums since it was made."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping

import numpy as np

from core.aws.capacity import NOTHING, Consumed
from core.memory.saving import Saved

_KEPT = 4096


class Durations:
    """The last durations of an operation, in milliseconds. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: deque[float] = deque(maxlen=_KEPT)

    def add(self, milliseconds: float) -> None:
        """Counts one."""
        with self._lock:
            self._held.append(milliseconds)

    def mean(self) -> float:
        """Their mean; 0 before the first."""
        found = self._values()
        return float(found.mean()) if len(found) else 0.0

    def quantiles(self, of: Iterable[float]) -> tuple[float, ...]:
        """Quantiles between 0 and 1 of those kept; zeros before the first."""
        found = self._values()
        return tuple(float(np.quantile(found, q)) if len(found) else 0.0 for q in of)

    def _values(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        with self._lock:
            return np.array(self._held, np.float64)


class Totals:
    """What was consumed, by what for. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[str, Consumed] = {}
        self._counts: dict[str, int] = {}

    def add(self, what: str, consumed: Consumed = NOTHING, *, times: int = 1) -> None:
        """Counts an operation and what it took."""
        with self._lock:
            self._sums[what] = self._sums.get(what, NOTHING) + consumed
            self._counts[what] = self._counts.get(what, 0) + times

    def saved(self, saved: Saved) -> Saved:
        """Counts a save, and what its messages and their index took."""
        self.add("saves", saved.history)
        self.add("indexing", saved.index)
        return saved

    def count(self, what: str) -> int:
        """How often."""
        with self._lock:
            return self._counts.get(what, 0)

    def consumed(self) -> Mapping[str, Consumed]:
        """The sums, by what for; rounds are added up."""
        with self._lock:
            return dict(self._sums)
