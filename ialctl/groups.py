"""Commands that have commands of their own, and do something when they are typed bare."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_HELP = ("-h", "--help")


def bare_group(bare: str) -> type[TyperGroup]:
    """A group that runs its command `bare` where none is named."""

    class BareGroup(TyperGroup):
        """Puts the name in where only options follow, or nothing."""

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            if not args or (args[0].startswith("-") and args[0] not in _HELP):
                args = [bare, *args]
            return super().parse_args(ctx, args)

    return BareGroup


def optional_value(option: str, default: str) -> type[TyperCommand]:
    """A command one of whose options may stand without its value."""

    class OptionalValue(TyperCommand):
        """Writes the default in where the next word is an option, or there is none."""

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            given: list[str] = []
            for number, word in enumerate(args):
                bare = word == option and "".join(args[number + 1 : number + 2])[:1] in ("", "-")
                given.append(f"{option}={default}" if bare else word)
            return super().parse_args(ctx, given)

    return OptionalValue


def make_group(name: str, bare: str, help_text: str) -> typer.Typer:
    """A group called `name` that runs `bare` where no command is named."""
    return typer.Typer(
        name=name,
        cls=bare_group(bare),
        help=help_text,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
