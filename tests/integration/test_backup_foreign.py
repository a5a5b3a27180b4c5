"""Exports as AWS writes them are verified and restored; and AWS's import reads our backups."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.aws.session import AwsSession
from core.backup.bucket import BucketPlace
from core.backup.folder import FolderPlace
from core.memory.schema import history_schema
from core.settings import Settings
from core.transfer.lines import Keys
from tests.backups import plain_item
from tests.cli.memory_cli import MemoryCli
from tests.exports import ExportWriter, Row, Written
from tests.patients import one_app
from tests.restoring import Bench
from tests.tables import delete_table
from tests.waiting import until

ITEMS = [plain_item(number, 10) for number in range(30)]
RICH: list[Row] = [
    {
        "pk": {"B": "AA" + "EIMQ"[number % 4] + "="},
        "sk": {"N": str(number)},
        "digits": {"N": "-" + "1234567890" * 3 + "12345.678"},
        "small": {"N": "1E-130"},
        "many": {"NS": ["1", "-2.5", "9" * 38]},
        "words": {"SS": ["b", "a", ""]},
        "bytes": {"BS": ["AQ==", "AAEC"]},
        "deep": {"L": [{"M": {"x": {"L": [{"NULL": True}, {"BOOL": False}]}}}, {"S": ""}]},
        "filling": {"S": f"{number} " + "é" * 300},
    }
    for number in range(60)
]


@pytest.fixture(scope="module", autouse=True)
def _one_app() -> Iterator[None]:
    with one_app():
        yield


@pytest.fixture
def cli(settings: Settings, capsys: pytest.CaptureFixture[str]) -> MemoryCli:
    """The tool, in this process."""
    return MemoryCli(settings, capsys)


@pytest.fixture
def writer(project: str, tmp_path: Path) -> ExportWriter:
    """What writes exports as AWS does, into a folder that stands for a bucket."""
    return ExportWriter(tmp_path / "bucket", f"{project}-t")


def scanned(aws: AwsSession, table: str) -> dict[str, Any]:
    """A table's items by their number."""
    found = aws.dynamodb().scan(TableName=table, ConsistentRead=True)["Items"]
    assert len({item["sk"]["N"] for item in found}) == len(found)
    return {item["sk"]["N"]: item for item in found}


def by_number(items: list[Row]) -> dict[str, Row]:
    """Items by their number."""
    return {item["sk"]["N"]: item for item in items}


def bench(aws: AwsSession, table: str, folder: Path) -> Bench:
    """A bench of a table, made already."""
    made = Bench(aws, table, FolderPlace(folder / "backups"), folder)
    made.make()
    return made


@pytest.mark.parametrize(
    ("prefix", "checksum", "copied"),
    [("", ".md5", ""), ("team/daily", ".checksum", ""), ("team", ".md5", "other/place")],
)
def test_an_export_is_verified_and_restored(
    cli: MemoryCli,
    aws: AwsSession,
    tmp_path: Path,
    project: str,
    prefix: str,
    checksum: str,
    copied: str,
) -> None:
    """With either name of checksums, with empty files, and copied under another prefix; the new
    table is made like the one of its name that stands."""
    table = f"{project}-t"
    bench(aws, table, tmp_path)
    writer = ExportWriter(tmp_path / "bucket", table, prefix, checksum)
    folder = writer.full([ITEMS[:20], [], ITEMS[20:]]).folder
    if copied:
        (tmp_path / copied).mkdir(parents=True)
        folder = Path(shutil.move(folder, tmp_path / copied / "renamed"))
    valid = cli("backup", "verify", folder, "-q")
    assert (valid.code, valid.err) == (0, "")
    assert valid.out.startswith("valid: ")
    assert "1 table, 30 items, all read" in valid.out
    done = cli("restore", folder, "--suffix", "-r1")
    assert done.code == 0, done.err
    assert f"taken from '{table}' as it stands" in " ".join(done.err.split())
    assert scanned(aws, f"{table}-r1") == by_number(ITEMS)
    assert scanned(aws, table) == {}
    if not copied:
        return
    again = cli("restore", folder, "--suffix", "-r1", "-q")
    assert (again.code, "already equal, 30 items" in " ".join(again.out.split())) == (0, True)
    assert cli("restore", folder, "--in-place", "-q").code == 0
    assert scanned(aws, table) == by_number(ITEMS)
    against = cli("backup", "verify", folder, "--against-table", "-q")
    assert f"{table}: equal, 30 items" in against.out


