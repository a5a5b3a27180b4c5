"""Backups by scan, on the local endpoint: whole, gone on with, and committed once."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.aws.session import AwsSession
from core.backup import manifest
from core.backup.folder import FolderPlace
from core.backup.opening import open_backup
from core.backup.plans import Wish
from core.backup.progress import Progress
from core.backup.reading import items
from core.backup.taking import About
from core.errors import InterruptedRunError, LockHeldError, NotFoundError
from core.transfer.lines import Keys
from tests.backups import plain_item
from tests.scanned import Bench, one
from tests.tables import delete_table


@pytest.fixture
def bench(aws: AwsSession, project: str, tmp_path: Path) -> Bench:
    """A bench whose table is not made yet."""
    return Bench(aws, f"{project}-bench", FolderPlace(tmp_path / "backups"), tmp_path)


def test_backup_holds_every_item_once(bench: Bench) -> None:
    """Items, counts, files and manifests agree; nothing of the run is left beside them."""
    bench.make()
    bench.put(*map(plain_item, range(200)))
    found = bench.take()
    assert bench.held(found.id) == bench.standing()
    about = one(found)
    assert (about.items, about.consistent, about.method) == (200, True, "scan")
    assert about.at > about.started_at
    names = [entry.name for entry in bench.place.entries()]
    assert not any("/notes/" in name for name in names)
    assert bench.place.get(f"{found.id}/set.json") == manifest.seal_manifest(found)


def test_empty_table_is_backed_up(bench: Bench) -> None:
    """An empty table gives a backup with files that hold nothing."""
    bench.make()
    found = bench.take()
    assert bench.held(found.id) == {}
    assert one(found).files > 0


def test_large_and_tiny_items_are_backed_up(bench: Bench) -> None:
    """An item just below 400 KB stands beside tiny ones."""
    bench.make()
    large = plain_item(1, filling=399 * 1024)
    bench.put(large, *({"pk": {"S": "t"}, "sk": {"N": str(n)}} for n in range(2, 50)))
    found = bench.take(compression="zstd")
    assert bench.held(found.id) == bench.standing()


def test_stopped_run_goes_on_with_what_it_kept(bench: Bench) -> None:
    """A run that was stopped is no backup; the next one scans only what is missing."""
    bench.make()
    bench.put(*map(plain_item, range(100)))
    scanned: list[int] = []

    def stop() -> bool:
        return len([e for e in bench.place.entries() if "/notes/" in e.name]) >= 2

    with pytest.raises(InterruptedRunError, match="is kept"):
        bench.take(stop=stop)
    assert not [e for e in bench.place.entries() if e.name.endswith("set.json")]
    taken = bench.taker(lambda p: scanned.append(p.items)).take(
        Wish(tables=(bench.table,)), About()
    )
    assert taken.resumed
    assert scanned[0] > 0
    assert bench.held(taken.manifest.id) == bench.standing()
    assert len(list(bench.place.folders())) == 1


def test_altered_part_of_a_killed_run_is_scanned_again(bench: Bench) -> None:
    """A segment whose file is not what its note says is not kept."""
    bench.make()
    bench.put(*map(plain_item, range(60)))

    def stop() -> bool:
        return any("/notes/" in e.name for e in bench.place.entries())

    with pytest.raises(InterruptedRunError):
        bench.take(stop=stop)
    for entry in list(bench.place.entries()):
        if "/data/" in entry.name:
            bench.place.put(entry.name, b"altered")
    assert bench.held(bench.take().id) == bench.standing()


def test_table_deleted_meanwhile_is_told(bench: Bench) -> None:
    """The error names the table, and nothing is listed as a backup."""
    bench.make()
    bench.put(*map(plain_item, range(30)))

    def drop(progress: Progress) -> None:
        if progress.stage == "scanning" and not bench.kept:
            bench.kept.append(progress)
            delete_table(bench.aws, bench.table)

    with pytest.raises(NotFoundError, match=bench.table):
        bench.take(observe=drop, max_rcu=1.0)
    assert not [e for e in bench.place.entries() if e.name.endswith("set.json")]


def test_data_files_say_their_keys(bench: Bench) -> None:
    """Every line of a data file is an item with the table's keys."""
    bench.make()
    bench.put(*map(plain_item, range(10)))
    found = bench.take()
    table = open_backup(bench.place, found.id, (), bench.aws).tables[0]
    export = table.layers[0].export
    keys = Keys(one(found).keys)
    numbers = [i["sk"]["N"] for f in export.files for i in items(bench.place, export, f, keys)]
    assert sorted(map(int, numbers)) == list(range(10))


def test_a_backup_is_committed_once(bench: Bench) -> None:
    """A run whose set another one has finished meanwhile does not write over its commit."""
    bench.make(stream=None)
    bench.put(plain_item(1))

    def finished_by_another(progress: Progress) -> None:
        if progress.stage == "done":
            (name,) = [n for n in bench.place.folders() if manifest.SET_ID.fullmatch(n)]
            bench.place.put(f"{name}/{manifest.SET_FILE}", b"another's")

    with pytest.raises(LockHeldError, match="Another run has finished"):
        bench.take(observe=finished_by_another)
    (path,) = [e.name for e in bench.place.entries() if e.name.endswith(manifest.SET_FILE)]
    assert bench.place.get(path) == b"another's"
