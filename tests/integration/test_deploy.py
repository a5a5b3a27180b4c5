"""Deploying on a real endpoint: what is described comes to stand, and stays."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK, new_id
from core.deploy.lock import Lease, file_lock, this_run
from core.deploy.phases import phases_folder
from core.deploy.progress import Progress
from core.deploy.service import Deployment, Options
from core.deploy.values import Plan, Result
from core.errors import (
    DeployError,
    IalError,
    LockHeldError,
    NotFoundError,
    ProtectedChangeError,
    StackFailedError,
    UsageError,
)
from core.memory.index.native import has_vector_index
from core.settings import Settings
from core.testing.clock import FakeClock

pytestmark = pytest.mark.usefixtures("cloudformation")

TABLE = """
Parameters:
  ProjectName: {Type: String}
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    DeletionPolicy: %s
    Properties:
      TableName: !Sub "${ProjectName}-t"
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: %s, AttributeType: S}]
      KeySchema: [{AttributeName: %s, KeyType: HASH}]
"""
TOPIC = """
Parameters:
  ProjectName: {Type: String}
Resources:
  Topic:
    Type: %s
    Properties: {TopicName: !Sub "${ProjectName}-topic"}
"""


def start(settings: Settings, aws: AwsSession, **options: Any) -> tuple[Plan, Result]:
    """One whole run."""
    deployment = Deployment(settings, aws, Options(**options))
    with deployment.locked():
        plan = deployment.plan()
        return plan, deployment.apply(plan)


@pytest.fixture
def own_phases(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with an empty folder of phases of the test's own."""
    folder = tmp_path / "phases"
    (folder / "01-d").mkdir(parents=True)
    return dataclasses.replace(settings, phases_dir=folder)


def write(settings: Settings, name: str, text: str) -> None:
    """Writes a phase."""
    assert settings.phases_dir is not None
    (settings.phases_dir / f"{name}.yaml").write_text(text)


def test_the_shipped_phases_come_to_stand_as_described(
    settings: Settings, aws: AwsSession, project: str
) -> None:
    """Keys, indexes, projections, TTL, streams, recovery and protection, read by the API."""
    plan, result = start(settings, aws)
    assert {stack.action for stack in plan.stacks} == {"create"}
    assert result.differences == ()
    assert result.changed
    dynamodb = aws.client("dynamodb")
    name = f"{project}-conversation-history-v2"
    table = dynamodb.describe_table(TableName=name)["Table"]
    assert [k["AttributeName"] for k in table["KeySchema"]] == ["user_date", "timestamp_type"]
    indexes = {i["IndexName"]: i["Projection"] for i in table["GlobalSecondaryIndexes"]}
    assert set(indexes["UserTimeIndex"]["NonKeyAttributes"]) == {
        "content_summary",
        "tokens",
        "role",
        "ttl",
    }
    assert set(indexes["SessionIndex"]["NonKeyAttributes"]) == {"content_hash", "summary"}
    assert table["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert table["DeletionProtectionEnabled"]
    ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "ttl")
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    recovery = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
    assert recovery == "ENABLED"


def test_a_second_run_changes_nothing(settings: Settings, aws: AwsSession) -> None:
    """The same again: every stack is unchanged, and no change set is left behind."""
    start(settings, aws)
    plan, result = start(settings, aws)
    assert not plan.changes_anything
    assert not result.changed
    listed = aws.client("cloudformation").list_change_sets(StackName=plan.stacks[0].stack)
    assert all(s["ExecutionStatus"].startswith("EXECUTE") for s in listed.get("Summaries", []))


def test_what_is_changed_by_hand_is_drift_and_put_right(
    settings: Settings, aws: AwsSession, project: str
) -> None:
    """TTL and protection switched off by hand are drift; locally the next start sets them."""
    start(settings, aws)
    deployment = Deployment(settings, aws)
    assert deployment.drift() == ()
    name = f"{project}-conversation-embeddings"
    dynamodb = aws.client("dynamodb")
    dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
    dynamodb.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": False, "AttributeName": "ttl"}
    )
    found = {(d.resource, d.aspect) for d in Deployment(settings, aws).drift()}
    assert found == {
        ("ConversationEmbeddings", "deletion protection"),
        ("ConversationEmbeddings", "time to live"),
    }
    start(settings, aws)
    assert Deployment(settings, aws).drift() == ()


