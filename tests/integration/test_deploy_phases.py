"""Deploying the shipped phases on a real endpoint: what is described comes to stand, and stays."""

from __future__ import annotations

import pytest

from core.aws.session import AwsSession
from core.errors import (
    UsageError,
)
from core.memory.index.native import has_vector_index
from core.settings import Settings
from tests.deploying import start

pytestmark = pytest.mark.usefixtures("cloudformation")


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
