"""How long the parts of an operation took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from core.clock import Clock


class Timer:
    """Adds up milliseconds by part, from when it was made. For one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begin = clock.monotonic()
        self._parts: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Counts what happens inside towards a part; parts may come several times."""
        begin = self._clock.monotonic()
        try:
            yield
        finally:
            self._parts[name] += (self._clock.monotonic() - begin) * 1000

    def timings_ms(self) -> Mapping[str, float]:
        """Each part so far, and `total` since the beginning."""
        total = (self._clock.monotonic() - self._begin) * 1000
        return {name: round(ms, 3) for name, ms in (*self._parts.items(), ("total", total))}
