"""`ialctl backup`: takes a backup; its other commands list, show, verify and prune them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ialctl.command import command
from ialctl.commands import backup_looking, backup_upkeep
from ialctl.context import AppContext
from ialctl.groups import make_group
from ialctl.output import Column

if TYPE_CHECKING:
    from core.backup.plans import Wish
    from ialctl.backing_up import KeyOptions

EXAMPLES = ("ialctl backup create", "ialctl backup create --to s3:// --passphrase-file secret.txt")
HELP = (
    "Take a backup of every table (its options: `ialctl backup create --help`); list, show, verify "
    "and prune backups."
)
_Tables = Annotated[
    list[str] | None,
    typer.Option("--table", help="Only this table (repeatable).", metavar="NAME"),
]
_To = Annotated[
    str | None,
    typer.Option("--to", help="A folder, s3://bucket/prefix, or s3://.", metavar="PLACE"),
]
_Method = Annotated[
    str, typer.Option("--method", help="auto, scan or export (AWS's own).", metavar="METHOD")
]
_Compression = Annotated[str, typer.Option("--compression", help="gzip, or zstd.", metavar="KIND")]
_MaxRcu = Annotated[
    float | None, typer.Option("--max-rcu", help="Read units a second, at most.", metavar="N")
]
_Since = Annotated[
    str | None,
    typer.Option("--since", help="Only what changed since this backup.", metavar="BACKUP"),
]
_Fresh = Annotated[
    bool, typer.Option("--fresh", help="Begin anew; do not go on with a killed backup.")
]
_Passphrase = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="Encrypt for its first line.", metavar="FILE"),
]
_KeyFile = Annotated[
    Path | None, typer.Option("--key-file", help="Encrypt for this age key.", metavar="FILE")
]
_Recipients = Annotated[
    list[str] | None,
    typer.Option("--recipient", help="Encrypt for an age public key (repeatable).", metavar="KEY"),
]
_KmsKey = Annotated[
    str | None, typer.Option("--kms-key", help="Encrypt for a key of KMS.", metavar="ID")
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be read, and stop.")]
_PLANNED = (
    Column("TABLE", "table"),
    Column("METHOD", "method"),
    Column("ABOUT ITEMS", "items", right=True),
    Column("ABOUT SIZE", "size", right=True),
    Column("STATE OF", "state"),
)


def register(app: typer.Typer) -> None:
    """Adds the group with its commands."""
    group = make_group("backup", "create", HELP)

    @command(group, "create", examples=EXAMPLES)
    def create(
        context: AppContext,
        table: _Tables = None,
        to: _To = None,
        method: _Method = "auto",
        compression: _Compression = "gzip",
        max_rcu: _MaxRcu = None,
        since: _Since = None,
        fresh: _Fresh = False,
        passphrase_file: _Passphrase = None,
        key_file: _KeyFile = None,
        recipient: _Recipients = None,
        kms_key: _KmsKey = None,
        dry_run: _DryRun = False,
    ) -> None:
        """Take a backup of every table; what `ialctl backup` does."""
        from ialctl.backing_up import KeyOptions, make_wish

        keys = KeyOptions(passphrase_file, key_file, tuple(recipient or ()), kms_key)
        wish = make_wish(tuple(table or ()), method, compression, max_rcu, fresh=fresh)
        if dry_run:
            _show_plan(context, to, wish, since, keys)
        else:
            _take(context, to, wish, since, keys)

    backup_looking.register(group)
    backup_upkeep.register(group)
    app.add_typer(group)


def _take(
    context: AppContext, to: str | None, wish: Wish, since: str | None, keys: KeyOptions
) -> None:
    from ialctl.backing_up import completed, place_of, sealing_source, taken_backup
    from ialctl.backup_words import show_taken

    place, source = place_of(context, to), sealing_source(context, keys)
    wish, begun_s = completed(context, place, wish, since), context.clock.monotonic()
    taken = taken_backup(context, place, wish, source)
    show_taken(context, place, taken, keys, context.clock.monotonic() - begun_s)


def _show_plan(
    context: AppContext, to: str | None, wish: Wish, since: str | None, keys: KeyOptions
) -> None:
    from core.backup.planning import plan_tables
    from ialctl.backing_up import completed, place_of, sealing_source
    from ialctl.words import size_words

    place, sealed = place_of(context, to), sealing_source(context, keys) is not None
    wish = completed(context, place, wish, since)
    plans = plan_tables(context.session, place, wish, context.clock, context.ids, sealed=sealed)
    rows: list[dict[str, Any]] = [
        {
            "table": plan.table,
            "method": plan.method,
            "kind": plan.kind,
            "items": plan.items,
            "bytes": plan.bytes,
            "size": size_words(plan.bytes),
            "state": plan.why_not or "one instant",
        }
        for plan in plans
    ]
    context.output.rows("backup-plan", rows, _PLANNED, place=place.url)
    context.output.note("Nothing was read or written. Sizes are DynamoDB's own, hours old.")