def test_a_table_that_does_not_stand_is_told_with_keys(
    cli: MemoryCli, aws: AwsSession, writer: ExportWriter
) -> None:
    """Without a table to look at, the error names the option; with it the table is made."""
    folder = writer.full([ITEMS]).folder
    unknown = cli("restore", folder, "-q")
    assert unknown.code == 2
    assert "--key" in unknown.err
    for wrong in ("pk", "pk:X", ":S"):
        assert cli("restore", folder, "--key", wrong, "-q").code == 2
    assert cli("restore", folder, "--key", "pk:S", "--key", "pk:S", "-q").code == 2
    other = cli("restore", folder, "--key", "pk:S", "--key", "sk:S", "-q")
    assert (other.code, "of type N, not S" in " ".join(other.err.split())) == (6, True)
    twice = cli("restore", folder, "--key", "session_id:S", "-q")
    assert (twice.code, "same key twice" in " ".join(twice.err.split())) == (6, True)
    named = cli("restore", folder, "--key", "pk:S", "--in-place", "--suffix", "-x", "-q")
    assert (named.code, "exclude each other" in " ".join(named.err.split())) == (2, True)
    done = cli("restore", folder, "--key", "pk:S", "--key", "sk:N", "-q")
    assert done.code == 0, done.err
    assert scanned(aws, f"{writer.table}-restored") == by_number(ITEMS)


def test_a_table_of_ours_is_known(cli: MemoryCli, aws: AwsSession, tmp_path: Path) -> None:
    """The history of another project, whose tables do not stand here, needs no options."""
    table = history_schema(cli.settings.project).name
    item = {
        "user_date": {"S": "u#2026-05-08"},
        "timestamp_type": {"S": "1778248560000000#user"},
        "user_id": {"S": "u"},
        "timestamp": {"N": "1778248560000000"},
    }
    folder = ExportWriter(tmp_path / "bucket", table).full([[item]]).folder
    done = cli("restore", folder)
    assert done.code == 0, done.err
    assert "made as ialctl deploys" in " ".join(done.err.split())
    about = aws.client("dynamodb").describe_table(TableName=f"{table}-restored")["Table"]
    names = {index["IndexName"] for index in about["GlobalSecondaryIndexes"]}
    assert names == {"UserTimeIndex", "SessionIndex"}
    assert aws.dynamodb().scan(TableName=f"{table}-restored")["Items"] == [item]


def _change(item: Row, gone: bool = False) -> Row:
    key = {name: item[name] for name in ("pk", "sk")}
    line: Row = {"Metadata": {"WriteTimestampMicros": {"N": "1778248560000000"}}, "Keys": key}
    return line if gone else line | {"NewImage": item}


def _chain(writer: ExportWriter) -> list[tuple[Written, list[Row]]]:
    """A full export and two increments, each with what the table held at its end."""
    times = [f"2026-05-08T1{hour}:00:00.000Z" for hour in (3, 4, 5)]
    changed = {**ITEMS[3], "role": {"S": "changed"}}
    new, last = plain_item(100, 5), {**changed, "role": {"S": "again"}}
    return [
        (writer.full([ITEMS[:9], ITEMS[9:]], times[0]), ITEMS),
        (
            writer.incremental(
                [_change(changed), _change(new), _change(ITEMS[5], gone=True)], *times[:2]
            ),
            [*ITEMS[:3], changed, ITEMS[4], *ITEMS[6:], new],
        ),
        (
            writer.incremental(
                [_change(last), _change(new, gone=True), _change(ITEMS[5])], *times[1:]
            ),
            [*ITEMS[:3], last, *ITEMS[4:]],
        ),
    ]


def test_a_chain_of_aws_is_restored_to_the_end_of_each(
    cli: MemoryCli, aws: AwsSession, writer: ExportWriter
) -> None:
    """Named by its own folder, an increment is restored with what lies before it; the folder of
    all gives the newest state. An export that AWS has not ended beside them is no matter."""
    keys = ("--key", "pk:S", "--key", "sk:N")
    chain = _chain(writer)
    ExportWriter(writer.bucket, "another").full([[plain_item(7)]])
    unfinished = writer.bucket / "AWSDynamoDB" / "01778248560000-00000000"
    (unfinished / "data").mkdir(parents=True)
    (unfinished / "_started").touch()
    for number, (written, expected) in enumerate(chain):
        assert cli("backup", "verify", written.folder, "-q").code == 0
        done = cli("restore", written.folder, "--suffix", f"-{number}", *keys, "-q")
        assert done.code == 0, done.err
        assert scanned(aws, f"{writer.table}-{number}") == by_number(expected)
    shutil.rmtree(unfinished)
    for suffix, folder in (("-a", writer.bucket / "AWSDynamoDB"), ("-b", writer.bucket)):
        more = ("--table", writer.table, "--suffix", suffix, *keys, "-q")
        done = cli("restore", folder, *more)
        assert done.code == 0, done.err
        assert scanned(aws, f"{writer.table}{suffix}") == by_number(chain[2][1])
    shutil.rmtree(chain[1][0].folder)
    gap = cli("restore", chain[2][0].folder, *keys, "-q")
    assert (gap.code, "changes are missing" in " ".join(gap.err.split())) == (6, True)
    shutil.rmtree(chain[0][0].folder)
    alone = cli("backup", "verify", chain[2][0].folder, "-q")
    assert (alone.code, "is an increment" in " ".join(alone.err.split())) == (6, True)


