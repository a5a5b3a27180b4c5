"""`ialctl migrate plan`, `status` and `verify`: what it would be, where it stands, whether it is
right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ialctl.command import command
from ialctl.commands.migrate_options import DryRun, Execute, Full, MaxRcu, MaxWcu, Sample, Vectors
from ialctl.context import AppContext

if TYPE_CHECKING:
    from core.migration.verifying import Verification
    from ialctl.migrating import Given

_Items = Annotated[
    int,
    typer.Option("--sample", help="Items to read, about (0: all).", metavar="N", min=0),
]
_All = Annotated[bool, typer.Option("--full", help="Read all items; all numbers are exact.")]
_Repair = Annotated[bool, typer.Option("--repair", help="Put right what differs (with --execute).")]


def register(group: typer.Typer) -> None:
    """Adds the commands."""

    @command(
        group, "plan", examples=("ialctl migrate plan", "ialctl migrate plan --full --max-wcu 500")
    )
    def plan(
        context: AppContext,
        sample: _Items = 20_000,
        full: _All = False,
        max_rcu: MaxRcu = None,
        max_wcu: MaxWcu = None,
        vectors: Vectors = "use",
    ) -> None:
        """Show what a migration would move, leave out, cost and take; changes nothing."""
        from ialctl.migrating import Given
        from ialctl.migration_plan import made_plan, show_plan

        given = Given(max_rcu, max_wcu, vectors=vectors)
        made = made_plan(context, given, None if full or not sample else sample)
        context.output.result("migrate-plan", made.plain(), lambda: show_plan(made))

    @command(group, "status", examples=("ialctl migrate status", "ialctl migrate status --json"))
    def status(context: AppContext) -> None:
        """Show where the migration stands, and how it goes, wherever it runs."""
        from ialctl.migrating import legacy_items, standing_migrator
        from ialctl.migration_words import status_data, status_lines
        from ialctl.output import plain

        found, total, now_s = (
            standing_migrator(context).status(),
            legacy_items(context),
            context.clock.time(),
        )
        data = status_data(found, total, now_s)
        context.output.result(
            "migrate-status", data, lambda: plain("\n".join(status_lines(found, total, now_s)))
        )

    @command(
        group,
        "verify",
        examples=("ialctl migrate verify", "ialctl migrate verify --repair --execute"),
    )
    def verify(
        context: AppContext,
        sample: Sample = 200,
        full: Full = False,
        repair: _Repair = False,
        execute: Execute = False,
        dry_run: DryRun = False,
        max_rcu: MaxRcu = None,
        max_wcu: MaxWcu = None,
    ) -> None:
        """Compare both sides as wholes, and what engines would be told; exit 3 if they differ."""
        from ialctl.migrating import Given, may_change

        would = "put right what differs, as the active engine has it."
        repairs = repair and may_change(context, would, execute=execute, dry_run=dry_run)
        found = verified(context, Given(max_rcu, max_wcu), None if full else sample, repair=repairs)
        show_verified(context, found)


def verified(
    context: AppContext, given: Given, sample: int | None, *, repair: bool
) -> Verification:
    """Compares both sides."""
    from ialctl.backing_up import temporary_folder
    from ialctl.migrating import make_options, migrating

    with migrating(context, make_options(context, given)) as migrator:
        return migrator.verify(sample=sample, repair=repair, folder=temporary_folder(context))


def show_verified(context: AppContext, found: Verification) -> None:
    """Shows what was found.

    Raises:
        DifferenceError: both sides differ.
    """
    from ialctl.migration_words import raise_mismatches, show_verification, verification_data

    context.output.result(
        "migrate-verify", verification_data(found), lambda: show_verification(found)
    )
    raise_mismatches(found)
