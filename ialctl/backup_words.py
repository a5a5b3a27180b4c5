"""How backups are shown."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Group

from core.errors import DifferenceError
from ialctl.context import AppContext
from ialctl.output import Column, plain, table
from ialctl.words import counted, duration_words, instant_words, size_words

if TYPE_CHECKING:
    from core.backup.comparing import Comparison
    from core.backup.manifest import SetManifest, TableBackup
    from core.backup.place import Place
    from core.backup.taking import Taken
    from core.backup.verifying import Verification
    from ialctl.backing_up import KeyOptions

_TABLES = (
    Column("TABLE", "table"),
    Column("METHOD", "method"),
    Column("ITEMS", "items", right=True),
    Column("SIZE", "size", right=True),
    Column("FILES", "packed", right=True),
    Column("STATE OF", "state"),
)


def show_taken(
    context: AppContext, place: Place, taken: Taken, keys: KeyOptions, elapsed_s: float
) -> None:
    """The summary of a backup that was taken; `keys` are those that it was sealed by."""
    found = taken.manifest
    about = {"resumed": taken.resumed, "throttles": taken.throttles, "elapsed_s": elapsed_s}
    data = manifest_data(place, found) | about

    def human() -> Group:
        changes = sum(one.items for one in found.tables if one.kind == "incremental")
        held = [
            counted(changes, "change") + f" since {found.base}" if found.base else "",
            counted(found.items - changes, "item") if found.items > changes or not changes else "",
        ]
        again = "; it goes on with a run that was killed" if taken.resumed else ""
        head = (
            f"Backed up {counted(len(found.tables), 'table')} of '{found.project}' in "
            f"{duration_words(elapsed_s)}{again}: {' and '.join(filter(None, held))}.\n"
        )
        option = _place_option(context, place) + _key_option(keys)
        tail = (
            f"verify     ialctl backup verify {found.id}{option}\n"
            f"restore    ialctl restore {found.id}{option}"
        )
        shown = (plain(head), _tables(found), plain(""), plain(_lines(data)), plain(tail))
        return Group(*shown)

    context.output.result("backup", data, human)


def show_manifest(context: AppContext, place: Place, found: SetManifest) -> None:
    """All that a backup says of itself."""
    data = manifest_data(place, found)

    def human() -> Group:
        about = [f"backup     {found.id} of '{found.project}' at {found.where}"]
        about.append(f"taken      {found.started_at} to {found.finished_at}, ialctl {found.tool}")
        if found.base:
            about.append(f"builds on  {found.base}")
        if found.engine:
            about.append(f"engine     {found.engine}")
        about += [f"stack      {stack.name}" for stack in found.stacks]
        lines = "\n".join(about)
        return Group(plain(lines), plain(_lines(data)), plain(""), _tables(found))

    context.output.result("backup", data, human)


def manifest_data(place: Place, found: SetManifest) -> dict[str, Any]:
    """A backup as plain data."""
    from core.backup.manifest import seal_manifest

    plain_data: dict[str, Any] = msgspec.to_builtins(found)
    size = sum(one.item_bytes for one in found.tables)
    return plain_data | {
        "place": place.url,
        "items": found.items,
        "item_bytes": size,
        "file_bytes": found.file_bytes,
        "ratio": round(size / found.file_bytes, 2) if found.file_bytes else None,
        "read_units": sum(one.read_units for one in found.tables),
        "checksum": hashlib.sha256(seal_manifest(found)).hexdigest(),
    }


def _lines(data: dict[str, Any]) -> str:
    ratio = f", {data['ratio']} times as small" if (data["ratio"] or 0) > 1 else ""
    sealed = ", encrypted" if data["encrypted"] else ""
    throttles = data.get("throttles")
    throttled = f"; {throttles:,} requests throttled" if throttles else ""
    return (
        f"place      {data['place'].rstrip('/')}/{data['id']}\n"
        f"size       {size_words(data['item_bytes'])} in {size_words(data['file_bytes'])} of "
        f"{data['compression']}{ratio}{sealed}\n"
        f"checksum   sha256 {data['checksum']}\n"
        f"read       {data['read_units']:,.0f} read units{throttled}"
    )


def _tables(found: SetManifest) -> Any:
    return table([_row(one) for one in found.tables], _TABLES)


def _row(one: TableBackup) -> dict[str, Any]:
    return {
        "table": one.table,
        "method": one.method if one.kind == "full" else f"{one.method}, changes",
        "items": f"{one.items:,}",
        "size": size_words(one.item_bytes),
        "packed": size_words(one.file_bytes),
        "state": _state(one),
    }


def _state(one: TableBackup) -> str:
    if one.consistent:
        return instant_words(one.at)
    return f"{one.started_at} to {one.finished_at[11:]}, no snapshot"


def _place_option(context: AppContext, place: Place) -> str:
    return "" if place.url == context.settings.backup_to else f" --from {shlex.quote(place.url)}"


def _key_option(keys: KeyOptions) -> str:
    """What opens a backup that was sealed so; settings are there again at the next run."""
    if keys.passphrase_file is not None:
        return f" --passphrase-file {shlex.quote(str(keys.passphrase_file))}"
    if keys.key_file is not None:
        return f" --key-file {shlex.quote(str(keys.key_file))}"
    return " --key-file FILE" if keys.recipients else ""


def verification_lines(found: Verification) -> list[str]:
    """What a verification found, in lines."""
    files = sum(one.files_read for one in found.tables)
    items = sum(one.items_read for one in found.tables)
    of = sum(one.files for one in found.tables)
    share = "all read" if files == of else f"{files} of {of} files read"
    tables = counted(len(found.tables), "table")
    head = f"{found.state}: {found.name}, {tables}, {counted(items, 'item')}, {share}"
    return [head, *(f"  {problem}" for problem in found.problems)]


def comparison_lines(compared: Sequence[Comparison]) -> list[str]:
    """How tables compare with a backup, in lines."""
    lines = []
    for one in compared:
        lines.append(f"{one.table}: {one}")
        for what, keys in (
            ("missing", one.missing_keys),
            ("different", one.different_keys),
            ("beside", one.extra_keys),
        ):
            lines += [f"  {what}: {key:.200}" for key in keys]
    return lines


def raise_differences(compared: Sequence[Comparison]) -> None:
    """Raises where a table is not as its backup.

    Raises:
        DifferenceError: names the first that is not.
    """
    for one in compared:
        if not one.equal:
            raise DifferenceError(
                f"The table '{one.table}' is not as the backup holds it: {one}.",
                "It may have been written since; or compare it with a newer backup.",
                table=one.table,
            )
