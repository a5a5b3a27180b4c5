"""Load on both layouts: at a rate, up to the rate they bear, and with faults in the middle."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from core.benchmark.layouts.contenders import Contender, OptimizedContender
from core.benchmark.layouts.exchanges import NO_FAULTS, Faults
from core.benchmark.layouts.forwarder import Forwarder
from core.benchmark.layouts.loading import Loader, Step
from core.benchmark.layouts.plan import Plan
from core.benchmark.layouts.running import Benchmark
from core.benchmark.layouts.stand import Stand
from core.clock import Clock

_MOST_STEPS = 9
"""Of a ramp, about: doublings and then a closer look."""


@dataclass(frozen=True)
class LoadPlan:
    """How much load, and what is to go wrong meanwhile.

    `rate` in calls a second; None is a closed loop, as fast as it goes. With faults a run has
    three stretches of `duration_s`: before, while and after they are there. `named` are the faults
    as they were asked for.
    """

    rate: float | None = None
    duration_s: float = 10.0
    ramp: bool = False
    limit_ms: float = 100.0
    faults: Faults = NO_FAULTS
    redis_url: str | None = None
    redis_gone: bool = False
    named: tuple[str, ...] = ()


class LoadTest:
    """Runs a load plan over a benchmark's tables."""

    def __init__(self, runner: Benchmark, clock: Clock, stopped: Callable[[], bool]) -> None:
        self._runner = runner
        self._clock = clock
        self._stopped = stopped

    def run(self, plan: Plan, load: LoadPlan) -> dict[str, Any]:
        """The result as plain data.

        Raises:
            InterruptedRunError: it was stopped; the tables are removed.
        """
        steps = _MOST_STEPS if load.ramp else 3 if load.named else 1
        self._runner.expect(2 * (len(plan.scenarios) + steps) + 1)
        return self._runner.around(plan, lambda stand: {"load": self._load(stand, plan, load)})

    def _load(self, stand: Stand, plan: Plan, load: LoadPlan) -> list[dict[str, Any]]:
        histories = [h for s in plan.scenarios for h in s.histories]
        loader = Loader(histories, self._clock, plan.seed, stopped=self._stopped)
        found = []
        with self._contenders(stand, load) as (contenders, forwarder):
            for contender in contenders:
                # The legacy engine knows no Redis: there is nothing to take from it.
                redis = forwarder if isinstance(contender, OptimizedContender) else None
                steps, held = self._steps(loader, contender, load, redis)
                found.append(
                    {
                        "layout": contender.name,
                        "limit_ms": load.limit_ms if load.ramp else None,
                        "held_rate": held,
                        "faults": list(load.named),
                        "hit_rate": round(contender.hit_rate(), 4),
                        "steps": [step.plain() for step in steps],
                    }
                )
        return found

    def _steps(
        self, loader: Loader, contender: Contender, load: LoadPlan, redis: Forwarder | None
    ) -> tuple[list[Step], float | None]:
        if load.ramp:
            contender.exchanges.faults = load.faults

            def tell(rate: float) -> None:
                self._say(contender, f"{rate:g} calls/s")

            return loader.ramp(contender, load.rate or 1.0, load.duration_s, load.limit_ms, tell)
        if not load.named:
            self._say(contender, "load")
            return [self._step(loader, contender, load, "load")], None
        steps = []
        for name in ("before", "with faults", "after"):
            self._say(contender, name)
            contender.exchanges.faults = load.faults if name == "with faults" else NO_FAULTS
            if redis is not None and name == "with faults":
                redis.cut()
            if redis is not None and name == "after":
                redis.mend()
            steps.append(self._step(loader, contender, load, name))
        return steps, None

    def _step(self, loader: Loader, contender: Contender, load: LoadPlan, name: str) -> Step:
        if load.rate is None:
            step = loader.closed(contender, load.duration_s)
            return dataclasses.replace(step, name=name)
        return loader.open(contender, load.rate, load.duration_s, name=name)

    def _say(self, contender: Contender, words: str) -> None:
        self._runner.say(f"{contender.name}: {words}")

    @contextmanager
    def _contenders(
        self, stand: Stand, load: LoadPlan
    ) -> Iterator[tuple[tuple[Contender, ...], Forwarder | None]]:
        """Both, the optimized one with the Redis that the settings name; and what cuts it off."""
        legacy, optimized = stand.contenders
        if load.redis_url is None:
            yield (legacy, optimized), None
            return
        with ExitStack() as closing:
            url, forwarder = load.redis_url, None
            if load.redis_gone:
                forwarder = closing.enter_context(Forwarder(url))
                url = forwarder.url
            home = dataclasses.replace(stand.opener, redis_url=url).home()
            with_redis = optimized.moved(home)
            closing.callback(with_redis.close)
            yield (legacy, with_redis), forwarder