def test_on_aws_a_difference_fails_the_verification(
    settings: Settings, aws: AwsSession, project: str
) -> None:
    """With target aws nothing is repaired through the API: exit code 3, and the table is named."""
    on_aws = dataclasses.replace(settings, target="aws")
    with pytest.raises(IalError, match="time to live") as caught:
        start(on_aws, aws)
    assert caught.value.exit_code == 3


def test_destroy_keeps_the_data_and_start_takes_it_in_again(
    settings: Settings, aws: AwsSession, project: str
) -> None:
    """Stacks go, tables stay with every item; the next start imports them; items are the same."""
    start(settings, aws)
    dynamodb = aws.client("dynamodb")
    key = {"user_date": {"S": "u#2026-01-01"}, "timestamp_type": {"S": "1#user"}}
    dynamodb.put_item(TableName=f"{project}-conversation-history-v2", Item=key)
    deployment = Deployment(settings, aws)
    with deployment.locked():
        done = deployment.destroy()
    assert f"table {project}-conversation-history-v2" in done.kept
    assert not Deployment(settings, aws).status().deployed
    plan, _ = start(settings, aws)
    kinds = {c.kind for s in plan.stacks for c in s.changes if c.type == "AWS::DynamoDB::Table"}
    assert kinds == {"adopted"}
    answer = dynamodb.get_item(TableName=f"{project}-conversation-history-v2", Key=key)
    assert answer["Item"] == key
    assert Deployment(settings, aws).drift() == ()


def test_bucket_and_alarms_are_verified(settings: Settings, aws: AwsSession, project: str) -> None:
    """What is changed by hand on the bucket or an alarm is told; locally it is put right."""
    start(settings, aws)
    s3, cloudwatch = aws.client("s3"), aws.client("cloudwatch")
    bucket = next(b["Name"] for b in s3.list_buckets()["Buckets"] if project in b["Name"])
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    s3.delete_bucket_encryption(Bucket=bucket)
    s3.delete_bucket_lifecycle(Bucket=bucket)
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicAcls": True}
    )
    cloudwatch.put_metric_alarm(
        AlarmName=f"{project}-slow-context",
        Namespace="Other",
        MetricName="ContextMilliseconds",
        Statistic="Maximum",
        ComparisonOperator="GreaterThanThreshold",
        Threshold=1.0,
        Period=300,
        EvaluationPeriods=1,
    )
    found = {(d.resource, d.aspect) for d in Deployment(settings, aws).drift()}
    assert {("Bucket", a) for a in ("versioning", "encryption", "lifecycle", "public access")} | {
        ("SlowContext", a)
        for a in ("namespace", "statistic", "threshold", "period", "dimensions", "actions")
    } <= found
    start(settings, aws)
    assert Deployment(settings, aws).drift() == ()


def test_a_table_without_a_name_of_its_own(own_phases: Settings, aws: AwsSession) -> None:
    """CloudFormation names it; it is found by that name and verified."""
    text = TABLE % ("Retain", "k", "k")
    write(own_phases, "01-d/01-t", text.replace('      TableName: !Sub "${ProjectName}-t"\n', ""))
    _, result = start(own_phases, aws)
    assert len(result.tables) == 1
    assert result.differences == ()


def test_a_plan_leaves_the_change_sets_of_others_alone(
    own_phases: Settings, aws: AwsSession
) -> None:
    """A plan takes no lock: what another run is about to execute is not dropped by it."""
    write(own_phases, "01-d/01-t", TABLE % ("Retain", "k", "k"))
    plan, _ = start(own_phases, aws)
    made = (TOPIC % "AWS::SNS::Topic").partition("Resources:")
    changed = TABLE % ("Retain", "k", "k") + made[2].lstrip("\n")
    cloudformation = aws.client("cloudformation")
    project = {"ParameterKey": "ProjectName", "UsePreviousValue": True}
    cloudformation.create_change_set(
        StackName=plan.stacks[0].stack,
        ChangeSetName="ialctl-of-another",
        ChangeSetType="UPDATE",
        TemplateBody=changed,
        Parameters=[project],
    )
    write(own_phases, "01-d/01-t", changed)
    assert Deployment(own_phases, aws).plan().changes_anything
    listed = cloudformation.list_change_sets(StackName=plan.stacks[0].stack)["Summaries"]
    names = {s["ChangeSetName"] for s in listed if s["ExecutionStatus"] == "AVAILABLE"}
    assert names == {"ialctl-of-another"}


