"""`ialctl stop`: ends the embedded endpoint."""

from __future__ import annotations

import typer

from ialctl.command import command
from ialctl.context import AppContext


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "stop", examples=("ialctl stop", "ialctl stop --project demo"))
    def stop(context: AppContext) -> None:
        """End the local endpoint; what it holds is kept."""
        from ialctl.endpoint import local_endpoint

        stopped = local_endpoint(context).stop()
        text = "The local endpoint is stopped; its data is kept. `ialctl start` brings it back."
        context.output.result(
            "stop",
            {"stopped": stopped},
            lambda: text if stopped else "No local endpoint runs here.",
        )
