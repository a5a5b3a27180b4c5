"""`ialctl config`: every setting, its value, and where that came from."""

from __future__ import annotations

import typer

from core.settings import SETTINGS
from ialctl.command import command
from ialctl.context import AppContext
from ialctl.output import Column

COLUMNS = (
    Column("SETTING", "setting"),
    Column("VALUE", "value"),
    Column("FROM", "source"),
    Column("WHAT IT IS", "help"),
)


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "config", examples=("ialctl config", "ialctl config --json"))
    def config(context: AppContext) -> None:
        """Show every setting, its value, and where that came from."""
        context.output.rows("config", _rows(context), COLUMNS)


def _rows(context: AppContext) -> list[dict[str, object]]:
    return [
        {
            "setting": name,
            "value": _plain(setting.show(getattr(context.settings, name))),
            "source": context.loaded.sources[name],
            "help": setting.help,
        }
        for name, setting in SETTINGS.items()
    ]


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | None) else str(value)
