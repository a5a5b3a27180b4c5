"""Backups when tables throttle, disks fill, buckets fail, and others are at work."""

from __future__ import annotations

import base64
import json
import os
import resource
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.aws.session import AwsSession
from core.backup.bucket import BucketPlace
from core.backup.catalog import list_sets
from core.backup.folder import FolderPlace
from core.backup.place import Place
from core.backup.plans import Wish
from core.backup.taking import About, Taken, Taker
from core.backup.verifying import verify
from core.clock import SYSTEM_CLOCK, Clock, new_id, system_random
from core.errors import EndpointUnreachableError, StorageError, ThrottledError
from core.settings import Settings, load_settings
from core.testing.clock import FakeClock
from core.transfer.budget import Budget
from core.transfer.scanning import Scanner
from tests.backups import plain_item
from tests.cli.memory_cli import MemoryCli
from tests.faulty import Faults, faulty
from tests.restoring import Bench

ITEMS = [plain_item(number, 300) for number in range(120)]


class Hurried(FakeClock):
    """A clock on which every sleep takes a hundred times as long."""

    def sleep(self, seconds: float) -> None:
        """Moves the hands."""
        super().sleep(seconds * 100)


def through(url: str, settings: Settings, clock: Clock) -> AwsSession:
    """Clients that go through the proxy, and wait by another clock."""
    flags = {"endpoint_url": url, "project": settings.project}
    return AwsSession(load_settings(flags, environment={}).settings, clock=clock)


@pytest.fixture
def bench(aws: AwsSession, project: str, tmp_path: Path) -> Bench:
    """A bench with a table of items."""
    made = Bench(aws, f"{project}-t", FolderPlace(tmp_path / "b"), tmp_path)
    made.make()
    made.put(ITEMS)
    return made


def take(bench: Bench, session: AwsSession, clock: Clock, **wish: Any) -> Taken:
    """Takes a backup by another session and clock."""
    taker = Taker(session, bench.place, "t", clock, new_id)
    return taker.take(Wish(tables=(bench.table,), **wish), About())


def holds_all(bench: Bench, set_id: str) -> bool:
    """Whether a backup is whole, and as the table stands."""
    backup = bench.opened(set_id)
    verification = verify(backup, bench.folder, system_random())
    return verification.problems == () and verification.tables[0].items_read == len(ITEMS)


def states(place: Place) -> list[str]:
    """The states of a place's sets."""
    return [one.state for one in list_sets(place, SYSTEM_CLOCK)]


def test_a_throttled_scan_slows_down_and_ends(bench: Bench, settings: Settings) -> None:
    """Every other page is refused at first: the backup is whole, and tells how often."""
    asked: list[str] = []

    def choose(_method: str, what: str) -> str:
        asked.append(what)
        return "throttled" if what == "Scan" and asked.count("Scan") % 2 else ""

    clock = FakeClock()
    with faulty(str(settings.endpoint_url)) as (url, faults):
        faults.choose = choose
        taken = take(bench, through(url, settings, clock), clock, max_rcu=2.0)
    assert taken.throttles == (asked.count("Scan") + 1) // 2
    assert holds_all(bench, taken.manifest.id)


def test_a_table_that_only_throttles_is_given_up(bench: Bench, settings: Settings) -> None:
    """After ten minutes without a page it is an error, and nothing is listed."""
    clock = Hurried()
    begun = clock.monotonic()
    with faulty(str(settings.endpoint_url)) as (url, faults):
        faults.choose = lambda _, what: "throttled" if what == "Scan" else ""
        with pytest.raises(ThrottledError):
            take(bench, through(url, settings, clock), clock)
    assert clock.monotonic() - begun > 600
    assert states(bench.place) == ["incomplete"]
    assert holds_all(bench, bench.take())


@pytest.mark.parametrize("most", [2.0, 20.0])
def test_a_budget_of_read_units_is_kept(bench: Bench, most: float) -> None:
    """Over the whole run no more is read in a second than was allowed, and not much less."""
    clock = FakeClock()
    begun = clock.monotonic()
    budget = Budget(most, clock)
    scanner = Scanner(bench.aws, bench.table, budget, clock)
    pages = [
        (len(page.items), page.read_units)
        for segment in range(2)
        for page in scanner.pages(segment, 2)
    ]
    assert sum(items for items, _ in pages) == len(ITEMS)
    rate = budget.spent / (clock.monotonic() - begun)
    assert most * 0.9 <= rate <= most * 1.01
    assert max(units for _, units in pages) <= most * 1.5


def test_a_page_goes_before_the_next_one_comes(bench: Bench) -> None:
    """Many small attributes take far more memory than their bytes, so a page is not kept."""
    clock = FakeClock()
    pages = Scanner(bench.aws, bench.table, Budget(2.0, clock), clock).pages(0, 1)
    first = next(pages)
    assert first.items
    next(pages)
    assert not first.items


