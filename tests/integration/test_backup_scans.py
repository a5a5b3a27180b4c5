"""Backups by scan, on the local endpoint: whole, at one instant, gone on with, and increments."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.aws.session import AwsSession
from core.backup import manifest
from core.backup.folder import FolderPlace
from core.backup.lines import Keys
from core.backup.manifest import SetManifest, TableBackup
from core.backup.opening import open_backup
from core.backup.plans import Wish
from core.backup.progress import Observer, Progress, no_observer
from core.backup.reading import changes, items
from core.backup.streams import Stream
from core.backup.taking import About, Taker
from core.backup.verifying import verify
from core.clock import SYSTEM_CLOCK, new_id, system_random
from core.errors import InterruptedRunError, LockHeldError, NotFoundError, UsageError
from tests.backups import plain_item
from tests.tables import delete_table

Row = dict[str, Any]


@dataclass
class Bench:
    """A table of items with a number each, and backups of it in a folder."""

    aws: AwsSession
    table: str
    place: FolderPlace
    temporary: Path
    kept: list[Progress] = field(default_factory=list)

    def make(self, *, stream: str | None = "NEW_AND_OLD_IMAGES") -> None:
        """Makes the table."""
        view = {"StreamEnabled": True, "StreamViewType": stream} if stream else None
        self.aws.client("dynamodb").create_table(
            TableName=self.table,
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "N"},
            ],
            BillingMode="PAY_PER_REQUEST",
            **({"StreamSpecification": view} if view else {}),
        )

    def put(self, *found: Row) -> None:
        """Puts items."""
        for item in found:
            self.aws.dynamodb().put_item(TableName=self.table, Item=item)

    def delete(self, item: Row) -> None:
        """Deletes an item."""
        key = {"pk": item["pk"], "sk": item["sk"]}
        self.aws.dynamodb().delete_item(TableName=self.table, Key=key)

    def standing(self) -> dict[str, Row]:
        """The table's items by their number."""
        found = self.aws.dynamodb().scan(TableName=self.table)["Items"]
        return {item["sk"]["N"]: item for item in found}

    def take(
        self,
        observe: Observer = no_observer,
        stop: Callable[[], bool] = lambda: False,
        **wish: Any,
    ) -> SetManifest:
        """Takes a backup."""
        wished = Wish(tables=(self.table,), **wish)
        return self.taker(observe, stop).take(wished, About()).manifest

    def taker(
        self, observe: Observer = no_observer, stop: Callable[[], bool] = lambda: False
    ) -> Taker:
        """What takes backups."""
        return Taker(self.aws, self.place, "t", SYSTEM_CLOCK, new_id, observe=observe, stop=stop)

    def held(self, set_id: str) -> dict[str, Row]:
        """What a restore of a backup would bring, by number; it is verified before."""
        backup = open_backup(self.place, set_id, (), self.aws)
        verification = verify(backup, self.temporary, system_random())
        assert verification.problems == ()
        held: dict[str, Row] = {}
        table = backup.tables[0]
        for layer in table.layers:
            for file in layer.export.files:
                if layer.export.kind == "full":
                    found = items(self.place, layer.export, file, table.keys)
                    held |= {item["sk"]["N"]: dict(item) for item in found}
                    continue
                for change in changes(self.place, layer.export, file, table.keys):
                    held.pop(change.keys["sk"]["N"], None)
                    if change.new is not None:
                        held[change.keys["sk"]["N"]] = dict(change.new)
        return held


@pytest.fixture
def bench(aws: AwsSession, project: str, tmp_path: Path) -> Bench:
    """A bench whose table is not made yet."""
    return Bench(aws, f"{project}-bench", FolderPlace(tmp_path / "backups"), tmp_path)


def one(found: SetManifest) -> TableBackup:
    """The only table of a set."""
    (table,) = found.tables
    return table


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


def test_table_without_stream_is_no_snapshot(bench: Bench) -> None:
    """The manifest says that it is none, why, and over which time it was read."""
    bench.make(stream=None)
    bench.put(*map(plain_item, range(20)))
    about = one(bench.take())
    assert not about.consistent
    assert "no stream" in about.why_not
    assert about.started_at < about.finished_at


