"""`ialctl scripts`: the scripts that are shipped with the program, run in this process."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ialctl.command import command
from ialctl.context import AppContext
from ialctl.output import Column

COLUMNS = (Column("SCRIPT", "script"), Column("DOES", "does"))
_Name = Annotated[str, typer.Argument(help="The script.", metavar="NAME")]
_Arguments = Annotated[
    list[str] | None,
    typer.Argument(help="What the script gets; after --, options too.", metavar="[-- ARGS]"),
]


def register(app: typer.Typer) -> None:
    """Adds the group with its commands."""
    from ialctl.groups import make_group

    group = make_group("scripts", "list", "List and run the scripts that are shipped along.")

    @command(group, "list", examples=("ialctl scripts list", "ialctl scripts list --json"))
    def list_(context: AppContext) -> None:
        """List the scripts with what each one does."""
        rows = [{"script": name, "does": _does(name)} for name in names()]
        context.output.rows("scripts", rows, COLUMNS)

    @command(
        group,
        "run",
        examples=(
            "ialctl scripts run migrate_dynamodb_optimization",
            "ialctl scripts run migrate_dynamodb_optimization -- --execute --json",
        ),
    )
    def run(_context: AppContext, name: _Name, arguments: _Arguments = None) -> None:
        """Run a script in this process; it ends with the script's own exit code."""
        raise typer.Exit(call(name, arguments or ()))

    app.add_typer(group)


def names() -> list[str]:
    """The scripts that are there, as they are."""
    import importlib
    import pkgutil

    # By name: the command line and the scripts are layers that don't know each other.
    folders = importlib.import_module("scripts").__path__
    return sorted(one.name for one in pkgutil.iter_modules(folders) if not one.ispkg)


def call(name: str, arguments: Any) -> int:
    """Calls a script's `main` with the words that are its own; answers its exit code.

    Raises:
        UsageError: there is no script of that name.
    """
    import importlib
    import sys

    from core.errors import UsageError

    name = name.removesuffix(".py")
    if name not in names():
        raise UsageError(
            f"There is no script '{name}'.", "`ialctl scripts list` shows those that are there."
        )
    main = importlib.import_module(f"scripts.{name}").main
    try:
        ended = main(list(arguments))
    except SystemExit as error:  # argparse's own, after --help or a slip
        ended = error.code
    if isinstance(ended, str):
        sys.stderr.write(f"{ended}\n")
        return 1
    return ended or 0


def _does(name: str) -> str:
    import importlib

    told = (importlib.import_module(f"scripts.{name}").__doc__ or "").strip()
    return told.splitlines()[0] if told else ""
