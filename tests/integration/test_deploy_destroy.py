"""Destroying on a real endpoint: data stays unless it is asked for, and others' always."""

from __future__ import annotations

import dataclasses

import pytest

from core.aws.session import AwsSession
from core.deploy.service import Deployment
from core.errors import (
    NotFoundError,
)
from core.settings import Settings
from tests.deploying import start

pytestmark = pytest.mark.usefixtures("cloudformation")


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
