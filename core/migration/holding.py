"""Holding a migration: the lease, what it works with, and what stands of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.aws.lease import Lease, this_run
from core.aws.session import AwsSession
from core.clock import Clock, Ids
from core.errors import UsageError
from core.memory.active import ENGINE_KEY
from core.migration.failures import DeadLetters
from core.migration.gate import with_budgets
from core.migration.journal import NAME, Journal, State
from core.migration.merging import Engine
from core.migration.running import Observe, Run, Tools
from core.migration.wiring import Options, Wiring, missing
from core.settings import Settings
from core.transfer.streams import StreamPosition


class Holder:
    """What every step of a migration begins with."""

    def __init__(
        self,
        session: AwsSession,
        settings: Settings,
        clock: Clock,
        ids: Ids,
        options: Options | None = None,
        *,
        observe: Observe = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """`observe` is told how it goes every two seconds; `stop` is asked whether to stop."""
        self._session, self._settings, self._clock, self._ids = session, settings, clock, ids
        self._options = options or Options()
        self._observe, self._stop = observe, stop

    def _take_budgets(self, tools: Tools) -> None:
        options = self._options
        if options.max_rcu is None and options.max_wcu is None:
            return
        tools.journal.tell(lambda c: with_budgets(c, options.max_rcu, options.max_wcu))

    def _check_fingerprint(self, tools: Tools, state: State) -> None:
        now = tools.wiring.fingerprint()
        other = [
            f"{name}: {was}, now {now[name]}"
            for name, was in state.fingerprint.items()
            if now.get(name, was) != was
        ]
        if other:
            raise UsageError(
                f"The migration was begun with other settings ({'; '.join(other)}).",
                "Set them as they were, or begin anew: `ialctl migrate run --restart`.",
            )

    def _is_empty(self, wiring: Wiring) -> bool:
        client = self._session.client("dynamodb")
        found = client.scan(TableName=wiring.names["optimized"], Limit=1)["Items"]
        return not found

    def _run(self, tools: Tools, state: State, *, leading: Engine, both: bool) -> Run:
        sides = ("legacy", "optimized") if both else ("legacy",)
        positions = {side: self._position(tools, side) for side in sides}
        return Run(tools, state, positions, leading=leading, both=both)

    def _position(self, tools: Tools, side: str) -> StreamPosition:
        found = tools.journal.position(side)
        if found is None:
            raise UsageError(
                f"Nobody noted where the stream of the {side} table was left.",
                "Copy anew what is there by now: `ialctl migrate run --restart`.",
            )
        return found

    def _standing(self, tools: Tools, statuses: tuple[str, ...]) -> State:
        state = tools.journal.state()
        if state is not None and state.status in statuses:
            return state
        cures = {
            None: "Begin one: `ialctl migrate run`.",
            "copying": "Let it end: `ialctl migrate run`.",
            "copied": "Cut over first: `ialctl migrate cutover`.",
            "rolled_back": "Copy what is missing, and verify it: `ialctl migrate run`.",
            "cleaned": "It is over: the legacy table is gone.",
        }
        status = None if state is None else state.status
        said = "There is no migration" if state is None else f"The migration is '{status}'"
        raise UsageError(f"{said}; this step does not come now.", cures.get(status))

    def _noted_engine(self, tools: Tools) -> str | None:
        return self._noted(tools.wiring)

    def _noted(self, wiring: Wiring) -> str | None:
        key = {name: value["S"] for name, value in ENGINE_KEY.items()}
        found = wiring.operations.get(key, consistent=True).item
        return None if found is None else str(found.get("engine"))

    def _is_live(self, tools: Tools) -> bool:
        """Whether engines write the optimized tables already."""
        return self._noted_engine(tools) != "legacy"

    def _leading(self, tools: Tools) -> Engine:
        return "legacy" if self._noted_engine(tools) in ("legacy", "dual") else "optimized"

    def _flows_both_ways(self, tools: Tools, state: State) -> bool:
        return state.status == "cut_over" or self._is_live(tools)

    def _end_rollback(self, tools: Tools, state: State | None) -> None:
        """Follows both ways until every engine has noticed a rollback, if nobody did.

        Whatever comes after it follows only one way.
        """
        if state is None or state.status != "rolled_back":
            return
        if self._noticed(tools, state.rolled_back_s):
            return
        run = self._run(tools, state, leading="legacy", both=True)
        run.follow(self._left_to_notice_s(state.rolled_back_s))
        run.catch_up()

    def _left_to_notice_s(self, at_s: float | None) -> float:
        return max(0.0, self._options.notice_s - (self._clock.time() - (at_s or 0.0)))

    def _noticed(self, tools: Tools, at_s: float | None) -> bool:
        """Whether both streams were followed until every engine had noticed a switch."""
        read = [tools.journal.position(side) for side in ("legacy", "optimized")]
        over_s = (at_s or 0.0) + self._options.notice_s
        return all(position is not None and position.since_s >= over_s for position in read)

    def _most_failed(self, journal: Journal, anew: bool) -> int:
        own, told = self._options.max_failed, journal.control().max_failed
        if not anew:
            return max(own, told)
        if own != told:
            journal.tell(lambda c: dataclasses.replace(c, max_failed=own))
        return own

    @contextmanager
    def _wired(self) -> Iterator[Wiring]:
        with Wiring(
            self._session, self._settings, self._clock, self._options, self._stop
        ) as wiring:
            yield wiring

    @contextmanager
    def _held(self, *, anew: bool = False) -> Iterator[Tools]:
        """Holds the lease while the block runs; with `anew` it says how many may fail from now on.

        Raises:
            LockHeldError: another migration goes on.
        """
        with self._wired() as wiring:
            owner = this_run(self._ids())
            lease = Lease(
                self._session.client("dynamodb"),
                wiring.names["operations"],
                owner,
                self._clock,
                NAME,
            )
            if not lease.acquire():
                raise missing(wiring.names["operations"], "optimized")
            try:
                journal = Journal(wiring.operations, owner.run)
                failures = DeadLetters(
                    journal, self._options.dead_letters, self._most_failed(journal, anew)
                )
                yield Tools(wiring, journal, lease, failures, self._stop, self._observe)
            finally:
                lease.release()