@pytest.fixture
def bucket(aws: AwsSession) -> str:
    """An empty bucket."""
    name = f"b-{uuid.uuid4().hex[:12]}"
    aws.client("s3").create_bucket(Bucket=name)
    return name


@pytest.mark.parametrize("prefix", ["", "a/b"])
def test_an_export_in_a_bucket_is_restored_by_its_address(
    cli: MemoryCli, aws: AwsSession, writer: ExportWriter, bucket: str, prefix: str
) -> None:
    """By the address of its folder, and of the folders above it; by writing and by import."""
    folder = writer.full([ITEMS[:20], ITEMS[20:], []]).folder
    root = f"{prefix}/" if prefix else ""
    for path in writer.bucket.rglob("*"):
        if path.is_file():
            name = root + str(path.relative_to(writer.bucket))
            aws.client("s3").put_object(Bucket=bucket, Key=name, Body=path.read_bytes())
    keys = ("--key", "pk:S", "--key", "sk:N", "-q")
    inside = f"s3://{bucket}/{root}AWSDynamoDB"
    above = f"s3://{bucket}/{prefix}"
    addresses = (f"{inside}/{folder.name}", inside) if prefix else (above,)
    for number, address in enumerate(addresses):
        valid = cli("backup", "verify", address, "-q")
        assert valid.code == 0, valid.err
        how = ("--method", "import") if number == 1 else ()
        done = cli("restore", address, "--suffix", f"-{number}", *how, *keys)
        assert done.code == 0, done.err
        assert scanned(aws, f"{writer.table}-{number}") == by_number(ITEMS)


def test_our_backup_is_read_by_import(
    cli: MemoryCli, aws: AwsSession, project: str, tmp_path: Path, bucket: str
) -> None:
    """Several files of 38 digits, binary keys and sets: AWS's own call reads them, and so does
    a restore by import."""
    place = BucketPlace(aws.client("s3"), bucket, "deep/er", aws.where)
    made = Bench(aws, f"{project}-t", place, tmp_path, Keys((("pk", "B"), ("sk", "N"))))
    made.make()
    made.put(RICH)
    set_id = made.take()
    export = made.opened(set_id).tables[0].layers[0].export
    assert len([file for file in export.files if file.items]) > 1
    client, table = aws.client("dynamodb"), f"{project}-direct"
    about = client.describe_table(TableName=made.table)["Table"]
    asked = client.import_table(
        S3BucketSource={
            "S3Bucket": bucket,
            "S3KeyPrefix": f"deep/er/{export.folder}/data/",
        },
        InputFormat="DYNAMODB_JSON",
        InputCompressionType="GZIP",
        TableCreationParameters={
            "TableName": table,
            "BillingMode": "PAY_PER_REQUEST",
            **{name: about[name] for name in ("KeySchema", "AttributeDefinitions")},
        },
    )["ImportTableDescription"]["ImportArn"]

    def ended() -> dict[str, Any]:
        found: dict[str, Any] = client.describe_import(ImportArn=asked)["ImportTableDescription"]
        return found if found["ImportStatus"] != "IN_PROGRESS" else {}

    until(lambda: bool(ended()))
    done = ended()
    counts = [done.get(n) for n in ("ImportStatus", "ProcessedItemCount", "ImportedItemCount")]
    assert counts == ["COMPLETED", 60, 60]
    assert made.compared(table, RICH).equal
    from_ = ("--from", f"s3://{bucket}/deep/er", "-q")
    answer = cli("restore", set_id, "--method", "import", *from_)
    assert answer.code == 0, answer.err
    assert made.compared(f"{made.table}-restored", RICH).equal
    assert made.compared(made.table, RICH).equal


@pytest.mark.parametrize("name", ["data", "notes", "AWSDynamoDB", "..."])
def test_tables_of_any_name_are_backed_up(
    cli: MemoryCli, aws: AwsSession, tmp_path: Path, name: str
) -> None:
    """Also those that are called like a folder of the backup; like a file of it is refused."""
    made = Bench(aws, name, FolderPlace(tmp_path / "b"), tmp_path)
    made.make()
    try:
        made.put(ITEMS)
        set_id = made.take()
        assert cli("backup", "verify", set_id, "--from", tmp_path / "b", "-q").code == 0
        found = made.restore(set_id, suffix=f"-{cli.settings.project}")
        assert made.compared(found.target, ITEMS).equal
    finally:
        delete_table(aws, name)
    refused = cli("backup", "--table", "set.json", "--to", tmp_path / "b", "-q")
    assert (refused.code, "'set.json' can't be backed up" in refused.err) == (2, True)
