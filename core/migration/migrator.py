"""A migration's steps, each a call of its own that can be killed and made again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from core.errors import (
    DifferenceError,
    InterruptedRunError,
    LockHeldError,
    NotFoundError,
    UsageError,
)
from core.memory.opening import open_legacy_engine
from core.migration.cleaning import check_engine, check_equal, check_soak, delete_legacy
from core.migration.following import MOST_BEHIND_S
from core.migration.holding import Holder
from core.migration.journal import Control, Going, Journal, Mark, State
from core.migration.merging import Engine
from core.migration.retrying import Retried, retry
from core.migration.running import Tools
from core.migration.sampling import Sampler
from core.migration.verifying import Verification, Verifier
from core.migration.wiring import Wiring, missing

SAMPLE_USERS = 50
_POLL_S = 0.2
_FOLLOWED_S = 120.0
SOAK_S = 7 * 86_400.0
VERIFIED_S = 24 * 3600.0
"""A verification older than this says too little of what a switch would find."""

Outcome = Literal["done", "nothing to do"]


@dataclass(frozen=True)
class Status:
    """Where a migration stands, as anybody may ask. `engine` None: none is noted."""

    state: State | None
    engine: str | None
    marks: tuple[Mark, ...] = ()
    control: Control = field(default_factory=Control)
    going: Going | None = None
    failed: int = 0


class Migrator(Holder):
    """Migrates one project. Every call raises `TargetError`s and `ThrottledError` of the target."""

    def status(self) -> Status:
        """Where the migration stands; changes nothing."""
        with self._wired() as wiring:
            return self._status(wiring, Journal(wiring.operations))

    def tell(self, change: Callable[[Control], Control]) -> Control:
        """Tells a migration, wherever it runs: to pause, to go on, or its budgets."""
        with self._wired() as wiring:
            return Journal(wiring.operations).tell(change)

    def run(self, *, restart: bool = False) -> Outcome:
        """Copies all that is not copied, following what changes, until both are level.

        With `restart` it begins anew; what stands is compared, and written where it differs.

        Raises:
            LockHeldError: another migration goes on.
            UsageError: it was begun with other settings, or following lost its place.
            DifferenceError: more items could not be moved than are allowed.
            InterruptedRunError: somebody asked to stop; the same call goes on from there.
        """
        with self._held(anew=True) as tools:
            state = tools.journal.state()
            if state is not None and state.status in ("cut_over", "cleaned") and not restart:
                return "nothing to do"
            if not restart:
                self._end_rollback(tools, state)
            state = self._begun(tools, state, restart=restart)
            self._check_fingerprint(tools, state)
            self._take_budgets(tools)
            run = self._run(tools, state, leading=self._leading(tools), both=self._is_live(tools))
            left = [mark for mark in tools.journal.marks(state.segments) if not mark.done]
            before = run.follower.done.forward
            run.copy()
            run.catch_up()
            if state.status == "copying":
                copied = dataclasses.replace(state, status="copied", copied_s=self._clock.time())
                tools.journal.save_state(copied)
            tools.journal.save_going(run.going())
            self._observe(run.going())
            moved = run.follower.done.forward > before
            return "done" if left or moved else "nothing to do"

    def follow(self, seconds: float | None = None) -> None:
        """Applies what changes, for so long or until it is stopped; None: until it is stopped.

        Raises:
            UsageError: there is no migration to follow, or following lost its place.
        """
        with self._held() as tools:
            state = self._standing(tools, ("copied", "cut_over", "rolled_back"))
            self._end_rollback(tools, state)
            run = self._run(
                tools, state, leading=self._leading(tools), both=self._flows_both_ways(tools, state)
            )
            self._take_budgets(tools)
            run.follow(seconds)
            run.catch_up()

    def cut_over(self) -> Outcome:
        """Makes the optimized engine the active one, and follows on until all have noticed.

        Raises:
            DifferenceError: it was not verified, lately and without a difference.
        """
        with self._held() as tools:
            state = self._standing(tools, ("copied", "cut_over"))
            if state.status == "cut_over" and self._noticed(tools, state.cut_over_s):
                return "nothing to do"
            if state.status == "copied":
                state = self._switch(tools, state)
            run = self._run(tools, state, leading="optimized", both=True)
            run.follow(self._left_to_notice_s(state.cut_over_s))
            run.catch_up()
            return "done"

    def roll_back(self) -> Outcome:
        """Makes the legacy engine the active one again, with all that was written since.

        Raises:
            UsageError: there was no cut-over, or following lost its place.
        """
        with self._held() as tools:
            state = self._standing(tools, ("cut_over", "rolled_back"))
            if state.status == "rolled_back" and self._noticed(tools, state.rolled_back_s):
                return "nothing to do"
            if state.status == "cut_over":
                self._run(tools, state, leading="optimized", both=True).catch_up()
                state = dataclasses.replace(
                    state, status="rolled_back", rolled_back_s=self._clock.time()
                )
                tools.journal.switch(state, "legacy", ("optimized", "legacy", "dual", ""))
            self._end_rollback(tools, state)
            return "done"

    def retry(self) -> Retried:
        """Tries every item again that could not be moved.

        Raises:
            UsageError: there is no migration.
            LockHeldError: another run goes on.
        """
        with self._held() as tools:
            self._standing(tools, ("copying", "copied", "cut_over", "rolled_back"))
            return retry(tools, self._leading(tools), tools.lease.keep)

    def clean_up(
        self, *, overrule: bool = False, sample: int | None = SAMPLE_USERS, folder: Path
    ) -> Outcome:
        """Deletes the legacy history table, once all is verified once more.

        Raises:
            NotConfirmedError: the soak is not over; `overrule` does not mind.
            DifferenceError: both sides differ; nothing was deleted.
            UsageError: there was no cut-over.
        """
        with self._held() as tools:
            state = self._standing(tools, ("cut_over", "cleaned"))
            if state.status == "cleaned":
                return "nothing to do"
            check_engine(self._noted_engine(tools))
            if not overrule:
                check_soak(state, self._clock.time(), SOAK_S)
            about = tools.wiring.about("legacy") or {}
            if about.get("TableStatus") in ("ACTIVE", "UPDATING"):  # else killed amid the last step
                check_equal(self._verify(tools, sample=sample, repair=False, folder=folder))
                self._run(tools, state, leading="optimized", both=True).catch_up()
            delete_legacy(tools, tools.journal.state() or state, tools.lease.keep)
            return "done"

    def verify(
        self, *, sample: int | None = SAMPLE_USERS, repair: bool = False, folder: Path
    ) -> Verification:
        """Compares both sides; of `sample` users (None: all) also what engines would be told.

        Where another run follows at the time, this one only looks. What does not fit into memory
        goes to `folder`.

        Raises:
            UsageError: there is nothing to verify yet.
            LockHeldError: `repair` is asked for while another run goes on.
        """
        try:
            with self._held() as tools:
                return self._verify(tools, sample=sample, repair=repair, folder=folder)
        except LockHeldError:
            if repair:
                raise
        with self._wired() as wiring:
            return self._look_on(wiring, sample=sample, folder=folder)

    def _verify(
        self, tools: Tools, *, sample: int | None, repair: bool, folder: Path
    ) -> Verification:
        state = self._standing(tools, ("copied", "cut_over", "rolled_back"))
        self._end_rollback(tools, state)
        leading, live = self._leading(tools), self._is_live(tools)
        run = self._run(tools, state, leading=leading, both=self._flows_both_ways(tools, state))
        verifier = Verifier(
            tools.wiring,
            self._sampler(tools.wiring, run.check),
            folder,
            run.beside,
            run.catch_up,
            leading,
            tools.failures.keep_removed,
        )
        # Born in the optimized tables before there was a cut-over: nobody promised to copy them.
        live = live and state.cut_over_s is None
        found = verifier.verify(sample=sample, repair=repair, live=live)
        when = self._clock.time() if found.equal else None
        tools.journal.save_state(dataclasses.replace(state, verified_s=when))
        tools.observe(run.going())
        return found

    def _look_on(self, wiring: Wiring, *, sample: int | None, folder: Path) -> Verification:
        """As `_verify`, beside a run that follows."""
        journal = Journal(wiring.operations)
        state = journal.state()
        if state is None or state.status == "copying":
            raise UsageError(
                "There is nothing to verify yet: the copy goes on.", "Wait until it has ended."
            )

        def catch_up() -> None:
            begun_s = self._clock.time()
            while (position := journal.position("legacy")) and position.since_s < begun_s:
                if self._stop():
                    raise InterruptedRunError("Interrupted.", "Run the same command again.")
                if self._clock.time() - begun_s > _FOLLOWED_S:
                    raise LockHeldError(
                        "Another run holds the migration, and does not follow what changes.",
                        "Wait until it has ended: `ialctl migrate status`.",
                    )
                self._clock.sleep(_POLL_S)

        def beside(tasks: Sequence[Callable[[], None]]) -> None:
            with ThreadPoolExecutor(self._options.workers) as pool:
                for future in [pool.submit(task) for task in tasks]:
                    future.result()

        engine = self._noted(wiring)
        leading: Engine = "legacy" if engine in ("legacy", "dual") else "optimized"
        verifier = Verifier(
            wiring, self._sampler(wiring, lambda: None), folder, beside, catch_up, leading
        )
        live = engine != "legacy" and state.cut_over_s is None
        return verifier.verify(sample=sample, repair=False, live=live)

    def _sampler(self, wiring: Wiring, check: Callable[[], None]) -> Sampler:
        legacy = open_legacy_engine(
            self._session, self._settings.project, wiring.parts.embedder, self._clock
        )
        return Sampler(wiring.parts, legacy, self._clock, check)

    def _switch(self, tools: Tools, state: State) -> State:
        self.check_verified(state)
        tools.failures.check()
        if not self._is_live(tools):
            # What the copy wrote there is none of an engine's business: only what comes now.
            begin = tools.wiring.stream("optimized").position()
            self._run(tools, state, leading="legacy", both=False).catch_up()
            tools.journal.save_positions({"optimized": begin})
        over = dataclasses.replace(
            state, status="cut_over", cut_over_s=self._clock.time(), rolled_back_s=None
        )
        tools.journal.switch(over, "optimized", ("legacy", "dual", "optimized", ""))
        return over

    def check_verified(self, state: State) -> None:
        """Whether what was copied was found equal, and lately.

        Raises:
            DifferenceError: it was not.
        """
        age_s = None if state.verified_s is None else self._clock.time() - state.verified_s
        if age_s is not None and age_s <= VERIFIED_S:
            return
        raise DifferenceError(
            "What was copied was not verified yet."
            if age_s is None
            else f"What was copied was last verified {age_s / 3600:.0f} hours ago.",
            "Verify it: `ialctl migrate verify`.",
        )

    def _begun(self, tools: Tools, state: State | None, *, restart: bool) -> State:
        """What there is to go on with: what was begun, or a new beginning."""
        if state is not None and restart and state.status == "cut_over":
            return self._found_again(tools, state)
        if state is None or restart or state.status == "cleaned":
            return self._begin(tools, state)
        if state.status != "rolled_back":
            return state
        if not self._can_go_on(tools, state):
            return self._begin(tools, state)
        again = dataclasses.replace(state, status="copying", verified_s=None, cut_over_s=None)
        tools.journal.save_state(again)
        return again

    def _found_again(self, tools: Tools, state: State) -> State:
        """Follows from now on where following had lost its place after the cut-over.

        Nothing is copied: what engines deleted since would come back. What differs is shown by the
        next verification.
        """
        sides = ("legacy", "optimized")
        tools.journal.save_positions({s: tools.wiring.stream(s).position() for s in sides})
        again = dataclasses.replace(state, verified_s=None)
        tools.journal.save_state(again)
        return again

    def _begin(self, tools: Tools, before: State | None) -> State:
        """Notes where the streams stand, before anything is copied, and that it has begun."""
        wiring = tools.wiring
        fingerprint = wiring.fingerprint()
        if before is not None:
            tools.journal.forget_copy(max(before.segments, wiring.options.segments))
        for side in ("legacy", "optimized"):
            wiring.turn_on_stream(side)
        positions = {side: wiring.stream(side).position() for side in ("legacy", "optimized")}
        tools.journal.save_positions(positions)
        state = State(
            "copying",
            fingerprint,
            wiring.options.segments,
            self._clock.time(),
        )
        empty = self._is_empty(wiring)
        wiring.optimized.again = not empty
        if self._noted_engine(tools) is None and empty:
            tools.journal.switch(state, "legacy", ("",))
        else:
            tools.journal.save_state(state)
        return state

    def _can_go_on(self, tools: Tools, state: State) -> bool:
        """Whether all that changed since a rollback is still in the stream.

        A copy made anew would not see what was deleted in between.
        """
        position = tools.journal.position("legacy")
        if position is None:
            return False
        fresh = self._clock.time() - position.since_s < MOST_BEHIND_S
        return fresh and dict(state.fingerprint) == tools.wiring.fingerprint()

    def _status(self, wiring: Wiring, journal: Journal) -> Status:
        try:
            state = journal.state()
        except NotFoundError as error:
            raise missing(wiring.names["operations"], "optimized") from error
        engine = self._noted(wiring)
        marks = tuple(journal.marks(state.segments)) if state else ()
        failed = sum(1 for _ in journal.failures())
        return Status(state, engine, marks, journal.control(), journal.going(), failed)
