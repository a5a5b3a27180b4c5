"""`ialctl drift`: what differs from the templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from ialctl.command import command
from ialctl.context import AppContext

if TYPE_CHECKING:
    from rich.text import Text

    from core.deploy.tables import Difference


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "drift", examples=("ialctl drift", "ialctl drift --json"))
    def drift(context: AppContext) -> None:
        """Show what differs from the templates; exit code 3 where anything does."""
        import dataclasses

        from core.errors import DifferenceError
        from ialctl.deploying import deployment, read_all_phases

        found = deployment(context, phases=read_all_phases(context)).drift()
        if context.output.format != "table":
            context.output.rows("drift", map(dataclasses.asdict, found), ())
        elif found:
            context.output.result("drift", {}, lambda: _lines(found))
        if found:
            raise DifferenceError(
                f"{len(found)} difference{'s' if len(found) > 1 else ''} from the templates.",
                "`ialctl start` deploys what is missing; what was changed by hand, change back.",
            )
        context.output.note("Nothing differs from the templates.")


def _lines(found: Sequence[Difference]) -> Text:
    """A stack, and below it a line a difference: five columns would not fit a terminal."""
    from ialctl.output import plain

    lines: list[str] = []
    for difference in found:
        if difference.stack not in lines:
            lines.append(difference.stack)
        what = f"{difference.resource} {difference.aspect}".strip()
        lines.append(f"  {what}: should be {difference.expected}, is {difference.found}")
    return plain("\n".join(lines))
