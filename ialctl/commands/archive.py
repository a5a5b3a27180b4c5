"""`ialctl archive`: old sessions out of the tables, into the backup bucket."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from ialctl.command import command
from ialctl.context import AppContext

if TYPE_CHECKING:
    from core.memory.archives import Archive
    from core.memory.archiving import Archived, Wish

EXAMPLES = (
    "ialctl archive --user ada --older-than-days 90 --dry-run",
    "ialctl archive --user ada --older-than-days 90",
)
_User = Annotated[str, typer.Option("--user", help="Whose sessions.", metavar="ID")]
_Days = Annotated[
    float, typer.Option("--older-than-days", help="All messages are at least so old.", metavar="N")
]
_Session = Annotated[str | None, typer.Option("--session", help="Only this session.", metavar="ID")]
_Keep = Annotated[bool, typer.Option("--keep", help="Leave the messages in the tables as well.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be archived, and stop.")]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "archive", examples=EXAMPLES)
    def archive(
        context: AppContext,
        user: _User,
        older_than_days: _Days,
        session: _Session = None,
        keep: _Keep = False,
        dry_run: _DryRun = False,
    ) -> None:
        """Move old sessions to the backup bucket, as files that `ialctl import` reads."""
        from core.memory.archiving import Wish

        wish = Wish(user, older_than_days, session, keep, dry_run)
        if not (keep or dry_run):
            context.output.confirm(f"Archive the old sessions of user '{user}', and remove them?")
        _show(context, wish, _run(context, wish))


def _run(context: AppContext, wish: Wish) -> Archived:
    from core.memory.archives import open_archives
    from core.memory.parts import open_parts

    with open_parts(context.settings, context.session, context.clock) as parts:
        archives = open_archives(context.session, context.settings.project)

        def each(one: Archive) -> None:
            if not wish.dry_run:
                context.output.note(f"Session '{one.session_id:.60}' is written.")

        return parts.archiver.run(archives, wish, each=each)


def _show(context: AppContext, wish: Wish, done: Archived) -> None:
    from ialctl.output import plain

    verb = "would be archived" if wish.dry_run else "archived"
    lines = [f"{one.key}  {one.messages} messages" for one in done.archives]
    if not wish.dry_run:
        sizes = [one.bytes for one in done.archives]
        lines = [f"{line}, {size} bytes" for line, size in zip(lines, sizes, strict=True)]
    lines.append(
        f"{len(done.archives)} sessions with {done.messages} messages {verb}, "
        f"{done.removed} messages removed from the tables"
    )
    context.output.result("archive", dataclasses.asdict(done), lambda: plain("\n".join(lines)))
    for sentence in done.left:
        context.output.warn(sentence)
