"""`ialctl drift`: what differs from the templates."""

from __future__ import annotations

import typer

from ialctl.command import command
from ialctl.context import AppContext
from ialctl.output import Column

COLUMNS = (
    Column("STACK", "stack"),
    Column("RESOURCE", "resource"),
    Column("WHAT", "aspect"),
    Column("SHOULD BE", "expected"),
    Column("IS", "found"),
)


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "drift", examples=("ialctl drift", "ialctl drift --json"))
    def drift(context: AppContext) -> None:
        """Show what differs from the templates; exit code 3 where anything does."""
        import dataclasses

        from core.errors import DifferenceError
        from ialctl.deploying import deployment, read_all_phases

        found = deployment(context, phases=read_all_phases(context)).drift()
        if found or context.output.format != "table":
            context.output.rows("drift", map(dataclasses.asdict, found), COLUMNS)
        if found:
            raise DifferenceError(
                f"{len(found)} difference{'s' if len(found) > 1 else ''} from the templates.",
                "`ialctl start` deploys what is missing; what was changed by hand, change back.",
            )
        context.output.note("Nothing differs from the templates.")
