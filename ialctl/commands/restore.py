"""`ialctl restore`: a backup into new tables, or into those that stand."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from ialctl.command import command
from ialctl.commands.backup_looking import Backups, From, KeyFile, Passphrase
from ialctl.context import AppContext
from ialctl.output import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.backup.restore_plans import RestorePlan, RestoreWish
    from core.backup.restoring import Restored
    from core.backup.selection import Selection
    from ialctl.backing_up import KeyOptions

EXAMPLES = (
    "ialctl restore latest --dry-run",
    "ialctl restore 20261121T173045Z-1a2b3c4d --suffix -r1",
)
_RESTORED = "-restored"
_Tables = Annotated[
    list[str] | None,
    typer.Option("--table", help="Only this table of the backup (repeatable).", metavar="NAME"),
]
_Suffix = Annotated[
    str, typer.Option("--suffix", help="What the new tables' names end in.", metavar="TEXT")
]
_InPlace = Annotated[
    bool, typer.Option("--in-place", help="Into the tables of the same names, if empty.")
]
_Confirm = Annotated[
    list[str] | None,
    typer.Option("--confirm", help="Write over this table though it holds items.", metavar="TABLE"),
]
_User = Annotated[
    str | None, typer.Option("--user", help="Only what is of this user.", metavar="ID")
]
_Session = Annotated[
    str | None, typer.Option("--session", help="Only what is of this session.", metavar="ID")
]
_After = Annotated[
    str | None,
    typer.Option("--after", help="Only messages of this instant or later.", metavar="TIME"),
]
_Before = Annotated[
    str | None, typer.Option("--before", help="Only messages before it.", metavar="TIME")
]
_Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        help="A key attribute of the table, where an export does not say: twice, hash key first.",
        metavar="NAME:TYPE",
    ),
]
_MaxWcu = Annotated[
    float | None, typer.Option("--max-wcu", help="Write units a second, at most.", metavar="N")
]
_MaxRcu = Annotated[
    float | None,
    typer.Option("--max-rcu", help="Read units a second, at most, of comparing.", metavar="N"),
]
_Method = Annotated[
    str, typer.Option("--method", help="write, or import (AWS's own).", metavar="METHOD")
]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what, how much, how long, how dear; stop.")
]
_PLANNED = (
    Column("TABLE", "table"),
    Column("INTO", "target"),
    Column("HOW", "how"),
    Column("ITEMS", "items", right=True),
    Column("SIZE", "size", right=True),
    Column("WRITE UNITS", "units", right=True),
    Column("ABOUT", "time", right=True),
    Column("USD", "usd", right=True),
)
_DONE = (
    Column("TABLE", "table"),
    Column("INTO", "target"),
    Column("WRITTEN", "items", right=True),
    Column("WRITE UNITS", "units", right=True),
    Column("COMPARED", "compared"),
)


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "restore", examples=EXAMPLES)
    def restore(
        context: AppContext,
        backup: Backups = "latest",
        place: From = None,
        table: _Tables = None,
        suffix: _Suffix = _RESTORED,
        in_place: _InPlace = False,
        confirm: _Confirm = None,
        user: _User = None,
        session: _Session = None,
        after: _After = None,
        before: _Before = None,
        max_wcu: _MaxWcu = None,
        max_rcu: _MaxRcu = None,
        method: _Method = "write",
        key: _Keys = None,
        passphrase_file: Passphrase = None,
        key_file: KeyFile = None,
        dry_run: _DryRun = False,
    ) -> None:
        """Restore a backup into new tables; verified before the first write and after the last."""
        from ialctl.backing_up import KeyOptions

        if in_place:
            _refuse_suffix(suffix)
        wish = _wish(table, suffix, confirm, max_wcu, max_rcu, method)
        chosen = _selection(user, session, after, before)
        wish = dataclasses.replace(wish, in_place=in_place, selection=chosen)
        sources = KeyOptions(passphrase_file, key_file)
        _run(context, wish, place, backup, sources, key or (), dry_run=dry_run)


def _refuse_suffix(suffix: str) -> None:
    from core.errors import UsageError

    if suffix not in ("", _RESTORED):
        raise UsageError(
            "In place, tables keep their names: `--in-place` and `--suffix` exclude each other.",
            "Leave one of them out.",
        )


def _wish(
    tables: list[str] | None,
    suffix: str,
    confirm: list[str] | None,
    max_wcu: float | None,
    max_rcu: float | None,
    method: str,
) -> RestoreWish:
    from core.backup.restore_plans import RestoreWish
    from core.errors import UsageError

    if method not in ("write", "import"):
        raise UsageError(f"There is no method '{method}'.", "Choose write or import.")
    for units in (max_wcu, max_rcu):
        if units is not None and not 1 <= units < float("inf"):
            raise UsageError(f"{units:g} units a second is no budget.", "Write 1 or more.")
    return RestoreWish(
        tables=tuple(tables or ()),
        suffix=suffix,
        confirm=tuple(confirm or ()),
        max_wcu=max_wcu,
        max_rcu=max_rcu,
        by_import=method == "import",
    )


def _selection(
    user: str | None, session: str | None, after: str | None, before: str | None
) -> Selection:
    from core.backup.selection import Selection
    from core.errors import UsageError
    from core.memory.importing.records import UnusableError, parse_time

    times: list[int | None] = []
    for option, text in (("--after", after), ("--before", before)):
        try:
            times.append(parse_time(text) if text is not None else None)
        except UnusableError as error:
            raise UsageError(
                f"'{text}' is no time for {option}: {error}.", "Write it like 2026-05-08T13:56:00Z."
            ) from error
    return Selection(user, session, *times)


def _run(
    context: AppContext,
    wish: RestoreWish,
    place: str | None,
    backup: str,
    options: KeyOptions,
    keys: Sequence[str],
    *,
    dry_run: bool,
) -> None:
    from core.backup.opening import open_backup
    from core.backup.restoring import Folders, Restorer
    from core.backup.shapes import parse_keys, shaped
    from ialctl.backing_up import opening_sources, resolved, temporary_folder
    from ialctl.interrupts import stop_wish
    from ialctl.table_progress import TableProgress

    told, found = parse_keys(keys), resolved(context, place, backup)
    sources = tuple(opening_sources(context, options))
    opened = open_backup(found.place, found.folder, sources, lambda: context.session)
    opened = shaped(context.session, opened, told, wish.tables)
    notes = context.settings.project_state_dir / "restores"
    begun_s = context.clock.monotonic()
    with stop_wish() as stop, TableProgress(context) as progress:
        restorer = Restorer(
            context.session,
            opened,
            Folders(notes, temporary_folder(context)),
            context.clock,
            context.ids,
            observe=progress,
            stop=stop,
        )
        done = None if dry_run else restorer.run(wish)
    if done is None:
        _show_plan(context, restorer.plan(wish))
    else:
        _show_done(context, done, context.clock.monotonic() - begun_s)


def _show_plan(context: AppContext, plan: RestorePlan) -> None:
    from ialctl.words import duration_words, size_words

    rows = [
        one.to_json()
        | {
            "how": f"{one.method}, {one.state}",
            "size": size_words(one.item_bytes),
            "units": f"{one.write_units:,.0f}",
            "time": duration_words(one.seconds),
            "usd": f"{one.dollars:.2f}",
        }
        for one in plan.tables
    ]
    about = {"backup": plan.backup, "write_units": plan.write_units, "seconds": plan.seconds}
    context.output.rows("restore-plan", rows, _PLANNED, **about, dollars=plan.dollars)
    for one in plan.tables:
        for sentence in one.notes:
            context.output.note(f"{one.table}: {sentence}")
    context.output.note(
        f"Nothing was changed. In all {plan.write_units:,.0f} write units, about "
        f"{duration_words(plan.seconds)}, {plan.dollars:.2f} USD."
    )


def _show_done(context: AppContext, done: Restored, elapsed_s: float) -> None:
    from rich.console import Group

    from ialctl.output import plain, table
    from ialctl.words import duration_words

    rows = [
        {
            "table": one.table,
            "target": one.target,
            "items": f"{one.written.items:,}",
            "units": f"{one.written.units:,.0f}",
            "compared": "nothing of it is selected"
            if one.comparison is None
            else f"{'already ' if one.unchanged else ''}{one.comparison}",
        }
        for one in done.tables
    ]
    unchanged = done.tables and all(one.unchanged for one in done.tables)
    took = duration_words(elapsed_s)
    head = f"Restored '{done.backup}' in {took}; compared with the backup."
    if unchanged:
        head = f"'{done.backup}' was restored before; compared with the backup in {took}."
    data = dataclasses.asdict(done) | {"elapsed_s": elapsed_s}
    context.output.result("restore", data, lambda: Group(plain(head + "\n"), table(rows, _DONE)))
    for one in done.tables:
        for sentence in one.notes:
            context.output.note(f"{one.target}: {sentence}")
