"""Backups that are gone on with, or can't be, and tables that change under them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyrage
import pytest

from core.aws.session import AwsSession
from core.backup.folder import FolderPlace
from core.backup.lock import current_holder
from core.backup.manifest import SET_ID
from core.backup.plans import Wish
from core.backup.progress import Observer, no_observer
from core.backup.sealing import Identities, KeySource, Recipients
from core.backup.taking import About, Taken, Taker
from core.backup.verifying import verify
from core.clock import SYSTEM_CLOCK, Clock, SystemClock, new_id, system_random
from core.errors import InterruptedRunError, NotFoundError, UsageError
from core.settings import Settings
from tests.backups import age_key, plain_item
from tests.cli.memory_cli import MemoryCli
from tests.restoring import Bench
from tests.tables import delete_table

VIEW = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
ITEMS = [plain_item(number, 100) for number in range(100)]
Stop = Callable[[], bool]


@pytest.fixture
def bench(aws: AwsSession, project: str, tmp_path: Path) -> Bench:
    """A bench with a table of items and a stream."""
    made = Bench(aws, f"{project}-t", FolderPlace(tmp_path / "b"), tmp_path)
    made.make(StreamSpecification=VIEW)
    made.put(ITEMS)
    return made


def take(
    bench: Bench,
    source: KeySource | None = None,
    *,
    observe: Observer = no_observer,
    stop: Stop = lambda: False,
    clock: Clock = SYSTEM_CLOCK,
) -> Taken:
    """Takes a backup of the bench's table."""
    taker = Taker(bench.aws, bench.place, "t", clock, new_id, observe=observe, stop=stop)
    return taker.take(Wish(tables=(bench.table,)), About(), source)


def interrupt(bench: Bench, source: KeySource | None = None, sign: str = "") -> str:
    """Stops a backup once a segment's note is there and holds `sign`; answers the set's id."""
    with pytest.raises(InterruptedRunError):
        take(bench, source, stop=lambda: any(sign in note for note in notes(bench)))
    (name,) = [name for name in bench.place.folders() if SET_ID.fullmatch(name)]
    return name


def notes(bench: Bench) -> Iterator[str]:
    """What the notes of finished segments say."""
    for entry in bench.place.entries():
        if "/notes/" in entry.name:
            yield bench.place.get(entry.name).decode()


def is_equal(bench: Bench, taken: Taken, *sources: KeySource) -> bool:
    """Whether a backup is whole, and restores to what stands in the table."""
    opened = bench.opened(taken.manifest.id, *sources)
    assert verify(opened, bench.folder / "tmp", system_random()).problems == ()
    bench.restored(opened, suffix="-r")
    standing = bench.aws.dynamodb().scan(TableName=bench.table)["Items"]
    return bench.compared(f"{bench.table}-r", standing).equal


def disable_stream(bench: Bench) -> None:
    """Turns the table's stream off."""
    bench.aws.client("dynamodb").update_table(
        TableName=bench.table, StreamSpecification={"StreamEnabled": False}
    )


def test_a_run_sealed_for_recipients_begins_anew(bench: Bench) -> None:
    """Who can't read what was sealed can't take out what changed since."""
    identity = pyrage.x25519.Identity.generate()
    recipients = Recipients((str(identity.to_public()),))
    killed = interrupt(bench, recipients)
    bench.put([plain_item(number, 50) for number in range(50)])
    taken = take(bench, recipients)
    assert not taken.resumed
    assert taken.manifest.id != killed
    assert is_equal(bench, taken, Identities((str(identity),)))


def test_a_sealed_run_goes_on_with_its_key(bench: Bench) -> None:
    """With the same key, and only while the set still has its own."""
    source = age_key()
    killed = interrupt(bench, source)
    bench.put([plain_item(number, 50) for number in range(50)])
    taken = take(bench, source)
    assert (taken.resumed, taken.manifest.id) == (True, killed)
    assert is_equal(bench, taken, source)


def test_a_run_whose_keys_have_gone_begins_anew(bench: Bench) -> None:
    """Without keys.json nobody could ever open it."""
    source = age_key()
    bench.place.delete([f"{interrupt(bench, source)}/keys.json"])
    assert not take(bench, source).resumed


@pytest.mark.parametrize(
    ("part", "value"), [("id", "../elsewhere"), ("started_at", "yesterday"), ("tables", 3)]
)
def test_a_damaged_plan_is_not_gone_on_with(bench: Bench, part: str, value: Any) -> None:
    """A plan that is another's, or of no time, is left where it lies."""
    path = f"{interrupt(bench)}/plan.json"
    plan = json.loads(bench.place.get(path)) | {part: value}
    bench.place.put(path, json.dumps(plan).encode())
    assert not take(bench).resumed


