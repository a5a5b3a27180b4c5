"""Both layouts measured against one another: what reads first, what appends last."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from core.aws.codec import WireItem
from core.benchmark.layouts.comparing import Loss, losses, memory_losses
from core.benchmark.layouts.contenders import (
    INLINE_SUFFIX,
    LEGACY,
    LEGACY_INLINE,
    LEGACY_WHOLE,
    OPTIMIZED,
    Contender,
)
from core.benchmark.layouts.conversations import made_conversation
from core.benchmark.layouts.loading import Loader
from core.benchmark.layouts.measuring import (
    APPENDS,
    READS,
    Measured,
    Measurer,
    Reference,
    check_stopped,
)
from core.benchmark.layouts.memory_use import WARM_USER, MemoryUse, asked_of, memory_use
from core.benchmark.layouts.opening import Opener
from core.benchmark.layouts.peers import peer_rows
from core.benchmark.layouts.plan import Effort, Plan, Scenario
from core.benchmark.layouts.profiles import profile
from core.benchmark.layouts.result import INLINE_PROFILE, Found, ratios, rows, verdicts
from core.benchmark.layouts.stand import OURS, Stand
from core.benchmark.layouts.storing import stored
from core.clock import Clock, iso
from core.cost.prices import US_EAST_1
from core.cost.profile import Profile
from core.cost.usage import Usage
from core.memory.context_engine import WINDOW

USAGE = Usage(users=1000, messages_per_day=20, history_days=90)
"""For the cost that stands in the report; `ialctl cost` takes others."""
_WARM_MESSAGES = 20
_WHOLE_BLOCKS, _INLINE_BLOCKS, _MEMORY_PARTS = 3, 3, 3
_INLINE_COUNTED = 10
_CONFIRMED = 2
"""How often what looks worse is measured again."""
_INLINE_READS = ("context_warm", "context_cold", "search", "recent")
_WHOLE_READS = ("context_warm", "search")


def parts(plan: Plan) -> int:
    """How often a comparison says what it does, weighted as it is told."""
    searched_whole = sum(s.messages > WINDOW for s in plan.scenarios)
    each = 3 + 2 * plan.effort.blocks + 2 * _INLINE_BLOCKS + 3 * _MEMORY_PARTS
    return len(plan.scenarios) * each + searched_whole * (_WHOLE_BLOCKS + _MEMORY_PARTS) + 2


class Comparison:
    """One comparison over the filled tables of a benchmark."""

    def __init__(
        self,
        stand: Stand,
        plan: Plan,
        clock: Clock,
        stopped: Callable[[], bool],
        say: Callable[..., None],
    ) -> None:
        """`say` is told what it does, and how many parts are done with that."""
        self._stand = stand
        self._plan = plan
        self._clock = clock
        self._stopped = stopped
        self._say = say

    def run(self, base: Mapping[str, Any] | None) -> dict[str, Any]:
        """The figures of a result; what is worse than in `base`, if one is given.

        Raises:
            InterruptedRunError: it was stopped.
        """
        measured = [self._measured(scenario, READS) for scenario in self._plan.scenarios]
        lost = self._lost(base, measured)
        whole = [self._whole(s) for s in self._plan.scenarios if s.messages > WINDOW]
        inline = [self._inline(scenario) for scenario in self._plan.scenarios]
        memory = self._memory()
        # From here on histories grow.
        appended = [self._measured(scenario, APPENDS) for scenario in self._plan.scenarios]
        lost += self._lost(base, appended)
        for one, more in zip(measured, appended, strict=True):
            one.add(more)
        for one in inline:
            one.add(self._inline_appends(one.scenario))
        found = (*measured, *inline, *whole)
        measurements = [row for one in found for row in rows(one)]
        if base is not None:
            lost += memory_losses(base, memory)
        profiles = self._profiles(measured, inline, measurements)
        return {
            **self._figures(measured, measurements, memory, profiles),
            "peers": list(self._peers()),
            "mixed": self._mixed(),
            "losses": None if base is None else [loss.plain() for loss in lost],
        }

    def _measured(self, scenario: Scenario, operations: Sequence[str]) -> Measured:
        measurer = self._measurer(scenario, f"at {scenario.label} messages")
        return measurer.measure(scenario, self._plan.effort, operations)

    def _inline(self, scenario: Scenario) -> Measured:
        """A legacy engine whose items carry vectors: fewer rounds, no comparison hangs on it."""
        carrier = self._stand.contenders[0].inline()
        words = f"at {scenario.label} messages, legacy, vectors inline"
        self._say(words)
        for history in scenario.histories:
            carrier.load(history.user_id, history.conversation)
        measurer = self._measurer(scenario, words, (carrier,))
        return measurer.measure(scenario, self._inline_effort, _INLINE_READS)

    @property
    def _inline_effort(self) -> Effort:
        plain = self._plan.effort
        return dataclasses.replace(plain, blocks=_INLINE_BLOCKS, counted=_INLINE_COUNTED)

    def _inline_appends(self, scenario: Scenario) -> Measured:
        carrier = self._stand.contenders[0].inline()
        words = f"at {scenario.label} messages, legacy, vectors inline"
        measurer = self._measurer(scenario, words, (carrier,))
        return measurer.measure(scenario, self._inline_effort, APPENDS)

    def _whole(self, scenario: Scenario) -> Measured:
        """A legacy engine that searches as much, and so finds as much: a few calls, being slow."""
        searcher = self._stand.contenders[0].whole(scenario.messages)
        words = f"at {scenario.label} messages, legacy, all of them searched"
        effort = dataclasses.replace(self._plan.effort, blocks=_WHOLE_BLOCKS, calls=1, counted=0)
        return self._measurer(scenario, words, (searcher,)).measure(scenario, effort, _WHOLE_READS)

    def _measurer(
        self, scenario: Scenario, words: str, contenders: Sequence[Contender] = ()
    ) -> Measurer:
        stand = self._stand
        user = scenario.histories[0].user_id
        return Measurer(
            contenders or stand.contenders,
            Reference(stand.session, stand.schemas[0].name, user, self._clock),
            self._clock,
            self._plan.seed,
            stopped=self._stopped,
            on_block=lambda: self._say(f"measuring {words}"),
        )

    def _lost(self, base: Mapping[str, Any] | None, measured: Sequence[Measured]) -> list[Loss]:
        """What is worse than in `base`, and still is each time that it is measured again."""
        if base is None:
            return []
        lost = self._worse(base, measured)
        for _ in range(_CONFIRMED):
            slower = {loss.scenario for loss in lost if loss.quantity == "time"}
            for one in measured:
                if one.scenario.label in slower:
                    self._measure_again(one)
            named = {(x.operation, x.scenario, x.quantity) for x in lost}
            still = self._worse(base, measured)
            lost = [x for x in still if (x.operation, x.scenario, x.quantity) in named]
        return lost

    def _worse(self, base: Mapping[str, Any], measured: Sequence[Measured]) -> list[Loss]:
        plan = self._plan
        now = [row for one in measured for row in rows(one)]
        return list(losses(base["measurements"], now, seed=plan.seed, tolerance=plan.tolerance))

    def _measure_again(self, found: Measured) -> None:
        """All times anew; counts stay, for what was appended meanwhile would count in."""
        measurer = self._measurer(found.scenario, f"once more, at {found.scenario.label} messages")
        effort = dataclasses.replace(self._plan.effort, counted=0)
        found.retime(measurer.measure(found.scenario, effort, tuple(found.reference)))

    def _memory(self) -> dict[tuple[str, str], MemoryUse]:
        last_us = min(
            h.conversation.messages[-1].timestamp_us
            for s in self._plan.scenarios
            for h in s.histories
        )
        small = made_conversation(_WARM_MESSAGES, self._plan.seed, last_us=last_us)
        legacy, optimized = self._stand.contenders
        for contender in (legacy, optimized, legacy.inline()):
            contender.load(WARM_USER, small)
        return {
            (name, scenario.label): self._memory_of(make, scenario)
            for scenario in self._plan.scenarios
            for name, make in _openers(self._stand.opener, scenario)
        }

    def _memory_of(self, make: Callable[[], Contender], scenario: Scenario) -> MemoryUse:
        check_stopped(self._stopped)
        self._say("measuring memory", _MEMORY_PARTS)
        return memory_use(make, asked_of(scenario.histories[0]))

    def _peers(self) -> Iterator[dict[str, Any]]:
        for scenario in self._plan.scenarios if self._plan.peers else ():
            self._say(f"measuring peers at {scenario.label} messages", 0)
            yield from peer_rows(
                self._stand,
                scenario,
                self._plan,
                self._clock,
                lambda: check_stopped(self._stopped),
            )

    def _mixed(self) -> list[dict[str, Any]]:
        plan = self._plan
        histories = [h for s in plan.scenarios for h in s.histories]
        loader = Loader(histories, self._clock, plan.seed, stopped=self._stopped)
        found = []
        for contender in self._stand.contenders:
            self._say("mixed load")
            step = loader.closed(contender, plan.effort.mixed_s, plan.effort.workers)
            found.append({"layout": contender.name, "workers": plan.effort.workers, **step.plain()})
        return found

    def _profiles(
        self,
        measured: Sequence[Measured],
        inline: Sequence[Measured],
        measurements: Sequence[Mapping[str, Any]],
    ) -> dict[str, Profile]:
        session, schemas = self._stand.session, self._stand.schemas[:OURS]
        carrying = [stored(session, schemas[0], _is_inline)]
        plain = [stored(session, schemas[0], lambda item: not _is_inline(item))]
        optimized = [stored(session, schema) for schema in schemas[1:]]
        day = iso(self._clock.time())[:10]
        source = f"ialctl benchmark, {day}, {self._stand.figures}"
        return {
            LEGACY: profile(LEGACY, source, measured, measurements, plain),
            OPTIMIZED: profile(OPTIMIZED, source, measured, measurements, optimized),
            INLINE_PROFILE: profile(LEGACY_INLINE, source, inline, measurements, carrying),
        }

    def _figures(
        self,
        measured: Sequence[Measured],
        measurements: Sequence[Mapping[str, Any]],
        memory: Mapping[tuple[str, str], MemoryUse],
        profiles: Mapping[str, Profile],
    ) -> dict[str, Any]:
        scenarios, seed = self._plan.scenarios, self._plan.seed
        found = Found(scenarios, measurements, memory, profiles, USAGE, US_EAST_1)
        return {
            "measurements": measurements,
            "ratios": [row for one in measured for row in ratios(one, seed)],
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


def _is_inline(item: WireItem) -> bool:
    return str(item["user_id"].get("S", "")).endswith(INLINE_SUFFIX)


def _openers(opener: Opener, scenario: Scenario) -> Iterator[tuple[str, Callable[[], Contender]]]:
    yield LEGACY, opener.legacy
    yield OPTIMIZED, opener.optimized
    yield LEGACY_INLINE, opener.inline
    if scenario.messages > WINDOW:
        yield LEGACY_WHOLE, functools.partial(opener.whole, scenario.messages)
