"""A whole benchmark: tables of its own, both layouts filled, measured, and removed again."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from core import __version__
from core.aws.capacity import TableSchema
from core.aws.codec import WireItem
from core.aws.session import AwsSession
from core.benchmark.evaluation.running import State
from core.benchmark.layouts import machine
from core.benchmark.layouts.answer import answer
from core.benchmark.layouts.comparing import Loss, check_comparable, losses
from core.benchmark.layouts.contenders import (
    INLINE_SUFFIX,
    LEGACY,
    LEGACY_INLINE,
    LEGACY_WHOLE,
    OPTIMIZED,
    Contender,
    LegacyContender,
    OptimizedContender,
)
from core.benchmark.layouts.loading import Loader
from core.benchmark.layouts.measuring import Measured, Measurer, Reference, check_stopped
from core.benchmark.layouts.memory_use import MemoryUse, asked_of, memory_use
from core.benchmark.layouts.opening import Opener, Target
from core.benchmark.layouts.peers import peer_rows, peer_schemas
from core.benchmark.layouts.plan import Plan, Scenario
from core.benchmark.layouts.profiles import profile
from core.benchmark.layouts.result import INLINE_PROFILE, SCHEMA, Found, ratios, rows, verdicts
from core.benchmark.layouts.storing import stored
from core.benchmark.layouts.tables import own_tables
from core.clock import Clock, Ids, iso
from core.cost.prices import US_EAST_1
from core.cost.profile import Profile
from core.cost.usage import Usage
from core.memory.context_engine import WINDOW

_PREFIX_CHARS = 20
_RANDOM_CHARS = 8
_WHOLE_BLOCKS, _MEMORY_PARTS = 3, 3
_CONFIRMED = 2
"""How often what looks worse is measured again."""
_OURS = 3
"""Tables of both layouts; those of peers come after."""
_NOTHING: Mapping[str, Any] = {
    **dict.fromkeys(("measurements", "ratios", "hit_rates", "memory", "claims"), ()),
    **dict.fromkeys(("mixed", "load", "peers"), ()),
    "profiles": {},
    "losses": None,
}
"""The parts of a result that a run may leave out."""
_INLINE_BLOCKS = 5
_INLINE_OPERATIONS = ("context_warm", "context_cold", "search", "recent", "append")
_WHOLE_OPERATIONS = ("context_warm", "search")
USAGE = Usage(users=1000, messages_per_day=20, history_days=90)
"""For the cost that stands in the report; `ialctl cost` takes others."""


@dataclass(frozen=True)
class Stand:
    """What a run measures with, while its tables stand."""

    opener: Opener
    session: AwsSession
    schemas: Sequence[TableSchema]
    contenders: tuple[LegacyContender, OptimizedContender]


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

    def run(self, plan: Plan, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The result as plain data (`ialctl.benchmark/1`); `base` is one to compare it with.

        Raises:
            InterruptedRunError: `stopped` said so; the tables are removed.
            LockHeldError: another benchmark runs here.
            UsageError: `base` was measured under other conditions.
        """
        self.expect(_parts(plan))
        return self.around(plan, lambda stand: self._compared(stand, plan, base), base)

    def around(
        self,
        plan: Plan,
        measure: Callable[[Stand], dict[str, Any]],
        base: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """A result whose tables stand, filled, while `measure` makes the rest of it; as `run`."""
        begin, started = self._clock.monotonic(), iso(round(self._clock.time()))
        load = machine.load()
        with self.standing(plan) as stand:
            about = conditions(plan, stand)
            if base is not None:
                check_comparable(base["conditions"], about)
            for scenario in plan.scenarios:
                self._load(stand, scenario)
            parts = {**_NOTHING, **measure(stand)}
        result = {
            "schema": SCHEMA,
            "run": {
                "id": self._ids()[:_RANDOM_CHARS],
                "started_at": started,
                "seconds": round(self._clock.monotonic() - begin, 1),
                "seed": plan.seed,
                "version": __version__,
            },
            "conditions": about,
            "machine": {**machine.describe(), "load_before": load},
            **parts,
        }
        return {**result, "answer": list(answer(result))}

    def _compared(self, stand: Stand, plan: Plan, base: Mapping[str, Any] | None) -> dict[str, Any]:
        measured = [self._measured(stand, plan, s) for s in plan.scenarios]
        whole = [self._whole(stand, plan, s) for s in plan.scenarios if s.messages > WINDOW]
        inlined = [self._inlined(stand, plan, s) for s in plan.scenarios]
        found = (*measured, *inlined, *whole)
        measurements = [row for one in found for row in rows(one)]
        lost = self._lost(stand, plan, base, measurements)
        peers = list(self._peers(stand, plan))
        memory = self._memory(stand, plan)
        mixed = self._mixed(stand, plan)
        session, schemas = stand.session, stand.schemas[:_OURS]
        inline = [stored(session, schemas[0], _is_inline)]
        plain = [stored(session, schemas[0], lambda item: not _is_inline(item))]
        optimized = [stored(session, schema) for schema in schemas[1:]]
        day = iso(self._clock.time())[:10]
        source = f"ialctl benchmark, {day}, {_figures(stand.session)}"
        profiles = {
            LEGACY: profile(LEGACY, source, measured, measurements, plain),
            OPTIMIZED: profile(OPTIMIZED, source, measured, measurements, optimized),
            INLINE_PROFILE: profile(LEGACY_INLINE, source, inlined, measurements, inline),
        }
        return {
            **_figures_of(plan, measured, measurements, memory, profiles),
            "peers": peers,
            "mixed": mixed,
            "losses": None if base is None else [loss.plain() for loss in lost],
        }

    @contextmanager
    def standing(self, plan: Plan) -> Iterator[Stand]:
        """The tables and both contenders over them, while the block runs."""
        prefix = f"{self._target.project[:_PREFIX_CHARS]}-bench-{self._ids()[:_RANDOM_CHARS]}"
        opener = Opener(self._target, prefix, plan.seed, plan.rtt_ms, plan.embedding_ms)
        session = self._target.session(self._clock)
        others = peer_schemas(prefix) if plan.peers else ()
        made = own_tables(session, self._target.folder, prefix, self._clock, others)
        with made as schemas:
            contenders = (opener.legacy(), opener.optimized())
            try:
                yield Stand(opener, session, schemas, contenders)
            finally:
                for contender in contenders:
                    contender.close()

    def _load(self, stand: Stand, scenario: Scenario) -> None:
        self.say(f"filling both layouts ({scenario.label} messages)", 2)
        for history in scenario.histories:
            for contender in stand.contenders:
                check_stopped(self._stopped)
                contender.load(history.user_id, history.conversation)

    def _measured(self, stand: Stand, plan: Plan, scenario: Scenario) -> Measured:
        measurer = self._measurer(stand, plan, scenario, f"at {scenario.label} messages")
        return measurer.measure(scenario, plan.effort)

    def _inlined(self, stand: Stand, plan: Plan, scenario: Scenario) -> Measured:
        """A legacy engine whose items carry vectors: fewer rounds, no comparison hangs on it."""
        carrier = stand.contenders[0].inline()
        words = f"at {scenario.label} messages, legacy, vectors inline"
        self.say(words)
        for history in scenario.histories:
            carrier.load(history.user_id, history.conversation)
        measurer = self._measurer(stand, plan, scenario, words, (carrier,))
        effort = dataclasses.replace(plan.effort, blocks=_INLINE_BLOCKS)
        return measurer.measure(scenario, effort, _INLINE_OPERATIONS)

    def _whole(self, stand: Stand, plan: Plan, scenario: Scenario) -> Measured:
        """A legacy engine that searches as much, and so finds as much: a few calls, being slow."""
        searcher = stand.contenders[0].whole(scenario.messages)
        words = f"at {scenario.label} messages, legacy, all of them searched"
        measurer = self._measurer(stand, plan, scenario, words, (searcher,))
        effort = dataclasses.replace(plan.effort, blocks=_WHOLE_BLOCKS, calls=1, counted=0)
        return measurer.measure(scenario, effort, _WHOLE_OPERATIONS)

    def _measurer(
        self,
        stand: Stand,
        plan: Plan,
        scenario: Scenario,
        words: str,
        contenders: Sequence[Contender] | None = None,
    ) -> Measurer:
        user = scenario.histories[0].user_id
        return Measurer(
            contenders or stand.contenders,
            Reference(stand.session, stand.schemas[0].name, user, self._clock),
            self._clock,
            plan.seed,
            stopped=self._stopped,
            on_block=lambda: self.say(f"measuring {words}"),
        )

    def _lost(
        self,
        stand: Stand,
        plan: Plan,
        base: Mapping[str, Any] | None,
        measurements: list[dict[str, Any]],
    ) -> tuple[Loss, ...]:
        """What is worse than in `base`, and still is each time that it is measured again."""
        if base is None:
            return ()
        before, tolerance = base["measurements"], plan.tolerance
        lost = losses(before, measurements, seed=plan.seed, tolerance=tolerance)
        for _ in range(_CONFIRMED):
            self._measure_again(stand, plan, lost, measurements)
            named = {(x.operation, x.scenario, x.quantity) for x in lost}
            still = losses(before, measurements, seed=plan.seed, tolerance=tolerance)
            lost = tuple(x for x in still if (x.operation, x.scenario, x.quantity) in named)
        return lost

    def _measure_again(
        self,
        stand: Stand,
        plan: Plan,
        lost: Sequence[Loss],
        measurements: list[dict[str, Any]],
    ) -> None:
        for scenario in plan.scenarios:
            again = {loss.operation for loss in lost if loss.scenario == scenario.label}
            if again:
                words = f"once more, at {scenario.label} messages"
                measurer = self._measurer(stand, plan, scenario, words)
                found = rows(measurer.measure(scenario, plan.effort, tuple(again)))
                _replace(measurements, found)

    def _memory(self, stand: Stand, plan: Plan) -> dict[tuple[str, str], MemoryUse]:
        return {
            (name, scenario.label): self._memory_of(make, scenario)
            for scenario in plan.scenarios
            for name, make in _openers(stand.opener, scenario)
        }

    def _memory_of(self, make: Callable[[], Contender], scenario: Scenario) -> MemoryUse:
        check_stopped(self._stopped)
        self.say("measuring memory", _MEMORY_PARTS)
        return memory_use(make, asked_of(scenario.histories[0]))

    def _peers(self, stand: Stand, plan: Plan) -> Iterator[dict[str, Any]]:
        for scenario in plan.scenarios if plan.peers else ():
            self.say(f"measuring peers at {scenario.label} messages", 0)
            yield from peer_rows(
                stand.session,
                stand.opener.prefix,
                scenario,
                plan.effort,
                self._clock,
                lambda: check_stopped(self._stopped),
            )

    def _mixed(self, stand: Stand, plan: Plan) -> list[dict[str, Any]]:
        histories = [h for s in plan.scenarios for h in s.histories]
        loader = Loader(histories, self._clock, plan.seed, stopped=self._stopped)
        found = []
        for contender in stand.contenders:
            self.say("mixed load")
            step = loader.closed(contender, plan.effort.mixed_s, plan.effort.workers)
            found.append({"layout": contender.name, "workers": plan.effort.workers, **step.plain()})
        return found

    def expect(self, parts: int) -> None:
        """Says how much is to be done in all."""
        self._total = parts

    def say(self, words: str, parts: int = 1) -> None:
        """Tells what it does now; `parts` more are done."""
        self._done += parts
        self._on_progress(State(min(self._done, self._total), self._total, words))


def _parts(plan: Plan) -> int:
    """How often a comparison says what it does, weighted as `say` is told."""
    searched_whole = sum(s.messages > WINDOW for s in plan.scenarios)
    each = 3 + 2 * plan.effort.blocks + 2 * _INLINE_BLOCKS + 3 * _MEMORY_PARTS
    return len(plan.scenarios) * each + searched_whole * (_WHOLE_BLOCKS * 2 + _MEMORY_PARTS) + 2


def _is_inline(item: WireItem) -> bool:
    return str(item["user_id"].get("S", "")).endswith(INLINE_SUFFIX)


def _replace(measurements: list[dict[str, Any]], by: Iterable[dict[str, Any]]) -> None:
    """Puts rows in the places of those of the same layout, operation and scenario."""
    places = {
        (row["layout"], row["operation"], row["scenario"]): n for n, row in enumerate(measurements)
    }
    for row in by:
        measurements[places[row["layout"], row["operation"], row["scenario"]]] = row


def _openers(opener: Opener, scenario: Scenario) -> Iterator[tuple[str, Callable[[], Contender]]]:
    yield LEGACY, opener.legacy
    yield OPTIMIZED, opener.optimized
    yield LEGACY_INLINE, opener.inline
    if scenario.messages > WINDOW:
        yield LEGACY_WHOLE, functools.partial(opener.whole, scenario.messages)


def conditions(plan: Plan, stand: Stand) -> dict[str, Any]:
    """Under what a result holds; only results with the same ones can be compared."""
    model = stand.contenders[0].model
    return {
        "where": stand.session.where,
        "figures": _figures(stand.session),
        "embedder": {"model": model.model, "dimensions": model.dimensions},
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
    return "units by DynamoDB's capacity rules, billed by nobody"


def _figures_of(
    plan: Plan,
    measured: Sequence[Measured],
    measurements: Sequence[Mapping[str, Any]],
    memory: Mapping[tuple[str, str], MemoryUse],
    profiles: Mapping[str, Profile],
) -> dict[str, Any]:
    found = Found(plan.scenarios, measurements, memory, profiles, USAGE, US_EAST_1)
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
        "claims": [verdict.plain() for verdict in verdicts(found)],
        "profiles": {name: one.to_json() for name, one in profiles.items()},
    }
