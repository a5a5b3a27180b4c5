"""`ialctl reindex`: a vector of the model in use for every message, or an index of another one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from ialctl.command import command
from ialctl.context import AppContext

if TYPE_CHECKING:
    from core.memory.reindexing import Reindexed
    from core.settings import Settings
    from ialctl.generations import Wanted

EXAMPLES = (
    "ialctl reindex",
    "ialctl reindex --generation e5 --embedder ollama --model e5-small",
    "ialctl reindex --drop default --dry-run",
)
_User = Annotated[str | None, typer.Option("--user", help="Only this user's.", metavar="ID")]
_Generation = Annotated[
    str | None,
    typer.Option("--generation", help="An index of its own beside the one in use.", metavar="NAME"),
]
_Embedder = Annotated[
    str | None, typer.Option("--embedder", help="What makes its vectors.", metavar="NAME")
]
_Model = Annotated[str | None, typer.Option("--model", help="Its model.", metavar="NAME")]
_Dimensions = Annotated[
    int | None, typer.Option("--dimensions", help="How many numbers a vector has.", metavar="N")
]
_Drop = Annotated[
    str | None,
    typer.Option("--drop", help="Delete this generation, which is not in use.", metavar="NAME"),
]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Count what lacks a vector or would be deleted, and stop.")
]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "reindex", examples=EXAMPLES)
    def reindex(
        context: AppContext,
        user: _User = None,
        generation: _Generation = None,
        embedder: _Embedder = None,
        model: _Model = None,
        dimensions: _Dimensions = None,
        drop: _Drop = None,
        dry_run: _DryRun = False,
    ) -> None:
        """Give a vector of the model in use to each message that has none; resumable."""
        from ialctl.generations import Wanted

        wanted = Wanted(generation, embedder, model, dimensions)
        if drop is None:
            _reindex(context, user, wanted, dry_run=dry_run)
        else:
            _check_drop(user, wanted)
            _drop(context, drop, dry_run=dry_run)


def _reindex(context: AppContext, user: str | None, wanted: Wanted, *, dry_run: bool) -> None:
    from ialctl.generations import to_set
    from ialctl.interrupts import stop_wish
    from ialctl.output import plain
    from ialctl.reindexing import UserProgress, reindexed

    settings = wanted.settings(context.settings)
    with stop_wish() as stop, UserProgress(context) as progress:
        done = reindexed(
            context, user, settings=settings, dry_run=dry_run, stop=stop, observe=progress
        )
    data = {"dry_run": dry_run, **dataclasses.asdict(done)}
    if wanted.any:
        data |= {"settings": to_set(settings)}
    context.output.result("reindex", data, lambda: plain(_said(done, dry_run=dry_run)))
    for problem in done.missing:
        context.output.warn(problem)
    if wanted.any and not dry_run and user is None:
        _tell_switch(context, settings, to_set(settings), whole=not done.missing)


def _check_drop(user: str | None, wanted: Wanted) -> None:
    from core.errors import UsageError

    if user is not None or wanted.any:
        raise UsageError(
            "`--drop` deletes a whole generation, and goes with `--dry-run` alone.",
            "Leave the other options out.",
        )


def _drop(context: AppContext, name: str, *, dry_run: bool) -> None:
    from ialctl.generations import dropped
    from ialctl.output import plain
    from ialctl.words import counted

    done = dropped(context, name, dry_run=dry_run)
    verb = "would be deleted. Nothing was changed." if dry_run else "deleted."
    said = f"Generation '{name}': {counted(done.items, 'item')} of {done.seen:,} {verb}"
    data = {"generation": name, "dry_run": dry_run, **dataclasses.asdict(done)}
    context.output.result("reindex.drop", data, lambda: plain(said))


def _tell_switch(
    context: AppContext, settings: Settings, variables: Mapping[str, str], *, whole: bool
) -> None:
    if not whole:
        context.output.note("Not all of it has a vector: run the same command again.")
    elif settings.index_generation == context.settings.index_generation:
        context.output.note("This generation is the one in use.")
    else:
        old = context.settings.index_generation or "default"
        lines = "\n".join(f"  {name}={value}" for name, value in variables.items())
        context.output.note(
            f"To switch, set in every process (or in ialctl.yaml):\n{lines}\nThen run `ialctl "
            f"reindex` once more for what was said meanwhile, and when all is well `ialctl "
            f"reindex --drop {old}`."
        )


def _said(done: Reindexed, *, dry_run: bool) -> str:
    from ialctl.words import counted

    looked = f"{counted(done.seen, 'message')} of {counted(done.users, 'user')} looked at"
    if dry_run:
        return f"{looked}: {done.lacking:,} lack a vector. Nothing was changed."
    if not done.indexed + done.embedded:
        return f"{looked}: nothing to do."
    return f"{looked}: {done.embedded:,} given a vector, {done.indexed:,} put into the index."