@pytest.mark.parametrize("kept_first", [False, True])
def test_deleting_data_leaves_nothing(
    settings: Settings, aws: AwsSession, project: str, *, kept_first: bool
) -> None:
    """Tables, bucket with its objects, alias: gone; also what an earlier destroy had kept."""
    start(settings, aws)
    bucket = next(
        e["Value"]
        for e in aws.client("cloudformation").list_exports()["Exports"]
        if e["Name"] == f"{project}-BackupBucket"
    )
    for _ in range(2):
        aws.client("s3").put_object(Bucket=bucket, Key="a", Body=b"x")
    if kept_first:
        deployment = Deployment(settings, aws)
        with deployment.locked():
            deployment.destroy()
    deployment = Deployment(settings, aws)
    with deployment.locked():
        done = deployment.destroy(delete_data=True)
    assert done.kept == ()
    with pytest.raises(NotFoundError):
        aws.client("dynamodb").describe_table(TableName=f"{project}-operations")
    with pytest.raises(NotFoundError):
        aws.client("s3").head_bucket(Bucket=bucket)


def test_other_projects_are_left_alone(settings: Settings, aws: AwsSession) -> None:
    """Two projects on one endpoint: destroying one touches nothing of the other."""
    other = dataclasses.replace(settings, project=f"{settings.project}-x")
    start(settings, aws)
    start(other, aws)
    deployment = Deployment(settings, aws)
    with deployment.locked():
        deployment.destroy(delete_data=True)
    assert not start(other, aws)[0].changes_anything


def test_native_vector_indexes_by_a_parameter(
    settings: Settings, aws: AwsSession, project: str
) -> None:
    """The parameter puts a vector index on the embeddings table, active when start returns."""
    _, result = start(
        settings, aws, parameters={"NativeVectorIndexes": "true", "EmbeddingDimensions": "8"}
    )
    assert result.differences == ()
    table = aws.client("dynamodb").describe_table(TableName=f"{project}-conversation-embeddings")
    (index,) = table["Table"]["VectorIndexes"]
    assert (index["Dimensions"], index["IndexStatus"]) == (8, "ACTIVE")
    # The search takes it for one that it can use.
    assert has_vector_index(aws, f"{project}-conversation-embeddings") == 8


def test_a_parameter_that_no_phase_has_is_refused(settings: Settings, aws: AwsSession) -> None:
    """A misspelt parameter is a usage error before anything is touched."""
    with pytest.raises(UsageError, match="'Nope'"):
        start(settings, aws, parameters={"Nope": "1"})
    with pytest.raises(UsageError, match="'BudgetEmail'"):
        start(settings, aws, wanted=("budget",))


def test_the_legacy_tables_when_asked(settings: Settings, aws: AwsSession, project: str) -> None:
    """Optional phases come with --with, and stay in later runs without it."""
    _, result = start(settings, aws, wanted=("07-conversation-memory",))
    assert f"{project}-token-usage" in result.tables
    plan, _ = start(settings, aws)
    assert not plan.changes_anything
    assert "00-foundation/07-conversation-memory" in {s.phase for s in plan.stacks}


def test_a_type_that_does_not_exist_fails_and_the_others_stand(
    own_phases: Settings, aws: AwsSession, project: str
) -> None:
    """The type is named, its neighbour deployed, its consumer skipped; put right, it goes on."""
    write(own_phases, "01-d/01-bad", TOPIC % "AWS::Nope::Thing")
    write(own_phases, "01-d/02-good", TABLE % ("Retain", "k", "k"))
    write(
        own_phases,
        "01-d/03-after",
        TOPIC % "AWS::SNS::Topic" + "Metadata: {Ialctl: {DependsOn: [bad]}}\n",
    )
    told: list[Progress] = []
    deployment = Deployment(own_phases, aws, observer=told.append)
    with deployment.locked(), pytest.raises(StackFailedError, match="AWS::Nope::Thing"):
        deployment.apply(deployment.plan())
    assert {p.phase: p.state for p in told} == {
        "01-d/01-bad": "failed",
        "01-d/02-good": "done",
        "01-d/03-after": "skipped",
    }
    write(own_phases, "01-d/01-bad", (TOPIC % "AWS::SNS::Topic").replace("-topic", "-other"))
    _, result = start(own_phases, aws)
    assert [s.state for s in result.stacks] == ["done", "unchanged", "done"]


