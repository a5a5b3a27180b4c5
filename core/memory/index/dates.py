"""The terms of messages' dates, which stand in no segment: a row's time says them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from core.memory.index.words import hashed
from core.memory.keys import MICROSECONDS
from core.memory.terms import date_words, terms

_DAY_US = 86_400 * MICROSECONDS


class DateTerms:
    """Hashed terms by day, each made once. Not thread-safe."""

    def __init__(self) -> None:
        self._days: dict[int, tuple[int, ...]] = {}

    def of(self, times_us: Iterable[int]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """The terms of all these dates, one after the other, and how many each has."""
        dates = [self._of_day(int(time)) for time in times_us]
        found = np.array([term for date in dates for term in date], np.uint32)
        return found, np.array([len(date) for date in dates], np.int64)

    def _of_day(self, time_us: int) -> tuple[int, ...]:
        day = time_us // _DAY_US
        if day not in self._days:
            self._days[day] = tuple(map(hashed, terms(date_words(time_us))))
        return self._days[day]
