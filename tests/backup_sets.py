"""Sets of backups for tests of what stands around them: real manifests, made-up data."""

from __future__ import annotations

from core.backup import manifest
from core.backup.manifest import SetManifest, TableBackup
from core.backup.place import Place
from core.backup.plans import SetPlan


def set_manifest(
    set_id: str, *, base: str | None = None, project: str = "ial", tables: tuple[str, ...] = ("t",)
) -> SetManifest:
    """The manifest of a set of some tables."""
    return SetManifest(
        id=set_id,
        project=project,
        where="here",
        tool="ialctl 0",
        started_at="2026-01-01T00:00:00.000Z",
        finished_at="2026-01-01T00:01:00.000Z",
        compression="gzip",
        encrypted=False,
        tables=tuple(_table(name, base) for name in tables),
        files={},
        base=base,
    )


def _table(name: str, base: str | None) -> TableBackup:
    return TableBackup(
        table=name,
        table_id="",
        keys=(("p", "S"),),
        folder=f"{name}/{manifest.EXPORTS}/01",
        kind="incremental" if base else "full",
        method="scan",
        consistent=False,
        why_not="",
        started_at="",
        finished_at="",
        at="",
        items=0,
        item_bytes=0,
        files=1,
        file_bytes=4,
        read_units=0.0,
    )


def put_set(
    place: Place,
    set_id: str,
    *,
    base: str | None = None,
    whole: bool = True,
    project: str = "ial",
    tables: tuple[str, ...] = ("t",),
) -> None:
    """Lays a set into a place, in the order in which one is taken."""
    plan = SetPlan(set_id, project, "here", "", "gzip", "scan", "None", (), base)
    place.put(f"{set_id}/{manifest.PLAN_FILE}", manifest.dump(plan))
    for name in tables:
        for number in range(2):
            place.put(f"{set_id}/{name}/{manifest.EXPORTS}/01/data/{number}.json.gz", b"data")
    if whole:
        found = set_manifest(set_id, base=base, project=project, tables=tables)
        place.put(f"{set_id}/{manifest.SET_FILE}", manifest.seal_manifest(found))


def set_id_at(started_s: float, digits: str = "0" * 8) -> str:
    """The id of a set that was begun then."""
    return manifest.set_id(started_s, digits)