def test_a_template_that_would_replace_a_table_is_refused(
    own_phases: Settings, aws: AwsSession, project: str
) -> None:
    """Other keys mean another table: refused, the stack named, the table untouched."""
    write(own_phases, "01-d/01-t", TABLE % ("Retain", "k", "k"))
    start(own_phases, aws)
    write(own_phases, "01-d/01-t", TABLE % ("Retain", "other", "other"))
    with pytest.raises(ProtectedChangeError, match=f"{project}-d-t"):
        start(own_phases, aws)
    write(own_phases, "01-d/01-t", TOPIC % "AWS::SNS::Topic")
    with pytest.raises(ProtectedChangeError, match="removed"):
        start(own_phases, aws)
    table = aws.client("dynamodb").describe_table(TableName=f"{project}-t")["Table"]
    assert table["KeySchema"][0]["AttributeName"] == "k"


def test_a_template_that_would_take_an_index_is_refused(
    own_phases: Settings, aws: AwsSession, project: str
) -> None:
    """Removing or changing an index counts as loss, and takes the flag; adding one does not."""
    plain = TABLE % ("Retain", "k", "k")
    keys = "KeySchema: [{AttributeName: k, KeyType: HASH}]"
    projection = "Projection: {ProjectionType: %s}"
    index = f"      GlobalSecondaryIndexes: [{{IndexName: I, {keys}, {projection}}}]\n"
    write(own_phases, "01-d/01-t", plain)
    start(own_phases, aws)
    write(own_phases, "01-d/01-t", plain + index % "ALL")
    start(own_phases, aws)
    for text in (plain + index % "KEYS_ONLY", plain):
        write(own_phases, "01-d/01-t", text)
        assert Deployment(own_phases, aws).plan().stacks[0].endangered
        with pytest.raises(ProtectedChangeError, match="losing its index I"):
            start(own_phases, aws)
    start(own_phases, aws, allow_replace=(f"{project}-d-t",))
    table = aws.client("dynamodb").describe_table(TableName=f"{project}-t")["Table"]
    assert not table.get("GlobalSecondaryIndexes")


def test_a_table_that_stands_is_never_created_over(
    own_phases: Settings, aws: AwsSession, project: str
) -> None:
    """A table outside of any stack: imported if the template retains it, else an error."""
    dynamodb = aws.client("dynamodb")
    dynamodb.create_table(
        TableName=f"{project}-t",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
    )
    dynamodb.put_item(TableName=f"{project}-t", Item={"k": {"S": "mine"}})
    write(own_phases, "01-d/01-t", TABLE % ("Delete", "k", "k"))
    with pytest.raises(DeployError, match="stands already"):
        start(own_phases, aws)
    write(own_phases, "01-d/01-t", TABLE % ("Retain", "k", "k"))
    start(own_phases, aws)
    assert dynamodb.scan(TableName=f"{project}-t")["Count"] == 1


def test_an_update_never_makes_a_table_over_one_that_stands(
    own_phases: Settings, aws: AwsSession, project: str
) -> None:
    """A stack that stands and gets such a table: refused with every item kept, then adopted."""
    topic, table = TOPIC % "AWS::SNS::Topic", TABLE % ("Retain", "k", "k")
    write(own_phases, "01-d/01-t", table)
    start(own_phases, aws)
    dynamodb = aws.client("dynamodb")
    dynamodb.put_item(TableName=f"{project}-t", Item={"k": {"S": "mine"}})
    write(own_phases, "01-d/01-t", topic)
    start(own_phases, aws, allow_replace=(f"{project}-d-t",))
    write(own_phases, "01-d/01-t", topic + table.partition("Resources:\n")[2])
    with pytest.raises(DeployError, match="stands already"):
        start(own_phases, aws)
    deployment = Deployment(own_phases, aws)
    with deployment.locked():
        deployment.destroy()
    start(own_phases, aws)
    assert dynamodb.scan(TableName=f"{project}-t")["Count"] == 1


