"""A whole benchmark: tables of its own, both layouts filled, measured, and removed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from core import __version__
from core.benchmark.evaluation.running import State
from core.benchmark.layouts import machine
from core.benchmark.layouts.answer import answer
from core.benchmark.layouts.comparing import check_comparable
from core.benchmark.layouts.comparison import Comparison, parts
from core.benchmark.layouts.measuring import check_stopped
from core.benchmark.layouts.opening import Opener, Target
from core.benchmark.layouts.peers import peer_schemas
from core.benchmark.layouts.plan import Plan, Scenario
from core.benchmark.layouts.result import SCHEMA
from core.benchmark.layouts.stand import Stand
from core.benchmark.layouts.tables import own_tables
from core.clock import Clock, Ids, iso

_PREFIX_CHARS = 20
_RANDOM_CHARS = 8
_NOTHING: Mapping[str, Any] = {
    **dict.fromkeys(("measurements", "ratios", "hit_rates", "memory", "claims"), ()),
    **dict.fromkeys(("mixed", "load", "peers"), ()),
    "profiles": {},
    "losses": None,
}
"""The parts of a result that a run may leave out."""


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

        def measure(stand: Stand) -> dict[str, Any]:
            return Comparison(stand, plan, self._clock, self._stopped, self.say).run(base)

        self.expect(parts(plan))
        return self.around(plan, measure, base)

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
            about = stand.conditions(plan)
            if base is not None:
                check_comparable(base["conditions"], about)
            for scenario in plan.scenarios:
                self._load(stand, scenario)
            made = {**_NOTHING, **measure(stand)}
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
            **made,
        }
        return {**result, "answer": list(answer(result))}

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

    def expect(self, parts: int) -> None:
        """Says how much is to be done in all."""
        self._total = parts

    def say(self, words: str, parts: int = 1) -> None:
        """Tells what it does now; `parts` more are done."""
        self._done += parts
        self._on_progress(State(min(self._done, self._total), self._total, words))
