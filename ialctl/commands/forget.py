"""`ialctl forget`: removes what stands of a user, a session or a message, with a receipt."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from ialctl.command import command
from ialctl.context import AppContext

if TYPE_CHECKING:
    from core.memory.forgetting import Receipt
    from core.memory.scope import Scope

EXAMPLES = ("ialctl forget --user ada", "ialctl forget --user ada --session s1 --yes --json")
_User = Annotated[str, typer.Option("--user", help="Whose memory.", metavar="ID")]
_Session = Annotated[str | None, typer.Option("--session", help="Only this session.", metavar="ID")]
_Message = Annotated[
    str | None, typer.Option("--message", help="Only the message of this id.", metavar="ID")
]
_Archives = Annotated[
    bool, typer.Option("--archives", help="Delete the user's archives in the bucket as well.")
]
_NoWait = Annotated[
    bool,
    typer.Option("--no-wait", help="Do not wait until other processes show nothing of it."),
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and stop.")]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "forget", examples=EXAMPLES)
    def forget(
        context: AppContext,
        user: _User,
        session: _Session = None,
        message: _Message = None,
        archives: _Archives = False,
        no_wait: _NoWait = False,
        dry_run: _DryRun = False,
    ) -> None:
        """Remove what stands of a user, a session or a message; a receipt tells what went."""
        from core.memory.scope import Scope

        scope = Scope(user, session, message)
        scope.check(archives=archives)
        receipt = _forget(context, scope, archives=archives, wait=not no_wait, dry_run=dry_run)
        _show(context, receipt)


def _forget(
    context: AppContext, scope: Scope, *, archives: bool, wait: bool, dry_run: bool
) -> Receipt:
    from core.memory.archives import open_archives
    from core.memory.parts import open_parts

    # First: once something is removed, its receipt must not be lost because there is no bucket.
    kept = open_archives(context.session, context.settings.project) if archives else None
    with open_parts(context.settings, context.session, context.clock) as parts:
        if dry_run:
            return parts.forgetter.look(scope)
        context.output.confirm(f"Forget {scope}, for good?")
        receipt = parts.forgetter.forget(scope, wait=wait, note=context.output.note)
        if kept is not None:
            receipt = receipt.with_archives(kept.delete(scope.user_id))
        return receipt


def _show(context: AppContext, receipt: Receipt) -> None:
    from core.errors import DifferenceError
    from ialctl.output import plain

    context.output.result(
        "forget", dataclasses.asdict(receipt), lambda: plain("\n".join(_lines(receipt)))
    )
    if not (receipt.verified or receipt.dry_run):
        raise DifferenceError(
            "Not everything could be removed: the receipt says what is left.",
            "Run the same command again.",
        )


def _lines(receipt: Receipt) -> list[str]:
    left = ["Left:", *(f"  {sentence}" for sentence in receipt.left)] if receipt.left else []
    if receipt.nothing:
        return [f"There is nothing to forget of {receipt.subject}.", *left]
    verb = "Would be removed" if receipt.dry_run else "Removed"
    lines = [f"{verb} of {receipt.subject}:"]
    lines += [f"  {n} {kind.replace('_', ' ')}" for kind, n in receipt.removed.items() if n]
    if not receipt.dry_run:
        lines.append(f"Looked at again, and nothing found ({receipt.finished_at}):")
        lines += [f"  {place}" for place in receipt.checked]
        lines += left
    used = receipt.consumed
    lines.append(f"{used.read_units:g} read units, {used.write_units:g} write units")
    return lines
