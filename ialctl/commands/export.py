"""`ialctl export`: conversations out, as JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from ialctl.command import command
from ialctl.context import AppContext

if TYPE_CHECKING:
    from core.aws.capacity import Consumed

EXAMPLES = (
    "ialctl export --user ada > ada.jsonl",
    "ialctl export --user ada --session s1 --to s1.jsonl",
)
_User = Annotated[str, typer.Option("--user", help="Whose messages.", metavar="ID")]
_Session = Annotated[
    str | None, typer.Option("--session", help="Of this session only.", metavar="ID")
]
_To = Annotated[
    Path | None,
    typer.Option("--to", help="A file, written whole or not at all.", metavar="FILE"),
]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "export", examples=EXAMPLES)
    def export(context: AppContext, user: _User, session: _Session = None, to: _To = None) -> None:
        """Write a user's messages as JSON lines, oldest first; `ialctl import` reads them."""
        import sys

        from core.benchmark.evaluation.files import check_writable

        if to is None:
            count, consumed = _write(context, user, session, sys.stdout.buffer)
        else:
            check_writable(to, "--to")
            aside = to.with_name(f".{to.name}.{context.ids()[:8]}.tmp")
            try:
                with aside.open("xb") as file:
                    count, consumed = _write(context, user, session, file)
                aside.replace(to)
            finally:
                aside.unlink(missing_ok=True)
        place = f" to '{to}'" if to else ""
        context.output.note(f"{count} messages{place}; {consumed.read_units:g} read units")


def _write(
    context: AppContext, user: str, session: str | None, file: IO[bytes]
) -> tuple[int, Consumed]:
    from core.aws.capacity import NOTHING
    from core.memory.exporting import to_lines
    from core.memory.opening import open_store

    count, consumed = 0, NOTHING
    with open_store(context.session, context.settings.project, context.clock) as store:
        for page in store.read_all(user, oldest_first=True):
            consumed += page.consumed
            wanted = (m for m in page.items if session in (None, m.session_id))
            for line in to_lines(wanted):
                file.write(line)
                count += 1
    file.flush()
    return count, consumed
