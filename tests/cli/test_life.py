"""`forget`, `index` and `archive`, at an endpoint: what they say, and what stands afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.aws.objects import BucketObjects
from core.aws.session import AwsSession
from core.memory.archives import Archives
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.parts import open_parts
from core.memory.schema import embeddings_schema, history_schema, legacy_history_schema
from core.settings import Settings
from tests.cli.memory_cli import MemoryCli
from tests.engines import conversation
from tests.tables import create_table

EXPORT_STACK = """
Resources:
  Bucket: {{Type: "AWS::S3::Bucket", Properties: {{BucketName: "{name}", \
VersioningConfiguration: {{Status: Enabled}}}}}}
Outputs:
  BackupBucket: {{Value: !Ref Bucket, Export: {{Name: "{project}-BackupBucket"}}}}
"""


@pytest.fixture
def cli(settings: Settings, aws: AwsSession, capsys: pytest.CaptureFixture[str]) -> MemoryCli:
    """The commands, with the tables to work on and two users in them."""
    create_table(aws, history_schema(settings.project), numbers=("timestamp",))
    create_table(aws, embeddings_schema(settings.project))
    create_table(aws, legacy_history_schema(settings.project))
    aws.client("dynamodb").put_item(
        TableName=legacy_history_schema(settings.project).name,
        Item={"user_id": {"S": "ada#1"}, "sort_key": {"S": "2020"}, "content": {"S": "old"}},
    )
    with OptimizedContextEngine(open_parts(settings, aws)) as engine:
        for user in ("ada", "ada#1"):
            engine.import_messages(user, conversation(user, 20, session_turns=5))
    return MemoryCli(settings, capsys)


@pytest.fixture
def bucket(settings: Settings, aws: AwsSession, cloudformation: None) -> BucketObjects:
    """The project's backup bucket, exported by a stack as the phase does."""
    name = f"{settings.project}-backup"
    body = EXPORT_STACK.format(name=name, project=settings.project)
    client = aws.client("cloudformation")
    client.create_stack(StackName=name, TemplateBody=body)
    return BucketObjects(aws.client("s3"), name, aws.where)


def items(aws: AwsSession, settings: Settings) -> str:
    """Everything in the tables, as text."""
    names = (history_schema, embeddings_schema, legacy_history_schema)
    client = aws.client("dynamodb")
    scans = [client.scan(TableName=s(settings.project).name, ConsistentRead=True) for s in names]
    assert not any("LastEvaluatedKey" in scan for scan in scans)
    return repr([scan["Items"] for scan in scans])


def test_a_user_is_forgotten_with_a_receipt(
    cli: MemoryCli, aws: AwsSession, settings: Settings
) -> None:
    """What the receipt counts is what went; afterwards there is nothing to forget."""
    looked = cli("forget", "--user", "ada#1", "--dry-run", "--json").json
    assert looked["dry_run"]
    before = items(aws, settings)
    receipt = cli("forget", "--user", "ada#1", "--yes", "--no-wait", "--json").json
    assert receipt["schema"] == "ialctl.forget/1"
    assert receipt["removed"] == looked["removed"]
    assert (receipt["removed"]["messages"], receipt["removed"]["legacy_items"]) == (20, 1)
    assert receipt["verified"]
    assert "ada%231" in before
    assert "ada%231" not in items(aws, settings)
    assert "ada#1" not in items(aws, settings)
    again = cli("forget", "--user", "ada#1", "--yes")
    assert again.code == 0
    assert again.out.splitlines()[0] == "There is nothing to forget of user 'ada#1'."
    assert cli("export", "--user", "ada#1").out == ""
    assert len(cli("export", "--user", "ada").out.splitlines()) == 20


def test_a_session_and_a_message(cli: MemoryCli) -> None:
    """The table says what was removed, what was looked at, and what is left."""
    answer = cli("forget", "--user", "ada", "--session", "session-00001", "--yes", "--no-wait")
    assert answer.code == 0
    for words in ("5 messages", "5 vectors", "nothing found", "Left:", "Backups"):
        assert words in answer.out
    removed = cli("forget", "--user", "ada", "--message", "m000000", "--yes", "--no-wait", "--json")
    assert removed.json["removed"]["messages"] == 1
    lines = [json.loads(line) for line in cli("export", "--user", "ada").out.splitlines()]
    assert len(lines) == 14
    assert "session-00001" not in {line["session_id"] for line in lines}
    assert cli("index", "--user", "ada", "--check").code == 0


