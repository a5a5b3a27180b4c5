"""Every request between an engine and its endpoint: timed, and delayed or failed where asked."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson
import urllib3

from core.aws.wire import Exchange
from core.clock import Clock, Random

_THROTTLED = orjson.dumps(
    {
        "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "message": "A fault of this benchmark, not of the endpoint.",
    }
)


@dataclass(frozen=True)
class Faults:
    """What to do to requests: `throttled` and `slow` are shares of them, 0 to 1."""

    throttled: float = 0.0
    slow: float = 0.0
    slow_ms: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.throttled or self.slow)


NO_FAULTS = Faults()


@dataclass(frozen=True)
class Waited:
    """What the requests of an operation came to: how many tries, and seconds with one in flight.

    Of requests side by side the time they overlap counts once.
    """

    requests: int
    seconds: float


class Exchanges:
    """Stands around the exchanges of a session's client. Thread-safe."""

    def __init__(
        self, clock: Clock, rng: Random, delay_s: float = 0.0, faults: Faults = NO_FAULTS
    ) -> None:
        """`delay_s` is waited before each request, as a network would make one wait."""
        self._clock = clock
        self._rng = rng
        self._delay_s = delay_s
        self.faults = faults
        self._lock = threading.Lock()
        self._spans: list[tuple[float, float]] = []

    def __call__(self, _: str, exchange: Exchange) -> urllib3.BaseHTTPResponse:
        """Makes an exchange, or answers in the endpoint's place."""
        begin = self._clock.monotonic()
        try:
            if self._delay_s:
                self._clock.sleep(self._delay_s)
            return self._exchanged(exchange)
        finally:
            span = (begin, self._clock.monotonic())
            with self._lock:
                self._spans.append(span)

    def take(self) -> Waited:
        """What came since it was last asked; for one operation at a time."""
        with self._lock:
            spans, self._spans = self._spans, []
        return Waited(len(spans), covered(spans))

    def _exchanged(self, exchange: Exchange) -> urllib3.BaseHTTPResponse:
        faults = self.faults
        if faults and self._rng.random() < faults.throttled:
            return urllib3.HTTPResponse(_THROTTLED, {}, 400, preload_content=True)
        if faults and self._rng.random() < faults.slow:
            self._clock.sleep(faults.slow_ms / 1000)
        return exchange()


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """How long at least one of the spans lasted; where they overlap counts once."""
    total, until = 0.0, float("-inf")
    ordered: Sequence[tuple[float, float]] = sorted(spans)
    for begin, end in ordered:
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total
