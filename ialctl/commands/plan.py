"""`ialctl plan`: what start would change."""

from __future__ import annotations

from typing import Annotated

import typer

from ialctl.command import command
from ialctl.context import AppContext

With = Annotated[
    list[str] | None,
    typer.Option(
        "--with", help="An optional phase to deploy too; can be repeated.", metavar="PHASE"
    ),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter", help="A template's parameter; can be repeated.", metavar="KEY=VALUE"
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "plan", examples=("ialctl plan", "ialctl plan --with cache --json"))
    def plan(context: AppContext, wanted: With = None, parameter: Parameters = None) -> None:
        """Show what `start` would add, change, replace and remove; changes nothing."""
        from ialctl.deploying import (
            PLAN_COLUMNS,
            deployment,
            make_options,
            plan_rows,
            read_all_phases,
        )

        options = make_options(wanted or (), parameter or ())
        made = deployment(context, options, phases=read_all_phases(context)).plan()
        context.output.rows(
            "plan", plan_rows(made), PLAN_COLUMNS, changes_anything=made.changes_anything
        )
        if not made.changes_anything:
            context.output.note("Nothing would change.")