def test_a_run_killed_while_it_replayed_goes_on(bench: Bench) -> None:
    """What was taken out for having changed is in the backup all the same."""
    changed = [plain_item(number, 50) for number in range(30)]

    def write(progress: Any) -> None:
        if progress.stage == "replaying":
            bench.put(changed)

    with pytest.raises(InterruptedRunError):
        take(bench, observe=write, stop=lambda: any('is_partial":true' in n for n in notes(bench)))
    taken = take(bench)
    assert taken.resumed
    assert taken.manifest.tables[0].consistent
    assert is_equal(bench, taken)


def test_nothing_is_lost_where_the_stream_ends_after_a_kill(bench: Bench) -> None:
    """Segments without what changed are scanned again once no stream tells what that was."""
    killed = False

    def write(progress: Any) -> None:
        if progress.stage == "replaying" and not killed:
            bench.put([plain_item(number, 50) for number in range(30)])

    def stop() -> bool:
        return not killed and any('is_partial":true' in note for note in notes(bench))

    with pytest.raises(InterruptedRunError):
        take(bench, observe=write, stop=stop)
    killed = True

    def turned_off(progress: Any) -> None:
        if progress.stage == "replaying":
            disable_stream(bench)

    taken = take(bench, observe=turned_off)
    (about,) = taken.manifest.tables
    assert taken.resumed
    assert (about.consistent, "turned off" in about.why_not) == (False, True)
    assert about.items == len(ITEMS)
    assert verify(bench.opened(taken.manifest.id), bench.folder, system_random()).problems == ()


def test_a_table_made_anew_meanwhile_is_told(bench: Bench) -> None:
    """A backup is of one table, not of the half of two."""

    put = itertools.count(1)

    class Remaking(FolderPlace):
        def put(self, name: str, body: bytes) -> None:
            super().put(name, body)
            if "/notes/" in name and next(put) == 4:
                delete_table(bench.aws, bench.table)
                bench.make(StreamSpecification=VIEW)

    bench.place = Remaking(bench.folder / "b")
    with pytest.raises(NotFoundError, match="made anew"):
        take(bench)
    assert not [e for e in bench.place.entries() if e.name.endswith("set.json")]


@pytest.mark.parametrize("name", ["data", "notes", "AWSDynamoDB", "...", "lock.json", "-"])
def test_a_table_may_have_any_name(
    aws: AwsSession, project: str, tmp_path: Path, name: str
) -> None:
    """Also one that files and folders of a backup have."""
    bench = Bench(aws, name.ljust(3, "-"), FolderPlace(tmp_path / "b"), tmp_path)
    bench.make()
    try:
        bench.put(ITEMS[:5])
        taken = take(bench)
        opened = bench.opened(taken.manifest.id)
        assert verify(opened, tmp_path / "tmp", system_random()).problems == ()
        assert taken.manifest.items == 5
    finally:
        delete_table(aws, bench.table)


def test_an_increment_lies_beside_its_base(
    aws: AwsSession, settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A base in another place is refused, and the place named that is meant."""
    cli = MemoryCli(settings, capsys)
    cli.deploy(aws)
    here, there = tmp_path / "here", tmp_path / "there"
    base = cli("backup", "--to", here, "--json").json["id"]
    answer = cli("backup", "--to", there, "--since", here / base)
    assert (answer.code, "lies beside" in answer.err) == (2, True)
    assert cli("backup", "--to", here, "--since", here / base).code == 0


def test_a_method_that_was_asked_for_holds_for_increments_too(bench: Bench) -> None:
    """An export of AWS's is made or refused, not replaced by what the stream tells."""
    base = bench.take()
    with pytest.raises(UsageError, match="written to a bucket"):
        bench.take(base=base, method="export")


class Hurrying(SystemClock):
    """A clock that is put on by hand."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def time(self) -> float:
        """Seconds since the epoch."""
        return super().time() + self.ahead_s

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return super().monotonic() + self.ahead_s


def test_the_lease_is_kept_while_changes_are_taken_out(bench: Bench) -> None:
    """However long that takes, nobody else may take the place's lock."""
    clock, held = Hurrying(), []
    is_replaying = False

    def write(progress: Any) -> None:
        nonlocal is_replaying
        if progress.stage == "replaying" and not is_replaying:
            is_replaying = True
            bench.put([plain_item(number, 50) for number in range(30)])

    def stop() -> bool:
        if is_replaying:
            held.append(current_holder(bench.place, clock) is not None)
            clock.ahead_s += 60
        return False

    take(bench, observe=write, stop=stop, clock=clock)
    assert len(held) > 10
    assert all(held)
