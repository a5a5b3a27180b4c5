"""Load: many users at once, as fast as it goes or at a stated rate.

A closed loop asks again once it is answered, so a slow answer delays the next question, and the
questions that were not asked meanwhile are missing from its latencies: coordinated omission
(G. Tene, "How NOT to Measure Latency"). An open loop asks at its rate whatever comes back, and a
latency counts from the instant the call was *due*. Both figures of an open loop are reported:
`latency_ms` from when it was due, `service_ms` from when a worker got to it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from core.benchmark.layouts.contenders import Contender, Saying
from core.benchmark.layouts.measuring import check_stopped
from core.benchmark.layouts.plan import History
from core.benchmark.layouts.samples import curve, quantiles
from core.clock import Clock, Random
from core.errors import IalError

MIX = (("context_warm", 50), ("append", 30), ("recent", 10), ("search", 10))
"""Of a hundred calls so many of each: a turn of a conversation reads, answers and is stored."""
CLOSED_WORKERS, OPEN_WORKERS = 8, 48
_STEADY = 0.95
_SLICE_S = 0.2
_BISECTIONS = 3
_MOST_RATE = 100_000.0


@dataclass(frozen=True)
class _Done:
    operation: str
    latency_ms: float
    service_ms: float
    error: str | None


@dataclass(frozen=True)
class Step:
    """What one stretch of load came to. `rate` is what was asked for (None: a closed loop)."""

    name: str
    rate: float | None
    seconds: float
    done: tuple[_Done, ...]

    @property
    def per_second(self) -> float:
        """Calls answered a second."""
        return sum(d.error is None for d in self.done) / self.seconds

    @property
    def p99_ms(self) -> float:
        """The 99th percentile of latency; infinite where nothing was answered."""
        times = [d.latency_ms for d in self.done if d.error is None]
        return quantiles(times).get("p99", float("inf"))

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        fine = [d for d in self.done if d.error is None]
        failed = [d.error for d in self.done if d.error is not None]
        return {
            "step": self.name,
            "rate": self.rate,
            "seconds": round(self.seconds, 3),
            "calls": len(self.done),
            "per_second": round(self.per_second, 2),
            "latency_ms": quantiles([d.latency_ms for d in fine]),
            "service_ms": quantiles([d.service_ms for d in fine]),
            "curve": curve([d.latency_ms for d in fine]),
            "errors": {name: failed.count(name) for name in sorted(set(failed))},
        }


class Loader:
    """Puts load on a contender over users' histories."""

    def __init__(
        self,
        histories: Sequence[History],
        clock: Clock,
        seed: int,
        *,
        stopped: Callable[[], bool],
    ) -> None:
        self._histories = histories
        self._clock = clock
        self._seed = seed
        self._stopped = stopped

    def closed(self, contender: Contender, seconds: float, workers: int = CLOSED_WORKERS) -> Step:
        """`workers` threads, each of which calls again once it is answered."""
        begin = self._clock.monotonic()
        calls, lock = self._calls(contender), threading.Lock()

        def work(_: int) -> list[_Done]:
            found = []
            while self._clock.monotonic() - begin < seconds and not self._stopped():
                with lock:
                    operation, call = next(calls)
                started = self._clock.monotonic()
                found.append(self._done(operation, call, started, started))
            return found

        return self._worked("closed loop", None, work, workers, begin)

    def open(self, contender: Contender, rate: float, seconds: float, *, name: str = "") -> Step:
        """`rate` calls a second, each due at its own instant, for `seconds`."""
        begin = self._clock.monotonic()
        calls, numbers, lock = self._calls(contender), itertools.count(), threading.Lock()
        total = max(1, round(rate * seconds))

        def work(_: int) -> list[_Done]:
            found = []
            while not self._stopped():
                with lock:
                    number = next(numbers)
                    operation, call = next(calls)
                if number >= total:
                    break
                due = begin + number / rate
                if not self._waited(due):
                    break
                found.append(self._done(operation, call, due, self._clock.monotonic()))
            return found

        return self._worked(name or f"{rate:g}/s", rate, work, OPEN_WORKERS, begin)

    def ramp(
        self,
        contender: Contender,
        rate: float,
        seconds: float,
        limit_ms: float,
        on_step: Callable[[float], None] = lambda _: None,
    ) -> tuple[list[Step], float | None]:
        """Doubles the rate until p99 passes `limit_ms` or calls pile up, then closes in.

        `on_step` is told each rate that is tried.

        Returns:
            Every step, and the highest rate that held (None: not even the first).
        """
        steps: list[Step] = []

        def holds(rate: float) -> bool:
            # A machine has hiccups: a rate is too high only if it is so twice.
            for _ in range(2):
                on_step(rate)
                steps.append(self.open(contender, rate, seconds))
                if _holds(steps[-1], limit_ms):
                    return True
            return False

        held: float | None = None
        while rate < _MOST_RATE and holds(rate):
            held, rate = rate, rate * 2
        over = rate
        for _ in range(_BISECTIONS if held is not None else 0):
            middle = round(((held or 0) + over) / 2, 1)
            if holds(middle):
                held = middle
            else:
                over = middle
        return steps, held

    def _waited(self, until: float) -> bool:
        """Waits until an instant; False where the run is to end before."""
        while (left := until - self._clock.monotonic()) > 0 and not self._stopped():
            self._clock.sleep(min(left, _SLICE_S))
        return not self._stopped()

    def _worked(
        self,
        name: str,
        rate: float | None,
        work: Callable[[int], list[_Done]],
        workers: int,
        begin: float,
    ) -> Step:
        with ThreadPoolExecutor(workers, thread_name_prefix="load") as pool:
            done = [one for some in pool.map(work, range(workers)) for one in some]
        check_stopped(self._stopped)
        return Step(name, rate, self._clock.monotonic() - begin, tuple(done))

    def _done(
        self, operation: str, call: Callable[[], object], due: float, started: float
    ) -> _Done:
        error = None
        try:
            call()
        except IalError as raised:
            error = type(raised).__name__
        end = self._clock.monotonic()
        return _Done(operation, (end - due) * 1000, (end - started) * 1000, error)

    def _calls(self, contender: Contender) -> Iterator[tuple[str, Callable[[], object]]]:
        """Calls without end, the same ones for each contender."""
        rng = Random(self._seed)
        names, weights = [name for name, _ in MIX], [share for _, share in MIX]
        says = {h.user_id: Saying(h.conversation) for h in self._histories}
        while True:
            history = rng.choice(self._histories)
            operation = rng.choices(names, weights)[0]
            yield operation, _call(contender, operation, history, says[history.user_id], rng)


def _call(
    contender: Contender, operation: str, history: History, saying: Saying, rng: Random
) -> Callable[[], object]:
    user = history.user_id
    session = history.conversation.messages[-1].session_id
    if operation == "append":
        role, text = saying.next()
        return lambda: contender.append(user, session, role, text)
    if operation == "recent":
        return lambda: contender.recent(user)
    question = rng.choice(history.conversation.questions)
    if operation == "search":
        return lambda: contender.search(user, question)
    return lambda: contender.context(user, question, session)


def _holds(step: Step, limit_ms: float) -> bool:
    rate = step.rate or 0.0
    failed = any(done.error for done in step.done)
    return not failed and step.p99_ms <= limit_ms and step.per_second >= _STEADY * rate
