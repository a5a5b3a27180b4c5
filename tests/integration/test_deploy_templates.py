"""Deploying templates of one's own on a real endpoint: what would lose data is refused."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from core.aws.session import AwsSession
from core.deploy.phases import phases_folder
from core.deploy.progress import Progress
from core.deploy.service import Deployment
from core.errors import (
    DeployError,
    ProtectedChangeError,
    StackFailedError,
)
from core.settings import Settings
from tests.deploying import start

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