def test_keys_only_stream_is_not_replayed(bench: Bench) -> None:
    """A stream without images can't bring a scan to one instant, and is left alone."""
    bench.make(stream="KEYS_ONLY")
    bench.put(*map(plain_item, range(20)))
    about = one(bench.take())
    assert (about.consistent, about.position) == (False, None)


class Writers:
    """Threads that write to a table, and a log of what they were told to be written when."""

    def __init__(self, bench: Bench) -> None:
        self.log: list[tuple[str, Row | None, float, float]] = []
        self._bench = bench
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(3)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        # Each has numbers of its own, so that the order of a number's writes is known.
        for turn in range(100_000):
            if self._stop.is_set():
                return
            item = plain_item(number + 3 * (turn % 60))
            gone = turn % 7 == 3
            item["content"] = {"S": f"turn {turn}"}
            begun = time.time()
            self._bench.delete(item) if gone else self._bench.put(item)
            self.log.append((item["sk"]["N"], None if gone else item, begun, time.time()))

    def fits(self, held: dict[str, Row], at_s: float, first: dict[str, Row]) -> list[str]:
        """What `held` has that can't have stood at the instant, or lacks."""
        wrong = []
        for number in {*first, *held, *(entry[0] for entry in self.log)}:
            mine = [entry for entry in self.log if entry[0] == number]
            before = [entry for entry in mine if entry[3] <= at_s]
            last = before[-1][1] if before else first.get(number)
            in_flight = [e[1] for e in mine if e[2] <= at_s < e[3]]
            if held.get(number) not in (last, *in_flight):
                wrong.append(number)
        return wrong


def test_scan_under_writers_is_the_table_at_its_instant(bench: Bench) -> None:
    """While writers go on, the backup is what the log of writes says stood at that second."""
    bench.make()
    bench.put(*map(plain_item, range(300)))
    first = bench.standing()

    def slow(_progress: Progress) -> None:
        time.sleep(0.15)  # so that writes come between the pages of the scan

    with Writers(bench) as writers:
        found = bench.take(observe=slow, max_rcu=30.0)
    about = one(found)
    assert about.consistent
    at_s = manifest.seconds_of(about.at)
    assert len([entry for entry in writers.log if entry[3] < at_s]) > 20
    assert writers.fits(bench.held(found.id), at_s, first) == []


def test_increments_lead_to_the_end_of_each(bench: Bench) -> None:
    """What changed, came and went since a backup is in its increment, and only that."""
    bench.make()
    bench.put(*map(plain_item, range(40)))
    base = bench.take()
    bench.put(plain_item(3) | {"content": {"S": "changed"}}, plain_item(100), plain_item(101))
    bench.delete(plain_item(5))
    bench.delete(plain_item(101))
    first = bench.take(base=base.id)
    then = bench.standing()
    bench.put(plain_item(5))
    bench.delete(plain_item(3))
    second = bench.take(base=first.id)
    assert (one(first).kind, one(first).method, one(first).items) == ("incremental", "stream", 4)
    assert bench.held(first.id) == then
    assert bench.held(second.id) == bench.standing()
    assert "5" not in bench.held(first.id)


def test_increment_of_a_scan_that_is_no_snapshot(bench: Bench) -> None:
    """An increment of a backup that no stream came with is a full backup."""
    bench.make(stream=None)
    bench.put(plain_item(1))
    base = bench.take()
    assert one(bench.take(base=base.id)).kind == "full"


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


def test_stream_that_does_not_reach_back_is_told(bench: Bench) -> None:
    """An increment whose stream no longer holds all changes is refused, not taken in part."""
    bench.make()
    bench.put(plain_item(1))
    base = bench.take()
    bench.put(plain_item(2))
    first = bench.take(base=base.id)
    position = one(first).position
    assert position is not None
    bench.put(plain_item(3))
    forged = manifest.StreamPosition(
        position.arn,
        position.since_s,
        dict.fromkeys(position.shards, "000000000000000000000000000000"),
    )
    stream = Stream(bench.aws, position.arn, SYSTEM_CLOCK)
    with pytest.raises(UsageError, match="no longer holds"):
        stream.read(forged, stream.next_second(), lambda _: None)


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
