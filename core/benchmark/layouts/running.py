"""A whole benchmark: tables of its own, both layouts filled, measured, and removed again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import __version__
from core.aws.capacity import TableSchema
from core.aws.session import AwsSession
from core.benchmark.layouts import machine
from core.benchmark.layouts.contenders import (
    LEGACY,
    OPTIMIZED,
    CountingEmbedder,
    Home,
    LegacyContender,
    OptimizedContender,
)
from core.benchmark.layouts.exchanges import Exchanges
from core.benchmark.layouts.loading import Loader
from core.benchmark.layouts.measuring import Measured, Measurer, Reference, check_stopped
from core.benchmark.layouts.memory_use import MemoryUse, memory_use
from core.benchmark.layouts.plan import Plan, Scenario
from core.benchmark.layouts.profiles import profile
from core.benchmark.layouts.result import SCHEMA, ratios, rows, verdicts
from core.benchmark.layouts.storing import stored
from core.benchmark.layouts.tables import own_tables
from core.clock import Clock, Ids, Random, iso
from core.cost.prices import US_EAST_1
from core.cost.profile import Profile
from core.cost.usage import Usage
from core.llm.cached import CachedEmbedder
from core.llm.choosing import open_embedder
from core.memory.parts import Options
from core.settings import Settings

_PREFIX_CHARS = 20
_RANDOM_CHARS = 8
USAGE = Usage(users=1000, messages_per_day=20, history_days=90)
"""For the cost that stands in the report; `ialctl cost` takes others."""


@dataclass(frozen=True)
class State:
    """How far a run is: `done` of `total` parts, and what it does now."""

    done: int
    total: int
    words: str


@dataclass(frozen=True)
class Target:
    """Where a benchmark runs: the settings and the endpoint, and the folder for its notes."""

    settings: Settings
    endpoint_url: str | None
    folder: Path

    def session(self, clock: Clock, exchanges: Exchanges | None = None) -> AwsSession:
        """Clients of the target."""
        if exchanges is None:
            return AwsSession(self.settings, self.endpoint_url, clock)
        return AwsSession(self.settings, self.endpoint_url, clock, around=exchanges)


@dataclass(frozen=True)
class Stand:
    """What a run measures with, while its tables stand."""

    session: AwsSession
    schemas: Sequence[TableSchema]
    contenders: tuple[LegacyContender, OptimizedContender]
    model: CountingEmbedder


class Benchmark:
    """Runs a plan. One at a time for each state folder."""

    def __init__(
        self,
        target: Target,
        clock: Clock,
        ids: Ids,
        *,
        on_progress: Callable[[State], None],
        stopped: Callable[[], bool],
    ) -> None:
        self._target = target
        self._clock = clock
        self._ids = ids
        self._on_progress = on_progress
        self._stopped = stopped
        self._done = 0
        self._total = 1

    def run(self, plan: Plan) -> dict[str, Any]:
        """The result as plain data (`ialctl.benchmark/1`).

        Raises:
            InterruptedRunError: `stopped` said so; the tables are removed.
            LockHeldError: another benchmark runs here.
        """
        effort = plan.effort
        self._total = len(plan.scenarios) * (2 * effort.blocks + 4) + 4
        begin = self._clock.monotonic()
        started = iso(round(self._clock.time()))
        with self.standing(plan) as stand:
            for scenario in plan.scenarios:
                self._load(stand, scenario)
            measured = [self._measured(stand, plan, s) for s in plan.scenarios]
            memory = self._memory(stand, plan)
            mixed = self._mixed(stand, plan)
            tables = [stored(stand.session, schema) for schema in stand.schemas]
            measurements = [row for found in measured for row in rows(found)]
            source = f"ialctl benchmark, {started[:10]}, {_figures(stand.session)}"
            profiles = {
                LEGACY: profile(LEGACY, source, measured, measurements, tables[:1]),
                OPTIMIZED: profile(OPTIMIZED, source, measured, measurements, tables[1:]),
            }
        return {
            "schema": SCHEMA,
            "run": {
                "id": self._ids()[:_RANDOM_CHARS],
                "started_at": started,
                "seconds": round(self._clock.monotonic() - begin, 1),
                "seed": plan.seed,
                "version": __version__,
            },
            "conditions": conditions(plan, stand),
            "machine": machine.describe(),
            **_figures_of(plan, measured, measurements, memory, profiles),
            "mixed": mixed,
        }

    @contextmanager
    def standing(self, plan: Plan) -> Iterator[Stand]:
        """The tables and both contenders over them, while the block runs."""
        target, clock = self._target, self._clock
        session = target.session(clock)
        prefix = f"{target.settings.project[:_PREFIX_CHARS]}-bench-{self._ids()[:_RANDOM_CHARS]}"
        model = self._model(session, plan)
        with own_tables(session, target.folder, prefix, clock) as schemas:
            homes = [self._home(prefix, model, plan) for _ in range(2)]
            contenders = (LegacyContender(homes[0]), OptimizedContender(homes[1]))
            try:
                yield Stand(session, schemas, contenders, model)
            finally:
                for contender in contenders:
                    contender.close()

    def _model(self, session: AwsSession, plan: Plan) -> CountingEmbedder:
        opened = open_embedder(self._target.settings, session, self._clock)
        inner = opened.inner if isinstance(opened, CachedEmbedder) else opened
        return CountingEmbedder(inner, self._clock, plan.embedding_ms / 1000)

    def _home(self, prefix: str, model: CountingEmbedder, plan: Plan) -> Home:
        exchanges = Exchanges(self._clock, Random(plan.seed), plan.rtt_ms / 1000)
        options = dataclasses.replace(
            Options.of(self._target.settings), project=prefix, generation="", redis_url=None
        )
        session = self._target.session(self._clock, exchanges)
        return Home(session, exchanges, prefix, model, options, self._clock)

    def _load(self, stand: Stand, scenario: Scenario) -> None:
        self._say(f"filling both layouts ({scenario.label} messages)", 2)
        for history in scenario.histories:
            for contender in stand.contenders:
                check_stopped(self._stopped)
                contender.load(history.user_id, history.conversation)

    def _measured(self, stand: Stand, plan: Plan, scenario: Scenario) -> Measured:
        words = f"measuring at {scenario.label} messages"
        user = scenario.histories[0].user_id
        reference = Reference(stand.session, stand.schemas[0].name, user, self._clock)
        measurer = Measurer(
            stand.contenders,
            reference,
            self._clock,
            Random(plan.seed),
            stopped=self._stopped,
            on_block=lambda: self._say(words),
        )
        return measurer.measure(scenario, plan.effort)

    def _memory(self, stand: Stand, plan: Plan) -> dict[tuple[str, str], MemoryUse]:
        found: dict[tuple[str, str], MemoryUse] = {}
        for scenario in plan.scenarios:
            self._say("measuring memory", 2)
            for contender in stand.contenders:
                check_stopped(self._stopped)
                found[(contender.name, scenario.label)] = memory_use(
                    contender, scenario.histories[0]
                )
        return found

    def _mixed(self, stand: Stand, plan: Plan) -> list[dict[str, Any]]:
        histories = [h for s in plan.scenarios for h in s.histories]
        loader = Loader(histories, self._clock, plan.seed, stopped=self._stopped)
        found = []
        for contender in stand.contenders:
            self._say("mixed load", 2)
            step = loader.closed(contender, plan.effort.mixed_s, plan.effort.workers)
            found.append({"layout": contender.name, "workers": plan.effort.workers, **step.plain()})
        return found

    def _say(self, words: str, parts: int = 1) -> None:
        self._done += parts
        self._on_progress(State(min(self._done, self._total), self._total, words))


def conditions(plan: Plan, stand: Stand) -> dict[str, Any]:
    """Under what a result holds; only results with the same ones can be compared."""
    return {
        "where": stand.session.where,
        "figures": _figures(stand.session),
        "embedder": {"model": stand.model.model, "dimensions": stand.model.dimensions},
        "rtt_ms": plan.rtt_ms,
        "embedding_ms": plan.embedding_ms,
        "dataset": plan.dataset,
        "digest": plan.digest,
        "sizes": [s.messages for s in plan.scenarios],
        "histories": [len(s.histories) for s in plan.scenarios],
        "effort": dataclasses.asdict(plan.effort),
    }


def _figures(session: AwsSession) -> str:
    if session.endpoint_url is None:
        return "units as AWS reported them"
    return "units by DynamoDB's capacity rules, not billed by anybody"


def _figures_of(
    plan: Plan,
    measured: Sequence[Measured],
    measurements: Sequence[Mapping[str, Any]],
    memory: Mapping[tuple[str, str], MemoryUse],
    profiles: Mapping[str, Profile],
) -> dict[str, Any]:
    found = verdicts(measured, measurements, memory, profiles, USAGE, US_EAST_1)
    return {
        "measurements": measurements,
        "ratios": [row for one in measured for row in ratios(one, plan.seed)],
        "hit_rates": [
            {"scenario": one.scenario.label, "layout": layout, "rate": round(rate, 4)}
            for one in measured
            for layout, rate in one.hit_rates.items()
        ],
        "memory": [
            {"layout": layout, "scenario": label, **dataclasses.asdict(use)}
            for (layout, label), use in memory.items()
        ],
        "claims": [verdict.plain() for verdict in found],
        "profiles": {name: one.to_json() for name, one in profiles.items()},
    }
