"""`ialctl doctor`: what is wrong, what that means, and what cures it."""

from __future__ import annotations

from typing import Annotated

import typer

from ialctl.command import command
from ialctl.context import AppContext

EXAMPLES = ("ialctl doctor", "ialctl doctor --for latency")
_For = Annotated[
    str | None,
    typer.Option("--for", help="What hurts: latency, memory or cost.", metavar="WHAT"),
]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "doctor", examples=EXAMPLES)
    def doctor(context: AppContext, topic: _For = None) -> None:
        """Check everything, and say what cures what is wrong; changes nothing, starts nothing."""
        from ialctl.doctoring import check_health, diagnose, show

        diagnosis = diagnose(context, topic)
        show(context, diagnosis)
        check_health(diagnosis)