def test_archives_that_can_not_be_reached_keep_everything(
    cli: MemoryCli, cloudformation: None
) -> None:
    """Without a bucket to delete from nothing is removed: its receipt would be lost."""
    answer = cli("forget", "--user", "ada", "--archives", "--yes", "--no-wait")
    assert (answer.code, answer.out) == (1, "")
    assert len(cli("export", "--user", "ada").out.splitlines()) == 20


def test_a_user_who_was_archived_altogether_is_told_of_the_archives(
    cli: MemoryCli, bucket: BucketObjects
) -> None:
    """Nothing stands in the tables, and the receipt says that archives may."""
    cli("archive", "--user", "ada", "--older-than-days", "0", "--yes")
    cli("forget", "--user", "ada", "--yes", "--no-wait")
    answer = cli("forget", "--user", "ada", "--yes", "--no-wait")
    assert "nothing to forget" in answer.out
    assert "`--archives` deletes" in answer.out
    deleted = cli("forget", "--user", "ada", "--archives", "--yes", "--no-wait", "--json").json
    assert deleted["removed"]["archives"] == 4
    assert not list(Archives(bucket).keys("ada"))


def test_without_a_yes_nothing_is_removed(cli: MemoryCli) -> None:
    """Where nobody can be asked it ends with 7; two things at once are wrong usage."""
    assert cli("forget", "--user", "ada").code == 7
    assert cli("archive", "--user", "ada", "--older-than-days", "1").code == 7
    assert len(cli("export", "--user", "ada").out.splitlines()) == 20
    assert cli("forget", "--user", "ada", "--session", "s", "--message", "m", "--yes").code == 2
    assert cli("forget", "--user", "ada", "--session", "s", "--archives", "--yes").code == 2
    assert cli("forget", "--user", "", "--yes").code == 2


def test_an_index_that_differs_is_exit_3_until_it_is_put_right(
    cli: MemoryCli, aws: AwsSession, settings: Settings
) -> None:
    """Vectors of messages that are gone are counted, then removed."""
    assert cli("index", "--user", "ada", "--check", "--json").json["found"]["messages"] == 20
    client = aws.client("dynamodb")
    table = history_schema(settings.project).name
    for item in client.scan(TableName=table)["Items"][:3]:
        key = {name: item[name] for name in ("user_date", "timestamp_type")}
        client.delete_item(TableName=table, Key=key)
    found = {user: cli("index", "--user", user, "--check", "--json") for user in ("ada", "ada#1")}
    assert 3 in {answer.code for answer in found.values()}
    assert sum(a.json["found"]["orphaned_vectors"] for a in found.values()) == 3
    for user in found:
        assert cli("index", "--user", user).code == 0
        assert cli("index", "--user", user, "--check").code == 0


def test_old_sessions_go_to_the_bucket_and_come_back(
    cli: MemoryCli, bucket: BucketObjects, tmp_path: Path
) -> None:
    """Exported before and after, by way of the archive, the messages are the same."""
    before = cli("export", "--user", "ada").out
    arguments = ("archive", "--user", "ada", "--older-than-days", "0", "--json")
    assert len(cli(*arguments, "--dry-run").json["archives"]) == 4
    assert list(bucket.keys("")) == []
    done = cli(*arguments, "--yes").json
    assert (done["messages"], done["removed"], done["left"]) == (20, 20, [])
    assert cli("export", "--user", "ada").out == ""
    for n, key in enumerate(bucket.keys("archive/ada/")):
        path = tmp_path / f"{n}.jsonl.gz"
        path.write_bytes(bucket.get(key))
        assert cli("import", path, "--user", "ada", "--json").json["imported"] == 5
    assert cli("export", "--user", "ada").out == before
    assert cli("index", "--user", "ada", "--check").code == 0
    receipt = cli("forget", "--user", "ada", "--archives", "--yes", "--no-wait", "--json").json
    assert receipt["removed"]["archives"] == 4
    assert list(Archives(bucket).keys("ada")) == []


def test_what_would_be_archived_has_no_size_yet(cli: MemoryCli, bucket: BucketObjects) -> None:
    """Nor is it told as written; what is archived has and is, a line each."""
    arguments = ("archive", "--user", "ada", "--older-than-days", "0", "--yes")
    planned, done = cli(*arguments, "--dry-run"), cli(*arguments)
    assert "bytes" not in planned.out
    assert "written" not in planned.err
    assert done.out.count("bytes") == done.err.count("written") == planned.out.count("gz") == 4


def test_without_a_bucket_nothing_is_archived(cli: MemoryCli, cloudformation: None) -> None:
    """It says what to deploy, and every message stays."""
    answer = cli("archive", "--user", "ada", "--older-than-days", "0", "--yes")
    assert answer.code == 1
    assert "ialctl start" in answer.err
    assert len(cli("export", "--user", "ada").out.splitlines()) == 20
