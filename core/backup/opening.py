"""A backup on a place, ours or a bare export of AWS's: its tables, each with what it builds on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.backup import manifest
from core.backup.lock import is_removed
from core.backup.manifest import SetManifest, TableBackup
from core.backup.place import Place
from core.backup.plans import SetPlan
from core.backup.reading import Export, find_exports, find_summary, joined, open_export
from core.backup.sealing import KeySource, Session, SetKeys, unlock
from core.backup.table_shape import TableSettings
from core.errors import DamagedError, NotFoundError
from core.transfer.lines import Keys

_LONGEST_CHAIN = 1000


@dataclass(frozen=True)
class Layer:
    """An export of a table, and what opens its files; `backup` is what its set says of it."""

    export: Export
    opener: SetKeys | None = None
    backup: TableBackup | None = None


@dataclass(frozen=True)
class BackedUpTable:
    """A table in a backup: a full export, and the increments upon it in their order.

    `keys` and `settings` (the content of table.json) are None in a bare export, which says
    nothing of them.
    """

    table: str
    layers: tuple[Layer, ...]
    keys: Keys | None = None
    settings: bytes | None = None

    @property
    def at(self) -> str:
        """The instant whose state it holds, or the end of a scan."""
        return self.layers[-1].export.summary.at


@dataclass(frozen=True)
class Backup:
    """A backup that can be read: its manifests are whole; no data file was looked at.

    `manifest` is None for a bare export. `folder` is relative to the place.
    """

    place: Place
    folder: str
    manifest: SetManifest | None
    tables: tuple[BackedUpTable, ...]

    @property
    def name(self) -> str:
        """The set's id, or the folder of a bare export."""
        return self.manifest.id if self.manifest else joined(self.place.url, self.folder)


def open_backup(
    place: Place, folder: str, sources: Sequence[KeySource], session: Session
) -> Backup:
    """Opens a backup: every manifest of it, and of what it builds on, is read and checked.

    Args:
        place: where it lies.
        folder: a set's id, or the folder of an export.
        sources: what opens encrypted sets.
        session: for keys of KMS.

    Raises:
        NotFoundError: there is nothing of the kind.
        DamagedError: a file of it is missing or altered, or can't be opened with these keys.
        UsageError: it is encrypted, and no key was given.
    """
    if not manifest.SET_ID.fullmatch(folder.rpartition("/")[2]):
        return _open_bare(place, folder)
    chain = list(_chain(place, folder))
    newest = chain[0]
    keys = {one.id: _unlocked(place, one, sources, session) for one in chain}
    return Backup(place, folder, newest, tuple(_tables(place, chain, keys)))


def read_manifest(place: Place, set_id: str) -> SetManifest:
    """A set's manifest.

    Raises:
        DamagedError: it has none (any more), or one that is altered.
    """
    path = joined(set_id, manifest.SET_FILE)
    if is_removed(place, set_id):
        raise DamagedError(f"The backup '{set_id}' is being removed: `set.json` has gone.")
    try:
        content = place.get(path, manifest.MANIFEST_BYTES)
    except NotFoundError as error:
        raise DamagedError(
            f"The backup '{set_id}' is incomplete: '{path}' is missing.",
            "`ialctl backup list --all` shows those there are.",
            path=path,
        ) from error
    found = manifest.read_set_manifest(content, path)
    if found.id != set_id.rpartition("/")[2]:
        raise DamagedError(f"The file '{path}' is that of another backup, '{found.id}'.")
    return found


def check_files(place: Place, folder: str, found: SetManifest) -> Iterator[str]:
    """A sentence on every file but data files that is not as the set's manifest says."""
    for name in _needed(found):
        if name not in found.files:
            yield f"The file '{joined(folder, name)}' is not in '{joined(folder, 'set.json')}'."
    for name, expected in found.files.items():
        path = joined(folder, name)
        try:
            content = place.get(path, max(expected.size, 1))
            if manifest.file_sum(content) != expected:
                yield f"The file '{path}' is altered."
            else:
                _check_content(name, content, path)
        except NotFoundError:
            yield f"The file '{path}' is missing."
        except DamagedError as error:
            yield error.what


def _needed(found: SetManifest) -> Iterator[str]:
    """The files without which a set can't be used."""
    yield manifest.PLAN_FILE
    if found.encrypted:
        yield manifest.KEYS_FILE
    for table in found.tables:
        yield joined(table.table, manifest.TABLE_FILE)


def _check_content(name: str, content: bytes, path: str) -> None:
    """Whether a file of ours can be used; its checksum may have been forged with it.

    Raises:
        DamagedError: it can't.
    """
    if name == manifest.PLAN_FILE:
        manifest.load(content, SetPlan, path)
    elif name.rpartition("/")[2] == manifest.TABLE_FILE:
        read_table_settings(content, path)


def read_table_settings(content: bytes, path: str) -> TableSettings:
    """What table.json holds.

    Raises:
        DamagedError: something else.
    """
    try:
        return TableSettings.from_json(manifest.load(content, object, path))
    except DamagedError as error:
        raise DamagedError(f"The file '{path}' can't be used: {error.what}", path=path) from error


