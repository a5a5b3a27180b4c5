"""`ialctl backup list`, `show` and `verify`: what backups there are, and whether they are whole."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ialctl.command import command
from ialctl.context import AppContext
from ialctl.groups import optional_value
from ialctl.output import Column

if TYPE_CHECKING:
    from core.backup.comparing import Comparison
    from core.backup.opening import Backup
    from core.backup.verifying import Verification

LIST_EXAMPLES = ("ialctl backup list", "ialctl backup list --all --from s3:// --json")
SHOW_EXAMPLES = ("ialctl backup show", "ialctl backup show 20261121T173045Z-1a2b3c4d")
VERIFY_EXAMPLES = ("ialctl backup verify", "ialctl backup verify latest --read-data-subset 5%")
SAME = "=same"
Backups = Annotated[
    str,
    typer.Argument(help="Its id, how that begins, latest, or a folder.", metavar="[BACKUP]"),
]
From = Annotated[
    str | None,
    typer.Option("--from", "--to", help="Where backups lie.", metavar="PLACE"),
]
Passphrase = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="Its first line opens the backup.", metavar="FILE"),
]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", help="The age key that opens it.", metavar="FILE")
]
_All = Annotated[
    bool, typer.Option("--all", help="Also what is no backup (yet): incomplete, in progress.")
]
_Subset = Annotated[
    str | None,
    typer.Option("--read-data-subset", help="Only a share of the data: 1/10, 5%.", metavar="PART"),
]
_Against = Annotated[
    str | None,
    typer.Option(
        "--against-table",
        help="Compare with the tables that stand, or with the one named.",
        metavar="[NAME]",
    ),
]
_Suffix = Annotated[
    str,
    typer.Option("--suffix", help="Compare with tables of these names' ends.", metavar="TEXT"),
]
_MaxRcu = Annotated[
    float | None,
    typer.Option("--max-rcu", help="Read units a second, at most, of tables.", metavar="N"),
]
_LISTED = (
    Column("BACKUP", "id"),
    Column("TAKEN", "taken"),
    Column("TABLES", "tables", right=True),
    Column("ITEMS", "items", right=True),
    Column("FILES", "size", right=True),
    Column("KIND", "kind"),
    Column("STATE", "state"),
)


def register(group: typer.Typer) -> None:
    """Adds the commands."""

    @command(group, "list", examples=LIST_EXAMPLES)
    def list_(context: AppContext, place: From = None, all_: _All = False) -> None:
        """List the backups of a place, newest first."""
        from core.backup.catalog import list_sets
        from ialctl.backing_up import place_of

        found = place_of(context, place)
        sets = list_sets(found, context.clock, with_data=True)
        shown = ("valid", "damaged")
        rows = [_listed(one) for one in sets if all_ or one.state in shown]
        context.output.rows("backup-list", rows, _LISTED, place=found.url)
        hidden = len(sets) - len(rows)
        if hidden:
            context.output.note(f"{hidden} more that are no backups: `ialctl backup list --all`.")
        if not sets:
            context.output.note(f"There is no backup at '{found.url}'. Take one: `ialctl backup`.")

    @command(group, "show", examples=SHOW_EXAMPLES)
    def show(context: AppContext, backup: Backups = "latest", place: From = None) -> None:
        """Show what a backup holds, of when, and how it was taken."""
        from core.backup.opening import read_manifest
        from ialctl.backing_up import resolved
        from ialctl.backup_words import show_manifest

        found = resolved(context, place, backup)
        show_manifest(context, found.place, read_manifest(found.place, found.folder))

    @command(group, "verify", examples=VERIFY_EXAMPLES, cls=optional_value("--against-table", SAME))
    def verify(
        context: AppContext,
        backup: Backups = "latest",
        place: From = None,
        read_data_subset: _Subset = None,
        against_table: _Against = None,
        suffix: _Suffix = "",
        max_rcu: _MaxRcu = None,
        passphrase_file: Passphrase = None,
        key_file: KeyFile = None,
    ) -> None:
        """Read a backup, and check every checksum, count and line of it."""
        from ialctl.backing_up import KeyOptions

        keys = KeyOptions(passphrase_file, key_file)
        opened = _opened(context, place, backup, keys)
        verification = _verified(context, opened, read_data_subset)
        compared: tuple[Comparison, ...] = ()
        wanted = SAME if suffix and against_table is None else against_table
        if wanted is not None and not verification.problems:
            compared = _compared(context, opened, wanted, suffix, max_rcu)
        _show(context, verification, compared)


def _listed(one: Any) -> dict[str, Any]:
    from ialctl.words import instant_words, size_words

    found = one.manifest
    return {
        "id": one.id,
        "taken": instant_words(found.finished_at) if found else None,
        "tables": len(found.tables) if found else None,
        "items": found.items if found else None,
        "file_bytes": found.file_bytes if found else None,
        "size": size_words(found.file_bytes) if found else None,
        "kind": None if not found else f"since {found.base}" if found.base else "full",
        "state": one.state + (f": {one.why}" if one.why else ""),
    }


def _opened(context: AppContext, place: str | None, backup: str, keys: Any) -> Backup:
    from core.backup.opening import open_backup
    from ialctl.backing_up import opening_sources, resolved

    found = resolved(context, place, backup)
    sources = tuple(opening_sources(context, keys))
    return open_backup(found.place, found.folder, sources, lambda: context.session)


def _verified(context: AppContext, opened: Backup, subset: str | None) -> Verification:
    from core.backup.verifying import verify
    from core.clock import system_random
    from ialctl.backing_up import temporary_folder
    from ialctl.interrupts import stop_wish
    from ialctl.table_progress import TableProgress

    with stop_wish() as stop, TableProgress(context) as progress:
        return verify(
            opened,
            temporary_folder(context),
            system_random(),
            subset=subset,
            observe=progress,
            stop=stop,
        )


def _compared(
    context: AppContext, opened: Backup, wanted: str, suffix: str, max_rcu: float | None
) -> tuple[Comparison, ...]:
    from core.backup.against import compare_tables
    from ialctl.backing_up import temporary_folder
    from ialctl.interrupts import stop_wish
    from ialctl.table_progress import TableProgress

    with stop_wish() as stop, TableProgress(context) as progress:
        return compare_tables(
            context.session,
            opened,
            _targets(opened, wanted, suffix),
            temporary_folder(context),
            context.clock,
            max_rcu=max_rcu,
            observe=progress,
            stop=stop,
        )


def _targets(opened: Backup, wanted: str, suffix: str) -> dict[str, str]:
    """Which table of the backup is compared with which that stands."""
    from core.errors import UsageError

    names = [table.table for table in opened.tables]
    if wanted == SAME:
        return {name: f"{name}{suffix}" for name in names}
    fitting = [name for name in names if wanted.startswith(name)] or names
    if len(fitting) > 1 and not any(map(wanted.startswith, fitting)):
        raise UsageError(
            f"No table of the backup has a name that '{wanted}' begins with.",
            f"It holds: {', '.join(names)}. A restored one is named by `--suffix`.",
        )
    return {max(fitting, key=len): wanted}


def _show(
    context: AppContext, verification: Verification, compared: tuple[Comparison, ...]
) -> None:
    from core.errors import DamagedError
    from ialctl.backup_words import comparison_lines, raise_differences, verification_lines
    from ialctl.output import plain

    data = dataclasses.asdict(verification) | {
        "state": verification.state,
        "compared": [dataclasses.asdict(one) for one in compared],
    }
    lines = [*verification_lines(verification), *comparison_lines(compared)]
    context.output.result("backup-verify", data, lambda: plain("\n".join(lines)))
    if verification.problems:
        first, more = verification.problems[0], len(verification.problems) - 1
        others = f" And {more} more." if more else ""
        raise DamagedError(f"{first}{others}", "Restore from another backup: `ialctl backup list`.")
    raise_differences(compared)
