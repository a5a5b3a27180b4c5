"""`ialctl migrate cutover`, `rollback`, `retry` and `cleanup`."""

from __future__ import annotations

from typing import Annotated

import typer

from ialctl.command import command
from ialctl.commands.migrate_options import DeadLetters, DryRun, Execute, MaxFailed, Sample
from ialctl.context import AppContext

_Confirm = Annotated[
    str | None,
    typer.Option(
        "--confirm",
        help="The project's name: delete before the soak is over, or without a backup.",
        metavar="PROJECT",
    ),
]
_From = Annotated[
    str | None, typer.Option("--from", help="Where the backup lies.", metavar="PLACE")
]


def register(group: typer.Typer) -> None:
    """Adds the commands."""

    @command(
        group,
        "cutover",
        examples=("ialctl migrate cutover", "ialctl migrate cutover --execute"),
    )
    def cutover(context: AppContext, execute: Execute = False, dry_run: DryRun = False) -> None:
        """Make the optimized engine the active one; what is written since flows back."""
        from ialctl.migrating import may_change
        from ialctl.migration_switch import check_cut_over, cut_over

        would = "make the optimized engine the active one; `rollback` leads back."
        check_cut_over(context)
        if may_change(context, would, execute=execute, dry_run=dry_run):
            cut_over(context)

    @command(
        group,
        "rollback",
        examples=("ialctl migrate rollback", "ialctl migrate rollback --execute"),
    )
    def rollback(context: AppContext, execute: Execute = False, dry_run: DryRun = False) -> None:
        """Make the legacy engine the active one again, with all that was written since."""
        from ialctl.migrating import may_change
        from ialctl.migration_switch import roll_back

        would = "make the legacy engine the active one, with all that was written since."
        if may_change(context, would, execute=execute, dry_run=dry_run):
            roll_back(context)

    @command(group, "retry", examples=("ialctl migrate retry", "ialctl migrate retry --execute"))
    def retry(
        context: AppContext,
        execute: Execute = False,
        dry_run: DryRun = False,
        max_failed: MaxFailed = 0,
        dead_letters: DeadLetters = None,
    ) -> None:
        """Try every item again that could not be moved; exit 3 if any is left."""
        from ialctl.migrating import Given, may_change
        from ialctl.migration_switch import retry_failed

        given = Given(max_failed=max_failed, dead_letters=dead_letters)
        would = "try every item again that could not be moved."
        if may_change(context, would, execute=execute, dry_run=dry_run):
            retry_failed(context, given)

    @command(
        group,
        "cleanup",
        examples=("ialctl migrate cleanup", "ialctl migrate cleanup --execute"),
    )
    def cleanup(
        context: AppContext,
        execute: Execute = False,
        dry_run: DryRun = False,
        confirm: _Confirm = None,
        place: _From = None,
        sample: Sample = 200,
    ) -> None:
        """Delete the legacy history table, once it has soaked and a backup holds it."""
        from ialctl.migration_cleanup import Cleanup

        Cleanup(context, confirm, place, sample).go(execute=execute, dry_run=dry_run)