def _chain(place: Place, set_id: str) -> Iterator[SetManifest]:
    """A set, the one it is an increment of, and so on to a whole one."""
    seen: dict[str, None] = {}
    wanted: str | None = set_id
    while wanted is not None:
        if wanted in seen or len(seen) > _LONGEST_CHAIN:
            raise DamagedError(f"The backup '{set_id}' is an increment of itself.")
        try:
            found = _checked_manifest(place, wanted)
        except DamagedError as error:
            if not seen:
                raise
            raise DamagedError(
                f"The backup '{[*seen][-1]}' builds on another that can't be used: {error.what}",
                "Restore one that builds on a whole one: `ialctl backup list`.",
            ) from error
        seen[wanted] = None
        yield found
        wanted = found.base


def _checked_manifest(place: Place, set_id: str) -> SetManifest:
    found = read_manifest(place, set_id)
    problem = next(check_files(place, set_id, found), None)
    if problem:
        raise DamagedError(problem)
    return found


def _unlocked(
    place: Place, found: SetManifest, sources: Sequence[KeySource], session: Session
) -> SetKeys | None:
    if not found.encrypted:
        return None
    path = joined(found.id, manifest.KEYS_FILE)
    wrapped = place.get(path, manifest.MANIFEST_BYTES)
    try:
        return unlock(wrapped, sources, session)
    except DamagedError as error:
        what = error.what.replace(f"'{manifest.KEYS_FILE}'", f"'{path}'")
        raise DamagedError(what, error.cure, path=path) from error


def _tables(
    place: Place, chain: Sequence[SetManifest], keys: Mapping[str, SetKeys | None]
) -> Iterator[BackedUpTable]:
    for backup in chain[0].tables:
        layers = tuple(_layers(place, chain, keys, backup.table))[::-1]
        path = f"{chain[0].id}/{backup.table}/{manifest.TABLE_FILE}"
        content, own = place.get(path, manifest.MANIFEST_BYTES), Keys(backup.keys)
        if read_table_settings(content, path).keys != own:
            raise DamagedError(
                f"The file '{path}' names other keys than '{chain[0].id}/{manifest.SET_FILE}'.",
                path=path,
            )
        yield BackedUpTable(backup.table, layers, own, content)


def _layers(
    place: Place,
    chain: Sequence[SetManifest],
    keys: Mapping[str, SetKeys | None],
    table: str,
) -> Iterator[Layer]:
    """The newest layer first, down to a full export."""
    for found in chain:
        backup = next((t for t in found.tables if t.table == table), None)
        if backup is None:
            break
        export = open_export(place, joined(found.id, backup.folder))
        if export.summary.items != backup.items or export.kind != backup.kind:
            raise DamagedError(
                f"The export '{export.folder}' is not the one that "
                f"'{found.id}/{manifest.SET_FILE}' names."
            )
        yield Layer(export, keys[found.id], backup)
        if backup.kind == "full":
            return
    raise DamagedError(f"The table '{table}' has increments, but no full backup under them.")


def _open_bare(place: Place, folder: str) -> Backup:
    folders = find_exports(place, folder)
    if not folders:
        raise _nothing(place, folder)
    exports = [open_export(place, name) for name in folders]
    if len(exports) == 1 and exports[0].kind == "incremental":
        exports += _before(place, exports[0])
    arns = dict.fromkeys(export.summary.table_arn for export in exports)
    tables = (_bare_table([e for e in exports if e.summary.table_arn == arn]) for arn in arns)
    return Backup(place, folder, None, tuple(tables))


def _nothing(place: Place, folder: str) -> NotFoundError:
    where = joined(place.url, folder)
    inside = any(manifest.SET_ID.fullmatch(name) for name in place.folders(folder))
    return NotFoundError(
        f"'{where}' is no backup, but holds some."
        if inside
        else f"There is no backup at '{where}': no set.json, no export.",
        f"Name one of them: `--from {where}`." if inside else "`ialctl backup list` shows those.",
        code="NoSuchBackup",
    )


def _before(place: Place, increment: Export) -> Iterator[Export]:
    """The exports of its table that lie beside an increment, up to its end."""
    own, end = increment.summary, increment.summary.to_time or ""
    parent = increment.folder.rpartition("/")[0]
    for name in place.folders(parent):
        folder = joined(parent, name)
        found = None if folder == increment.folder else find_summary(place, folder)
        if found is not None and found.table_arn == own.table_arn and found.at <= end:
            yield open_export(place, folder)


def _bare_table(exports: Sequence[Export]) -> BackedUpTable:
    """The newest full export, and the increments that go on from it without a gap."""
    table = exports[0].summary.table
    full = [export for export in exports if export.kind == "full"]
    if not full:
        raise DamagedError(
            f"The export '{exports[0].folder}' is an increment, and the full export that it goes "
            "on from is not beside it.",
            "Put both exports into one `AWSDynamoDB` folder.",
        )
    layers = [max(full, key=lambda export: export.summary.at)]
    end = layers[0].summary.at
    increments = [export for export in exports if export.kind == "incremental"]
    for export in sorted(increments, key=lambda e: e.summary.to_time or ""):
        begin = export.summary.from_time or ""
        if (export.summary.to_time or "") <= end:
            continue
        if begin > end:
            raise DamagedError(
                f"Between '{layers[-1].folder}' and '{export.folder}' changes are missing: "
                f"from {end} to {begin}."
            )
        layers.append(export)
        end = export.summary.to_time or ""
    return BackedUpTable(table, tuple(Layer(export) for export in layers))
