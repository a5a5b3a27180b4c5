"""Drift on a real endpoint: what is not as described is told, and put right locally only."""

from __future__ import annotations

import dataclasses

import pytest

from core.aws.session import AwsSession
from core.deploy.service import Deployment
from core.errors import (
    IalError,
)
from core.settings import Settings
from tests.deploying import start

pytestmark = pytest.mark.usefixtures("cloudformation")


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