@contextmanager
def small_disk(most_bytes: int) -> Iterator[None]:
    """No file of this process can become longer, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_fills_half_way_is_told_and_gone_on_with(bench: Bench) -> None:
    """What was done stays; with room again the same command ends what was begun."""
    large = {**ITEMS[0], "noise": {"B": base64.b64encode(os.urandom(200_000)).decode()}}
    bench.put([large])
    with small_disk(100_000), pytest.raises(StorageError, match="can't be written"):
        bench.take()
    assert states(bench.place) == ["incomplete"]
    taken = take(bench, bench.aws, SYSTEM_CLOCK)
    assert taken.resumed
    assert states(bench.place) == ["valid"]
    assert holds_all(bench, taken.manifest.id)
    leftovers = [e.name for e in bench.place.entries() if "/notes/" in e.name or ".part" in e.name]
    assert leftovers == []


@pytest.fixture
def bucket(bench: Bench, settings: Settings) -> Iterator[tuple[AwsSession, BucketPlace, Faults]]:
    """A bucket behind the proxy; nothing waits."""
    name = f"b-{uuid.uuid4().hex[:12]}"
    bench.aws.client("s3").create_bucket(Bucket=name)
    with faulty(str(settings.endpoint_url)) as (url, faults):
        session = through(url, settings, FakeClock())
        yield session, BucketPlace(session.client("s3"), name, "p", session.where), faults


def test_a_bucket_that_fails_now_and_then_is_no_matter(
    bench: Bench, bucket: tuple[AwsSession, BucketPlace, Faults]
) -> None:
    """SlowDown, bodies cut, answers lost: backup, verify and restore are whole all the same."""
    _, bench.place, faults = bucket
    kinds = {"GET": ("slow", "cut", "dropped"), "PUT": ("lost", "slow", "dropped")}
    seen: list[tuple[str, str]] = []

    def choose(method: str, _what: str) -> str:
        number = len([one for one in seen if one[0] == method])
        fault = kinds[method][number // 3 % 3] if method in kinds and number % 3 == 1 else ""
        seen.append((method, fault))
        return fault

    faults.choose = choose
    set_id = bench.take()
    assert holds_all(bench, set_id)
    found = bench.restore(set_id)
    assert {(method, kind) for method in kinds for kind in kinds[method]} <= set(seen)
    assert bench.compared(found.target, ITEMS).equal
    faults.choose = None
    assert states(bench.place) == ["valid"]


def test_a_set_whose_last_file_did_not_arrive_is_not_listed(
    bench: Bench, bucket: tuple[AwsSession, BucketPlace, Faults]
) -> None:
    """Without set.json it is no backup; the next run goes on, and one lost answer is enough."""
    _, bench.place, faults = bucket
    fate = "dropped"

    def choose(method: str, what: str) -> str:
        return fate if method == "PUT" and what.endswith("/set.json") else ""

    faults.choose = choose
    with pytest.raises(EndpointUnreachableError):
        bench.take()
    assert states(bench.place) == ["incomplete"]
    fates = ["lost"]
    faults.choose = lambda m, what: fates.pop() if fates and choose(m, what) else ""
    taken = take(bench, bench.aws, SYSTEM_CLOCK)
    assert (taken.resumed, fates) == (True, [])
    assert states(bench.place) == ["valid"]
    assert holds_all(bench, taken.manifest.id)


HOLDER = """
import sys
from pathlib import Path
from core.backup.folder import FolderPlace
from core.backup.lock import PlaceLock
from core.clock import SYSTEM_CLOCK, new_id

with PlaceLock(FolderPlace(Path(sys.argv[1])), "A backup", SYSTEM_CLOCK, new_id):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_run_is_told_and_not_disturbed(
    bench: Bench, settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit 5, with who and since when; once it is dead its lock is taken over at once."""
    cli = MemoryCli(settings, capsys)
    to = ("--to", str(tmp_path / "b"), "-q")
    set_id = bench.take()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "b")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        refused = cli("backup", "--table", bench.table, *to)
        assert refused.code == 5
        assert str(other.pid) in refused.err
        assert "since" in refused.err
        assert cli("backup", "verify", set_id, *to).code == 0
        assert json.loads(cli("backup", "list", "--json", *to).out)["rows"][0]["state"] == "valid"
        other.kill()
    nobody = cli("backup", "verify", *to)
    assert (nobody.code, "of the project" in nobody.err) == (1, True)
    assert cli("backup", "--table", bench.table, *to).code == 0
    assert cli("backup", "verify", *to).code == 0
