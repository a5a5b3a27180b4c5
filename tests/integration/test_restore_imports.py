"""A backup in a bucket becomes a table by ImportTable, and the counts are looked at."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from core.aws.session import AwsSession
from core.backup.bucket import BucketPlace
from core.backup.folder import FolderPlace
from core.backup.importing import Importer
from core.backup.table_settings import read_settings
from core.errors import DifferenceError, IalError, InterruptedRunError, UsageError
from tests.backups import age_key, plain_item
from tests.restoring import Bench, stopped_while_writing
from tests.tables import delete_table

ITEMS = [plain_item(number, 20) for number in range(300)]
BY_IMPORT: dict[str, Any] = {"by_import": True}


@pytest.fixture
def bench(aws: AwsSession, project: str, tmp_path: Path) -> Bench:
    """A bench whose backups lie in a bucket."""
    name = f"b-{uuid.uuid4().hex[:12]}"
    aws.client("s3").create_bucket(Bucket=name)
    place = BucketPlace(aws.client("s3"), name, "p/q", aws.where)
    made = Bench(aws, f"{project}-bench", place, tmp_path)
    index = {
        "IndexName": "ByRole",
        "KeySchema": [{"AttributeName": "sk", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    made.make(
        GlobalSecondaryIndexes=[index],
        StreamSpecification=stream,
        Tags=[{"Key": "team", "Value": "memory"}],
        DeletionProtectionEnabled=True,
    )
    made.put(ITEMS)
    return made


def test_an_imported_backup_is_equal(bench: Bench) -> None:
    """AWS's import reads our backup; items, settings and marks are those of any restore."""
    name = bench.take()
    assert bench.plan(name, **BY_IMPORT).tables[0].method == "import"
    found = bench.restore(name, **BY_IMPORT)
    assert found.written.items == 300
    assert found.notes == ()
    assert bench.compared(found.target, ITEMS).equal
    before, after = (read_settings(bench.aws, t) for t in (bench.table, found.target))
    assert after == before.renamed(found.target, after.arn)
    assert bench.restore(name, "elsewhere", **BY_IMPORT).unchanged


def test_an_import_that_was_asked_for_is_waited_for_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore that was cut off goes on with the import that AWS is busy with."""
    name, client = bench.take(), bench.aws.client("dynamodb")
    begin = client.import_table
    asked: list[str] = []

    def cut_off(**arguments: Any) -> dict[str, Any]:
        asked.append(arguments["ClientToken"])
        begin(**arguments)
        raise IalError("The line was cut.")

    monkeypatch.setattr(client, "import_table", cut_off)
    with pytest.raises(IalError, match="cut"):
        bench.restore(name, **BY_IMPORT)
    monkeypatch.undo()
    assert bench.plan(name, **BY_IMPORT).tables[0].state == "begun"
    found = bench.restore(name, **BY_IMPORT)
    assert len(asked) == 1
    assert bench.compared(found.target, ITEMS).equal


def test_a_table_that_took_the_name_of_an_import_s_is_not_written_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own was deleted, and another made under that name: the note means the first alone."""
    name, target = bench.take(), f"{bench.table}-restored"
    real = Importer.wait

    def cut_off(*arguments: Any) -> None:
        real(*arguments)
        raise IalError("The line was cut.")

    monkeypatch.setattr(Importer, "wait", cut_off)
    with pytest.raises(IalError, match="cut"):
        bench.restore(name, **BY_IMPORT)
    monkeypatch.undo()
    delete_table(bench.aws, target)
    bench.make(target)
    bench.put(ITEMS[:3], target)
    for wish in (BY_IMPORT, {}):
        with pytest.raises(UsageError, match="stands already"):
            bench.restore(name, **wish)
    assert bench.compared(target, ITEMS[:3]).equal


def test_an_import_does_not_go_on_with_what_was_begun_by_writing(bench: Bench) -> None:
    """It is refused in words, and the restore that writes goes on."""
    name = bench.take()
    with pytest.raises(InterruptedRunError):
        stopped_while_writing(bench).restore(name)
    with pytest.raises(UsageError, match="its target stands already"):
        bench.restore(name, **BY_IMPORT)
    assert bench.restore(name).comparison


@pytest.mark.parametrize(
    ("told", "error", "reason"),
    [
        ({"ErrorCount": 1}, DifferenceError, "1 errors"),
        ({"ImportedItemCount": 299}, DifferenceError, "took 299 of 300 items"),
        ({"ProcessedItemCount": 301}, DifferenceError, "301 processed"),
        (
            {"ImportStatus": "FAILED", "FailureCode": "X", "FailureMessage": "It is full."},
            IalError,
            "ended as failed: X It is full",
        ),
    ],
)
def test_an_import_is_not_believed_but_counted(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    told: dict[str, Any],
    error: type[IalError],
    reason: str,
) -> None:
    """An import that failed, or took other items than there are, is an error with a cure."""
    name, client = bench.take(), bench.aws.client("dynamodb")
    describe = client.describe_import

    def lying(**arguments: Any) -> dict[str, Any]:
        about = describe(**arguments)["ImportTableDescription"]
        ended = about["ImportStatus"] != "IN_PROGRESS"
        return {"ImportTableDescription": {**about, **told} if ended else about}

    monkeypatch.setattr(client, "describe_import", lying)
    with pytest.raises(error, match=reason) as caught:
        bench.restore(name, **BY_IMPORT)
    assert "without `--method import`" in str(caught.value.cure)


def test_what_no_import_takes_is_refused_first(bench: Bench) -> None:
    """What AWS can't import is told why, before anything is made."""
    key = age_key()
    sealed = bench.opened(bench.take(key), key)
    with pytest.raises(UsageError, match="encrypted"):
        bench.restore(sealed, **BY_IMPORT)
    with pytest.raises(UsageError, match="gzip only"):
        bench.restore(bench.take(compression="zstd", fresh=True), **BY_IMPORT)
    base = bench.take()
    bench.put([plain_item(999)])
    with pytest.raises(UsageError, match="increments"):
        bench.restore(bench.take(base=base), **BY_IMPORT)
    bench.make(f"{bench.table}-restored")
    with pytest.raises(UsageError, match="its target stands already"):
        bench.restore(base, **BY_IMPORT)
    bench.place = FolderPlace(bench.folder / "backups")
    with pytest.raises(UsageError, match="not in a bucket"):
        bench.restore(bench.take(), suffix="-other", **BY_IMPORT)
    assert not bench.stands(f"{bench.table}-other")
