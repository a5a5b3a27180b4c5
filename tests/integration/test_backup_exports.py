"""Backups by AWS's own export: the endpoint's answers are followed, and what it wrote is checked.

The local endpoint completes exports without writing them; here they are written for it, by the
independent writer of exports, as AWS would.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.aws.session import AwsClient, AwsSession
from core.backup.bucket import BucketPlace
from core.backup.folder import FolderPlace
from core.backup.opening import open_backup
from core.backup.place import Place
from core.backup.plans import Wish
from core.backup.progress import Progress
from core.backup.reading import items
from core.backup.taking import About, Taker
from core.backup.verifying import verify
from core.clock import new_id, system_random
from core.errors import AwsError, UsageError
from core.settings import Settings
from core.testing.clock import FakeClock
from tests.backups import plain_item
from tests.exports import ExportWriter
from tests.restoring import Bench


class Exporting:
    """DynamoDB whose exports are written: `outcome` is what the last one comes to."""

    def __init__(self, real: AwsClient, s3: AwsClient, folder: Path, rows: list[Any]) -> None:
        self._real, self._s3, self._folder, self._rows = real, s3, folder, rows
        self.outcome = "COMPLETED"
        self.asked: list[dict[str, Any]] = []
        self._polls = 0
        self._arns: dict[str, str] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation: Callable[..., Any] = getattr(self._real, name)
        return operation

    def export_table_to_point_in_time(self, **request: Any) -> dict[str, Any]:
        """Writes an export of the table to the bucket; the same token, the same export."""
        self.asked.append(request)
        token = request["ClientToken"]
        if token not in self._arns:
            table = request["TableArn"].rpartition("/")[2]
            writer = ExportWriter(self._folder, table, request["S3Prefix"])
            half = len(self._rows) // 2
            written = writer.full([self._rows[:half], self._rows[half:], []])
            for path in self._folder.rglob("*"):
                if path.is_file():
                    key = path.relative_to(self._folder).as_posix()
                    self._s3.put_object(Bucket=request["S3Bucket"], Key=key, Body=path.read_bytes())
            self._arns[token] = f"{request['TableArn']}/export/{written.folder.name}"
        return {"ExportDescription": {"ExportArn": self._arns[token]}}

    def describe_export(self, **request: str) -> dict[str, Any]:
        """In progress twice, then what the outcome is."""
        self._polls += 1
        status = "IN_PROGRESS" if self._polls % 3 else self.outcome
        about = {**request, "ExportStatus": status}
        return {"ExportDescription": about | {"FailureMessage": "no rights on the bucket"}}


class ExportingSession(AwsSession):
    """A session whose DynamoDB writes its exports."""

    exporting: Exporting

    def client(self, service: str) -> Any:
        """The exporting one, of DynamoDB."""
        return self.exporting if service == "dynamodb" else super().client(service)


@pytest.fixture
def rows() -> list[Any]:
    """What the table holds."""
    return [plain_item(number) for number in range(30)]


@pytest.fixture
def session(
    settings: Settings, aws: AwsSession, bench: Bench, tmp_path: Path, rows: list[Any]
) -> ExportingSession:
    """A session on a filled table with recovery on."""
    bench.make()
    bench.put(rows)
    aws.client("dynamodb").update_continuous_backups(
        TableName=bench.table,
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
    )
    made = ExportingSession(settings)
    folder = tmp_path / "exported"
    made.exporting = Exporting(aws.client("dynamodb"), aws.client("s3"), folder, rows)
    return made


@pytest.fixture
def bench(aws: AwsSession, project: str, tmp_path: Path) -> Bench:
    """A bench whose table is not made yet."""
    return Bench(aws, f"{project}-bench", FolderPlace(tmp_path / "unused"), tmp_path)


@pytest.fixture
def place(aws: AwsSession, project: str) -> Place:
    """A bucket with a prefix."""
    bucket = f"{project}-exports"
    aws.client("s3").create_bucket(Bucket=bucket)
    return BucketPlace(aws.client("s3"), bucket, "some/prefix", aws.where)


def taker(session: AwsSession, place: Place, told: list[Progress]) -> Taker:
    """What takes backups, with a clock that does not wait."""
    return Taker(session, place, "t", FakeClock(), new_id, observe=told.append)


def test_an_export_is_awaited_verified_and_listed(
    session: ExportingSession, place: Place, bench: Bench, rows: list[Any], tmp_path: Path
) -> None:
    """The set names the export, which lies where AWS wrote it, and holds every item."""
    told: list[Progress] = []
    wish = Wish(tables=(bench.table,), method="export")
    found = taker(session, place, told).take(wish, About()).manifest
    (table,) = found.tables
    assert (table.method, table.consistent, table.items) == ("export", True, len(rows))
    assert table.read_units == 0
    assert "exporting" in [progress.stage for progress in told]
    backup = open_backup(place, found.id, (), session)
    assert verify(backup, tmp_path, system_random()).problems == ()
    export = backup.tables[0].layers[0].export
    held = [i for f in export.files for i in items(place, export, f, backup.tables[0].keys)]
    assert sorted(i["sk"]["N"] for i in held) == sorted(i["sk"]["N"] for i in rows)
    assert session.exporting.asked[0]["S3Prefix"] == f"some/prefix/{found.id}/{bench.table}"


def test_a_failed_export_is_told_with_its_reason(
    session: ExportingSession, place: Place, bench: Bench
) -> None:
    """Its reason is told, and nothing is listed."""
    session.exporting.outcome = "FAILED"
    with pytest.raises(AwsError, match="no rights on the bucket"):
        taker(session, place, []).take(Wish(tables=(bench.table,), method="export"), About())
    assert not [e for e in place.entries() if e.name.endswith("set.json")]


def test_an_export_that_wrote_nothing_is_no_backup(
    aws: AwsSession, session: ExportingSession, place: Place, bench: Bench
) -> None:
    """An endpoint that says "completed" and wrote no file is found out."""
    told: list[Progress] = []
    with pytest.raises(AwsError, match="does not write exports"):
        taker(aws, place, told).take(Wish(tables=(bench.table,), method="export"), About())
    assert not [e for e in place.entries() if e.name.endswith("set.json")]


def test_a_folder_takes_no_export(session: ExportingSession, bench: Bench, tmp_path: Path) -> None:
    """AWS writes to buckets only."""
    folder = FolderPlace(tmp_path / "sets")
    with pytest.raises(UsageError, match="folder"):
        taker(session, folder, []).take(Wish(tables=(bench.table,), method="export"), About())


def test_auto_scans_where_the_endpoint_is_not_aws(
    aws: AwsSession, place: Place, bench: Bench
) -> None:
    """An emulator's exports are not relied on."""
    bench.make()
    found = taker(aws, place, []).take(Wish(tables=(bench.table,)), About()).manifest
    assert found.tables[0].method == "scan"
