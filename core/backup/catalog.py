"""Which backups lie in a place, the state of each, and which one a person means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from core.backup import manifest
from core.backup.lock import current_holder, is_removed
from core.backup.manifest import SetManifest
from core.backup.place import Place
from core.backup.plans import SetPlan
from core.clock import Clock
from core.errors import DamagedError, NotFoundError, UsageError

State = Literal["valid", "incomplete", "in progress", "damaged"]
LATEST = "latest"
_AT_ONCE = 8
_SHOWN = 5


@dataclass(frozen=True)
class BackupSet:
    """A set of a place as its manifest tells of it; no data file was looked at.

    "valid": `set.json` is there and its own checksum holds. "incomplete": it is not there yet, or
    not any more. "in progress": a run that holds the lock is writing it. "damaged": it can't be
    used. `why` says more of all but the valid; `base` is the set that this is an increment of.
    `is_removed`: a prune has begun to remove it. `is_newer`: it is "damaged" to this version only,
    being of a newer format. `project`: whose it is, as far as it can be told.
    """

    id: str
    state: State
    started_s: float
    manifest: SetManifest | None = None
    base: str | None = None
    why: str = ""
    is_removed: bool = False
    is_newer: bool = False
    project: str | None = None


@dataclass(frozen=True)
class Located:
    """A backup that a person named: its place, and its folder there (a set's id, or an export's
    folder; "" is the place itself)."""

    place: Place
    folder: str


def list_sets(place: Place, clock: Clock, *, with_data: bool = False) -> tuple[BackupSet, ...]:
    """All sets of a place, the newest first.

    `with_data` also lists the data files of each: one that lacks some is damaged then.
    """
    names = [name for name in place.folders() if manifest.SET_ID.fullmatch(name)]
    holder = current_holder(place, clock)
    working_on = holder.sets if holder else ()
    with ThreadPoolExecutor(_AT_ONCE, "catalog") as pool:
        found = pool.map(lambda name: _look(place, name, name in working_on), names)
        if with_data:
            found = pool.map(lambda one: _with_data(place, one), [*found])
        by_id = {one.id: one for one in found}
    return tuple(_with_base(by_id[name], by_id) for name in sorted(by_id, reverse=True))


def newest(sets: Sequence[BackupSet], project: str | None = None) -> BackupSet | None:
    """The newest valid set, of a project if one is named."""
    valid = (one for one in sets if one.manifest is not None and one.state == "valid")
    of_project = (
        one
        for one in valid
        if project is None or (one.manifest is not None and one.manifest.project == project)
    )
    return max(of_project, key=lambda one: one.id, default=None)


def resolve(
    place: Place,
    text: str,
    open_: Callable[[str], Place],
    clock: Clock,
    project: str | None = None,
    *,
    past_damaged: bool = False,
) -> Located:
    """The backup that a person means.

    Args:
        place: where sets are looked for.
        text: a set's id or the beginning of one, `latest`, or the path or URL of a set or of a
            bare export of AWS's.
        open_: opens the place of a path or URL.
        clock: for leases.
        project: whose newest set `latest` is; of any project where None.
        past_damaged: whether `latest` may be older than a damaged one.

    Raises:
        DamagedError: `latest` is damaged; an older one in its place would go unnoticed.
        NotFoundError: there is none of that name; what a path names is not looked at.
        UsageError: several ids begin so.
    """
    if _is_path(text):
        return _located(text, open_)
    if text == LATEST:
        sets = list_sets(place, clock)
        found = newest(sets, project)
        if not past_damaged:
            _refuse_damaged(place, sets, found, project)
        if found is None:
            raise _none_whole(place, sets, project)
        return Located(place, found.id)
    names = [name for name in place.folders() if manifest.SET_ID.fullmatch(name)]
    matches = [name for name in names if text and name.startswith(text)]
    if text in matches or len(matches) == 1:
        return Located(place, text if text in matches else matches[0])
    if matches:
        some = ", ".join(matches[-_SHOWN:]) + (" …" if len(matches) > _SHOWN else "")
        raise UsageError(
            f"{len(matches)} backups in {place.url} begin with '{text}': {some}.",
            "Write more of the one you mean.",
        )
    if text and Path(text).is_dir():
        return _located(text, open_)
    raise _none(f"There is no backup '{text}' in {place.url}", place)


def check_done(place: Place, set_id: str, clock: Clock) -> None:
    """Refuses a set that a run is writing at this moment.

    Raises:
        DamagedError: names the run.
    """
    holder = current_holder(place, clock)
    if holder is None or set_id not in holder.sets or is_removed(place, set_id):
        return
    try:
        place.get(f"{set_id}/{manifest.SET_FILE}", manifest.MANIFEST_BYTES)
    except NotFoundError:
        raise DamagedError(
            f"The backup '{set_id}' is in progress: {holder.owner} has been writing it since "
            f"{holder.since}.",
            "Wait for it to end: `ialctl backup list --all`.",
        ) from None


def _look(place: Place, name: str, worked_on: bool) -> BackupSet:
    started_s = _started_s(name)
    path = f"{name}/{manifest.SET_FILE}"
    if is_removed(place, name):
        why = "a prune has begun to remove it"
        return BackupSet(name, "incomplete", started_s, why=why, is_removed=True)
    try:
        found = manifest.read_set_manifest(place.get(path, manifest.MANIFEST_BYTES), path)
    except NotFoundError:
        state: State = "in progress" if worked_on else "incomplete"
        why = "" if worked_on else "its run has not come to an end"
        plan = _plan(place, name)
        return BackupSet(name, state, started_s, base=plan.base if plan else None, why=why)
    except DamagedError as error:
        plan = _plan(place, name)
        return BackupSet(
            name,
            "damaged",
            started_s,
            base=plan.base if plan else None,
            why=error.what,
            is_newer="format" in error.fields,
            project=plan.project if plan else None,
        )
    if found.id != name:
        why = f"The file '{path}' is that of another backup, '{found.id}'."
        return BackupSet(name, "damaged", started_s, why=why)
    return BackupSet(name, "valid", started_s, found, found.base, project=found.project)


def _with_data(place: Place, one: BackupSet) -> BackupSet:
    """The set, damaged where its data files are fewer or smaller than its manifest says."""
    tables = one.manifest.tables if one.manifest is not None and one.state == "valid" else ()
    for table in tables:
        exports = f"{one.id}/{table.table}/{manifest.EXPORTS}"
        sizes = [e.size for e in place.entries(exports) if f"/{manifest.DATA}/" in e.name]
        if len(sizes) < table.files or sum(sizes) < table.file_bytes:
            why = f"data files of the table '{table.table}' are missing or cut short"
            return replace(one, state="damaged", why=why)
    return one


def _with_base(one: BackupSet, by_id: Mapping[str, BackupSet]) -> BackupSet:
    """An increment is as good as the worst of what it builds on."""
    seen = {one.id}
    base = one.base if one.state == "valid" else None
    while base is not None:
        found = by_id.get(base)
        if found is None or found.state != "valid" or base in seen:
            state = "gone" if found is None else found.state if base not in seen else "itself"
            return replace(one, state="damaged", why=f"it builds on '{base}', which is {state}")
        seen.add(base)
        base = found.base
    return one


def _plan(place: Place, name: str) -> SetPlan | None:
    path = f"{name}/{manifest.PLAN_FILE}"
    try:
        return manifest.load(place.get(path, manifest.MANIFEST_BYTES), SetPlan, path)
    except (NotFoundError, DamagedError):
        return None


def _started_s(set_id: str) -> float:
    try:
        moment = datetime.strptime(set_id.partition("-")[0], "%Y%m%dT%H%M%SZ")
    except ValueError:  # digits that are no date: as old as can be
        return 0.0
    return moment.replace(tzinfo=UTC).timestamp()


def _is_path(text: str) -> bool:
    return "/" in text or "\\" in text or text in (".", "..")


def _located(text: str, open_: Callable[[str], Place]) -> Located:
    scheme, mark, rest = text.partition("://")
    if not mark:
        # Of `.` and `..` the folder above has to be known by its name.
        absolute = Path(text).expanduser()
        path = absolute.resolve() if absolute.name in ("", "..") else absolute
        return Located(open_(str(path.parent)), path.name)
    parent, slash, name = rest.rstrip("/").rpartition("/")
    if not slash or not name:
        return Located(open_(text), "")
    return Located(open_(f"{scheme}://{parent}" if parent else f"{scheme}:///"), name)


def _refuse_damaged(
    place: Place, sets: Sequence[BackupSet], whole: BackupSet | None, project: str | None
) -> None:
    for one in sets:
        if whole is not None and one.id <= whole.id:
            return
        if one.state == "damaged" and (project is None or one.project in (project, None)):
            older = f": `{whole.id}`" if whole else ""
            raise DamagedError(
                f"The newest backup in {place.url}, '{one.id}', can't be used: "
                f"{one.why.rstrip('.')}.",
                f"Name an older one{older}; `ialctl backup list` shows all.",
                backup=one.id,
            )


def _none_whole(place: Place, sets: Sequence[BackupSet], project: str | None) -> NotFoundError:
    other = newest(sets)
    if other is not None and other.manifest is not None:
        what = f"There is no whole backup of the project '{project}' in {place.url}"
        error = _none(what, place)
        error.cure = (
            f"The newest one there is of '{other.manifest.project}'; name it if it is meant: "
            f"{other.id}."
        )
        return error
    return _none(f"There is no whole backup in {place.url}", place)


def _none(what: str, place: Place) -> NotFoundError:
    return NotFoundError(
        f"{what}.",
        "`ialctl backup list` shows those there are; `--from` names another place.",
        code="NoSuchBackup",
        place=place.url,
    )
