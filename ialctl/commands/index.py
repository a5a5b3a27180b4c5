"""`ialctl index`: brings a user's index in line with the messages that stand."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ialctl.command import command
from ialctl.context import AppContext

if TYPE_CHECKING:
    from core.memory.orphans import Differences

EXAMPLES = ("ialctl index --user ada", "ialctl index --user ada --check --json")
_User = Annotated[str, typer.Option("--user", help="Whose index.", metavar="ID")]
_Check = Annotated[
    bool, typer.Option("--check", help="Only count what differs; exit 3 if it does.")
]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "index", examples=EXAMPLES)
    def index(context: AppContext, user: _User, check: _Check = False) -> None:
        """Index what is not indexed; remove vectors and entries of messages that are gone."""
        from core.errors import DifferenceError
        from core.memory.parts import open_parts

        with open_parts(context.settings, context.session, context.clock) as parts:
            if not check:
                done = parts.auditor.repair(user)
                _show(context, user, done.found, dataclasses.asdict(done))
                for note in done.missing:
                    context.output.warn(note)
                return
            found = parts.auditor.check(user)
        _show(context, user, found, {"found": dataclasses.asdict(found)})
        if found.any:
            raise DifferenceError(
                f"The index of user '{user:.60}' differs from the messages that stand.",
                "Put it right: run the same command without `--check`.",
            )


def _show(context: AppContext, user: str, found: Differences, data: dict[str, Any]) -> None:
    from ialctl.output import plain

    lines = [f"{found.messages} messages"]
    lines += [f"  {n} {kind.replace('_', ' ')}" for kind, n in found.counts().items() if n]
    lines += [] if found.any else ["The index is in line with them."]
    if "indexed" in data:
        lines.append(f"{data['indexed']} indexed, {data['embedded']} given a vector")
    context.output.result("index", {"user": user, **data}, lambda: plain("\n".join(lines)))
