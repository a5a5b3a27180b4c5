"""What may happen to a table while it is being restored: deleted, throttled, written to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.aws.session import AwsSession
from core.backup.folder import FolderPlace
from core.backup.progress import Progress
from core.backup.restore_marks import RESTORED, RESTORING
from core.errors import DifferenceError, NotFoundError, StorageError, ThrottledError
from tests.backups import plain_item
from tests.restoring import Bench
from tests.tables import delete_table

ITEMS = [plain_item(number, 20) for number in range(2000)]


@pytest.fixture
def bench(aws: AwsSession, project: str, tmp_path: Path) -> Bench:
    """A table of items."""
    made = Bench(aws, f"{project}-bench", FolderPlace(tmp_path / "backups"), tmp_path)
    made.make()
    made.put(ITEMS)
    return made


def test_a_table_deleted_under_a_restore_is_told_and_made_again(bench: Bench) -> None:
    """The restore ends by name of the table; run again it begins from nothing."""
    backup, target = bench.take(), f"{bench.table}-restored"
    gone: list[str] = []

    def observe(progress: Progress) -> None:
        if progress.stage == "writing" and not gone:
            gone.append(target)
            delete_table(bench.aws, target)

    bench.observe = observe
    with pytest.raises(NotFoundError, match=f"no table '{target}'"):
        bench.restore(backup)
    assert bench.plan(backup).tables[0].state == "new"
    assert bench.restore(backup).written.items == 2000
    assert bench.compared(target, ITEMS).equal


def test_a_table_that_is_written_to_meanwhile_differs(bench: Bench) -> None:
    """What somebody else puts into the new table is noticed, named, and not called restored."""
    backup, target = bench.take(), f"{bench.table}-restored"

    def observe(progress: Progress) -> None:
        if progress.stage == "writing":
            bench.aws.dynamodb().put_item(TableName=target, Item=plain_item(90_000, 1))

    bench.observe = observe
    with pytest.raises(DifferenceError, match="not as the backup has it: 1 beside") as caught:
        bench.restore(backup)
    assert "90000" in str(caught.value.fields["extra"])
    assert bench.plan(backup).tables[0].state == "begun"


def test_a_throttled_restore_is_whole(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Throttled now and then, every item is written in the end, and the throttles are told."""
    backup, make = bench.take(), bench.aws.bulk_dynamodb

    def throttling() -> Any:
        client = make()
        write, calls = client.batch_write_item, [0]

        def batch_write_item(**arguments: Any) -> dict[str, Any]:
            calls[0] += 1
            if calls[0] in (60, 61, 62):
                raise ThrottledError("Slow down.", reasons=())
            return write(**arguments)

        vars(client)["batch_write_item"] = batch_write_item
        return client

    monkeypatch.setattr(bench.aws, "bulk_dynamodb", throttling)
    found = bench.restore(backup)
    assert found.throttles == 3
    assert found.written.items == 2000
    assert bench.compared(found.target, ITEMS).equal


def test_a_state_folder_that_cannot_be_written_is_told(bench: Bench) -> None:
    """Without a place for its notes a restore says so."""
    backup = bench.take()
    (bench.folder / "here").write_text("in the way")
    with pytest.raises(StorageError, match="note"):
        bench.restore(backup)
    assert bench.restore(backup, "elsewhere").written.items == 2000


def test_killed_between_its_last_two_steps_it_is_done(bench: Bench) -> None:
    """With both marks on it a table is restored, and no other restore takes it for begun."""
    backup = bench.take()
    found = bench.restore(backup)
    client = bench.aws.client("dynamodb")
    arn = client.describe_table(TableName=found.target)["Table"]["TableArn"]
    client.tag_resource(ResourceArn=arn, Tags=[{"Key": RESTORING, "Value": f"{backup}/made"}])
    assert RESTORED in {t["Key"] for t in client.list_tags_of_resource(ResourceArn=arn)["Tags"]}
    assert bench.restore(backup, "elsewhere").unchanged


def test_a_budget_of_write_units_is_kept(bench: Bench) -> None:
    """At 1,000 units a second, 2,000 items take two seconds, less the first one's start."""
    seen: list[Progress] = []
    bench.observe = seen.append
    found = bench.restore(bench.take(), max_wcu=1000)
    assert found.written.units == 2000
    assert bench.plan(bench.take(), suffix="-x", max_wcu=1000).seconds == 2
    assert {p.stage for p in seen} == {"checking", "writing", "verifying", "done"}
