"""`ialctl migrate` bare: every step that is left, in order; killed anywhere, it goes on there."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from core.errors import LockHeldError, NotConfirmedError
from ialctl.context import AppContext
from ialctl.migrating import (
    Given,
    current_state,
    legacy_items,
    make_options,
    may_change,
    migrating,
)
from ialctl.output import plain

if TYPE_CHECKING:
    from core.migration.journal import State

_WAIT_S = 20.0
_FOLLOW_S = 30.0


class Guide:
    """Goes through a migration's steps; says each that was done before in one line."""

    def __init__(self, context: AppContext, given: Given, sample: int) -> None:
        """`sample` users are looked at by the verification."""
        self._context, self._given, self._sample = context, given, sample
        self._steps: list[dict[str, Any]] = []

    def go(self, *, execute: bool, dry_run: bool) -> None:
        """Does what is left, as far as the questions are answered with yes.

        Raises:
            DifferenceError: both sides differ; nothing was switched.
            NotConfirmedError: a question was answered with no, or there is nobody to ask.
        """
        make_options(self._context, self._given)
        state = current_state(self._context)
        if state is not None and state.status in ("cut_over", "cleaned"):
            self._over(state)
            return
        would = self._planned() if state is None else self._go_on(state)
        if not may_change(self._context, would, execute=execute, dry_run=dry_run):
            self._result(state, "shown")
            return
        self._back_up(state)
        self._deploy()
        self._copy()
        self._embed()
        self._verify()
        self._ask()
        self._cut_over()

    def _over(self, state: State) -> None:
        from ialctl.migration_words import next_words, short_words

        now_s = self._context.clock.time()
        if state.status == "cut_over":
            # Killed before every engine had noticed: what they still write is brought over, unless
            # somebody follows this moment.
            with suppress(LockHeldError), migrating(self._context) as migrator:
                migrator.cut_over()
        self._say("cut over", f"done before: {short_words(state, now_s)}")
        self._result(state, "nothing to do", next_words(state, now_s))

    def _planned(self) -> str:
        """Shows the plan; answers what would be done."""
        from core.migration.planning import SAMPLE_ITEMS
        from ialctl.migration_plan import made_plan, show_plan, summary

        made = made_plan(self._context, self._given, SAMPLE_ITEMS)
        output = self._context.output
        if output.format == "table" and not output.quiet:
            for part in show_plan(made).renderables:
                output.err.print(part)
            output.note("")
        self._say("plan", summary(made))
        return (
            f"back up the project, copy {summary(made)},\nverify them, and ask before the cut-over."
        )

    def _go_on(self, state: State) -> str:
        self._say("plan", f"done before: the migration is '{state.status}'")
        return "go on with it: copy what is left, verify, and ask before the cut-over."

    def _back_up(self, state: State | None) -> None:
        from ialctl.migration_backup import back_up, fitting_backup

        begun_s = self._context.clock.time() if state is None else state.started_s
        found = fitting_backup(self._context, None, begun_s)
        if found is not None:
            self._say("backup", f"done before: {found.id}")
            return
        self._say("backup", back_up(self._context))

    def _deploy(self) -> None:
        from ialctl.migration_backup import deploy_missing

        self._say("deploy", deploy_missing(self._context))

    def _copy(self) -> None:
        from ialctl.migration_words import copied_data

        options = make_options(self._context, self._given)
        with migrating(self._context, options, legacy_items(self._context)) as migrator:
            outcome = migrator.run()
            data = copied_data(outcome, migrator.status())
        before = "" if outcome == "done" else "done before: "
        words = f"{before}{data['copied']:,} messages"
        words += f", {data['expired']:,} expired left behind" if data["expired"] else ""
        words += f", {data['failed']:,} not mapped" if data["failed"] else ""
        self._say("copy", words, **data)

    def _embed(self) -> None:
        """Gives vectors to what has none, and keeps following where that takes long."""
        if self._given.embed in ("later", "never"):
            later = "" if self._given.embed == "never" else ": `ialctl reindex`"
            self._say("vectors", f"{self._given.embed}{later}")
            return
        from ialctl.reindexing import reindexed

        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(reindexed, self._context)
            self._follow_until(future)
            done = future.result()
        for problem in done.missing:
            self._context.output.warn(problem)
        self._say("vectors", f"{done.embedded:,} made, {done.users:,} users looked at")

    def _follow_until(self, future: Future[Any]) -> None:
        from concurrent.futures import wait

        wait([future], _WAIT_S)
        while not future.done():
            with migrating(self._context) as migrator:
                migrator.follow(_FOLLOW_S)

    def _verify(self) -> None:
        from ialctl.backing_up import temporary_folder
        from ialctl.migration_words import raise_mismatches, show_verification

        with migrating(self._context) as migrator:
            folder = temporary_folder(self._context)
            found = migrator.verify(sample=self._sample, folder=folder)
        if not found.equal and self._context.output.format == "table":
            for part in show_verification(found).renderables:
                self._context.output.err.print(part)
        raise_mismatches(found)
        self._say(
            "verify", f"equal: {found.totals.legacy:,} messages, {found.totals.users:,} users"
        )

    def _ask(self) -> None:
        try:
            self._context.output.confirm("Make the optimized engine the active one?")
        except NotConfirmedError as error:
            raise NotConfirmedError(
                "Not cut over: nobody said yes. All is copied and verified, and the engine that "
                "was active still is.",
                "Later: `ialctl migrate cutover --execute`; or pass --yes.",
            ) from error

    def _cut_over(self) -> None:
        from ialctl.migration_switch import SOAK_WORDS

        with migrating(self._context) as migrator:
            migrator.cut_over()
        self._say("cut over", "the optimized engine is active, and every engine has noticed")
        self._result(current_state(self._context), "done", SOAK_WORDS)

    def _say(self, step: str, words: str, **data: Any) -> None:
        self._steps.append({"step": step, "words": words, **data})
        self._context.output.note(f"{step:<9} {words}")

    def _result(self, state: State | None, outcome: str, words: str = "") -> None:
        from ialctl.migration_words import drawn, step_of

        step = step_of(state, self._context.clock.time())
        data = {"outcome": outcome, "step": step, "steps": self._steps}
        said = {"shown": "Nothing was changed.", "nothing to do": "Nothing to do."}.get(
            outcome, "Migrated."
        )
        lines = [said, drawn(step), words]
        self._context.output.result("migrate", data, lambda: plain("\n".join(filter(None, lines))))
