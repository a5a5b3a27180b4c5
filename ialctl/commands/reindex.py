"""`ialctl reindex`: a vector of the model in use for every message."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from ialctl.command import command
from ialctl.context import AppContext

if TYPE_CHECKING:
    from core.memory.reindexing import Reindexed

EXAMPLES = ("ialctl reindex", "ialctl reindex --user ada --dry-run")
_User = Annotated[str | None, typer.Option("--user", help="Only this user's.", metavar="ID")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Count what lacks one, and stop.")]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "reindex", examples=EXAMPLES)
    def reindex(context: AppContext, user: _User = None, dry_run: _DryRun = False) -> None:
        """Give a vector of the model in use to each message that has none; resumable."""
        from ialctl.interrupts import stop_wish
        from ialctl.output import plain
        from ialctl.reindexing import UserProgress, reindexed

        with stop_wish() as stop, UserProgress(context) as progress:
            done = reindexed(context, user, dry_run=dry_run, stop=stop, observe=progress)
        data = {"dry_run": dry_run, **dataclasses.asdict(done)}
        context.output.result("reindex", data, lambda: plain(_said(done, dry_run=dry_run)))
        for problem in done.missing:
            context.output.warn(problem)


def _said(done: Reindexed, *, dry_run: bool) -> str:
    from ialctl.words import counted

    looked = f"{counted(done.seen, 'message')} of {counted(done.users, 'user')} looked at"
    if dry_run:
        return f"{looked}: {done.lacking:,} lack a vector. Nothing was changed."
    if not done.indexed + done.embedded:
        return f"{looked}: nothing to do."
    return f"{looked}: {done.embedded:,} given a vector, {done.indexed:,} put into the index."
