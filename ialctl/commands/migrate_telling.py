"""`ialctl migrate pause`, `resume` and `throttle`: what a run is told, wherever it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from ialctl.command import command
from ialctl.commands.migrate_options import MaxRcu, MaxWcu
from ialctl.context import AppContext

if TYPE_CHECKING:
    from core.migration.journal import Control


def register(group: typer.Typer) -> None:
    """Adds the commands."""

    @command(group, "pause", examples=("ialctl migrate pause", "ialctl migrate pause --json"))
    def pause(context: AppContext) -> None:
        """Hold the copy up, wherever it runs; what changes is followed on."""
        from dataclasses import replace

        from core.aws.lease import this_run

        by = str(this_run("").user)
        _tell(
            context, lambda c: replace(c, paused=True, by=by), "Paused: it goes on with `resume`."
        )

    @command(group, "resume", examples=("ialctl migrate resume", "ialctl migrate resume --json"))
    def resume(context: AppContext) -> None:
        """Let a paused copy go on."""
        from dataclasses import replace

        _tell(context, lambda c: replace(c, paused=False, by=""), "It may go on.")

    @command(
        group,
        "throttle",
        examples=(
            "ialctl migrate throttle --max-wcu 500",
            "ialctl migrate throttle --max-rcu 0 --max-wcu 0",
        ),
    )
    def throttle(context: AppContext, max_rcu: MaxRcu = None, max_wcu: MaxWcu = None) -> None:
        """Set the budgets of a run that goes on, wherever it does; 0 lifts one."""
        from core.errors import UsageError
        from core.migration.gate import with_budgets
        from ialctl.migration_budget import budget_of

        if max_rcu is None and max_wcu is None:
            raise UsageError("No budget is given.", "Give `--max-rcu N`, `--max-wcu N`, or both.")
        rcu, wcu = (
            budget_of(context, "--max-rcu", max_rcu),
            budget_of(context, "--max-wcu", max_wcu),
        )
        _tell(context, lambda c: with_budgets(c, rcu, wcu), "The budgets hold from now on.")


def _tell(context: AppContext, change: Callable[[Control], Control], said: str) -> None:
    import dataclasses

    from ialctl.migrating import standing_migrator
    from ialctl.migration_words import control_words
    from ialctl.output import plain

    told = standing_migrator(context).tell(change)
    words = f"{said} {control_words(told)}".rstrip()
    context.output.result("migrate-control", dataclasses.asdict(told), lambda: plain(words))