def test_a_stacks_own_table_does_not_hinder_its_update(
    own_phases: Settings, aws: AwsSession
) -> None:
    """A table that the template would not retain is the stack's own: something else is added."""
    table, topic = TABLE % ("Delete", "k", "k"), TOPIC % "AWS::SNS::Topic"
    write(own_phases, "01-d/01-t", table)
    start(own_phases, aws)
    write(own_phases, "01-d/01-t", table + topic.partition("Resources:\n")[2])
    assert start(own_phases, aws)[1].changed


def test_a_template_too_large_for_a_request(
    own_phases: Settings, aws: AwsSession, project: str
) -> None:
    """A template of over 51,200 bytes is deployed by way of the backup bucket."""
    shipped = phases_folder(Settings())
    for name in ("01-kms-key", "03-backup-bucket"):
        shutil.copy(shipped / "00-foundation" / f"{name}.yaml", own_phases.phases_dir / "01-d")  # type: ignore[operator]  # the fixture sets it
    text = TOPIC % "AWS::SNS::Topic" + "Metadata: {Ialctl: {DependsOn: [backup-bucket]}}\n"
    write(own_phases, "01-d/04-large", text + f"# {'x' * 52_000}\n")
    _, result = start(own_phases, aws)
    assert result.stacks[-1].state == "done"
    assert not start(own_phases, aws)[0].changes_anything


def make_operations_table(aws: AwsSession, project: str) -> None:
    """The table that leases are taken in, without the rest of a deployment."""
    aws.client("dynamodb").create_table(
        TableName=f"{project}-operations",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    )


@pytest.fixture
def lease(settings: Settings, aws: AwsSession, project: str) -> Iterator[tuple[Lease, Lease]]:
    """Two runs that want the lease of one project, on machines of their own."""
    make_operations_table(aws, project)
    clock = FakeClock()
    owners = (
        dataclasses.replace(this_run(new_id()), host="here"),
        dataclasses.replace(this_run(new_id()), host="there"),
    )
    dynamodb, table = aws.client("dynamodb"), f"{project}-operations"
    first, second = (Lease(dynamodb, table, owner, clock) for owner in owners)
    yield first, second
    first.release()
    second.release()


def test_only_one_holds_the_lease(lease: tuple[Lease, Lease]) -> None:
    """The second is told who holds it and since when; after a release it gets a higher number."""
    first, second = lease
    assert first.acquire()
    with pytest.raises(LockHeldError) as caught:
        second.acquire()
    assert "@here (process" in str(caught.value.fields["owner"])
    assert str(caught.value.fields["since"]).endswith("Z")
    before = first.fence
    first.release()
    assert second.acquire()
    assert second.fence > before


def test_a_lease_that_ran_out_is_taken_over(lease: tuple[Lease, Lease]) -> None:
    """After its time another takes it; the first notices when it next keeps it."""
    first, second = lease
    first.acquire()
    clock: FakeClock = first._clock  # type: ignore[assignment]  # the fixture's own
    clock.advance(100)
    first.keep()
    clock.advance(100)
    with pytest.raises(LockHeldError):
        second.acquire()
    clock.advance(121)  # over the lease's 120 s since it was last kept
    assert second.acquire()
    for _ in range(2):  # every thread that asks is told, not only the first
        with pytest.raises(LockHeldError, match="@there"):
            first.keep()


def test_the_lease_of_a_dead_process_is_taken_over(
    settings: Settings, aws: AwsSession, project: str
) -> None:
    """A run killed on this machine does not keep the next one waiting."""
    make_operations_table(aws, project)
    dynamodb, table = aws.client("dynamodb"), f"{project}-operations"
    dead = dataclasses.replace(this_run(new_id()), pid=2**22 + 1)  # above any process id
    Lease(dynamodb, table, dead, SYSTEM_CLOCK).acquire()
    mine = Lease(dynamodb, table, this_run(new_id()), SYSTEM_CLOCK)
    assert mine.acquire()
    mine.release()


def test_a_lock_file_names_its_owner(tmp_path: Path) -> None:
    """While one holds the file another is refused; afterwards it is free."""
    path, owner = tmp_path / "deep" / "deploy.lock", this_run(new_id())
    with (
        file_lock(path, owner, SYSTEM_CLOCK),
        pytest.raises(LockHeldError, match="process"),
        file_lock(path, owner, SYSTEM_CLOCK),
    ):
        pass
    with file_lock(path, owner, SYSTEM_CLOCK):
        pass
