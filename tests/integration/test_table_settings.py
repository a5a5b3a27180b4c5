"""A table's settings are read, and a table made from them is the same but for its name."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from core.aws.session import AwsSession
from core.backup.table_settings import TableSettings, create_table, put_back, read_settings
from core.errors import AccessDeniedError, DamagedError, NotFoundError
from core.transfer.lines import Keys
from tests.tables import vector_index

THROUGHPUT = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 7}


def rich_table(aws: AwsSession, name: str, *, provisioned: bool) -> None:
    """A table with one of everything that a table may have."""
    client = aws.client("dynamodb")
    throughput = {"ProvisionedThroughput": THROUGHPUT} if provisioned else {}
    keys = [("pk", "HASH"), ("sk", "RANGE")]
    billing: dict[str, Any] = {"BillingMode": "PAY_PER_REQUEST"} | (
        {} if provisioned else {"VectorIndexes": [vector_index(4)]}
    )
    if provisioned:
        billing = {"BillingMode": "PROVISIONED", **throughput, "TableClass": "STANDARD"}
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": n, "KeyType": k} for n, k in keys],
        AttributeDefinitions=[
            {"AttributeName": n, "AttributeType": t}
            for n, t in {
                "pk": "S",
                "sk": "N",
                "at": "N",
                "g": "B",
                **({} if provisioned else {"user_id": "S"}),
            }.items()
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "ByG",
                "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["z", "a"]},
                **throughput,
            }
        ],
        LocalSecondaryIndexes=[
            {
                "IndexName": "ByAt",
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        Tags=[{"Key": "team", "Value": "memory"}, {"Key": "ialctl:restored", "Value": "x"}],
        DeletionProtectionEnabled=True,
        **billing,
    )
    client.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"}
    )
    client.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )


def put_alarms(aws: AwsSession, table: str) -> None:
    """Two alarms on the table, one not named after it, and one on another table."""
    arn = aws.client("dynamodb").describe_table(TableName=table)["Table"]["TableArn"]
    metric = {"Namespace": "AWS/DynamoDB", "MetricName": "WriteThrottleEvents"}
    shared = {
        "EvaluationPeriods": 1,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    here = [{"Name": "TableName", "Value": table}]
    elsewhere = [{"Name": "TableName", "Value": f"{table}-v2"}]
    client = aws.client("cloudwatch")
    plain = {**metric, "Statistic": "Sum", "Period": 60, **shared}
    client.put_metric_alarm(
        AlarmName=f"{table}-throttled", Dimensions=here, AlarmActions=[arn], **plain
    )
    client.put_metric_alarm(AlarmName=f"{table}-v2-throttled", Dimensions=elsewhere, **plain)
    client.put_metric_alarm(AlarmName=f"q{table[2:]}", Dimensions=here, **plain)


@pytest.mark.parametrize("provisioned", [True, False])
def test_a_table_made_again_is_the_same(aws: AwsSession, project: str, provisioned: bool) -> None:
    """All that a table had, a table of another name has; only names and ARNs follow."""
    old, new = f"{project}-t", f"{project}-t-restored"
    rich_table(aws, old, provisioned=provisioned)
    put_alarms(aws, old)
    read = read_settings(aws, old)
    kept = TableSettings.from_json(orjson.loads(orjson.dumps(read.to_json())))
    assert kept == read
    assert read.keys == Keys((("pk", "S"), ("sk", "N")))
    assert read.write_units == (7.0 if provisioned else None)
    assert len(read.alarms) == 2
    assert read.tags == {"team": "memory"}
    assert read.notes == ()

    create_table(aws, kept, new, {"ialctl:restoring": "set"})
    before = read_settings(aws, new)
    assert (before.stream, before.ttl, before.deletion_protection) == (None, None, False)
    assert read.differences(before) != ()
    for _ in range(2):  # the second time nothing is left to do
        assert put_back(aws, kept, new) == ()
        again = read_settings(aws, new)
        assert read.differences(again) == ()
        assert again == read.renamed(new, again.arn)
    names = {alarm["AlarmName"] for alarm in again.alarms}
    assert names == {f"{new}-throttled", f"q{project[2:]}-t-{new}"}
    action = next(a["AlarmActions"] for a in again.alarms if a.get("AlarmActions"))
    assert action == [again.arn]
    assert len(read_settings(aws, old).alarms) == 2


def test_a_plain_table_has_plain_settings(aws: AwsSession, project: str) -> None:
    """What a table does not have, its settings do not have, and nothing is put back."""
    create = {
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "B"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    aws.client("dynamodb").create_table(TableName=f"{project}-p", **create)
    read = read_settings(aws, f"{project}-p")
    assert read.create == create
    assert read == TableSettings(read.name, read.arn, create)
    create_table(aws, read, f"{project}-q", {})
    assert put_back(aws, read, f"{project}-q") == ()
    assert read.differences(read_settings(aws, f"{project}-q")) == ()


def test_alarms_over_metric_queries_follow_the_name() -> None:
    """Names and ARNs of the table are changed wherever they stand in an alarm, and no others."""
    old, new = "arn:aws:dynamodb:r:1:table/t", "arn:aws:dynamodb:r:1:table/t-2"

    def alarm(name: str, table: str, arn: str) -> dict[str, Any]:
        metric = {
            "Dimensions": [{"Name": "TableName", "Value": table}, {"Name": "O", "Value": "x"}]
        }
        queries = [{"Id": "m1", "MetricStat": {"Metric": metric, "Stat": "Sum", "Period": 60}}]
        actions = [arn, f"{arn}/index/I", f"{old}s", "arn:aws:sns:r:1:topic"]
        return {"AlarmName": name, "Metrics": queries, "AlarmActions": actions}

    kept = TableSettings("t", old, {}, alarms=(alarm("t-high", "t", old),))
    assert kept.renamed("t-2", new).alarms == (alarm("t-2-high", "t-2", new),)
    assert kept.renamed("t", old) == kept


def test_differences_are_told_in_words(aws: AwsSession, project: str) -> None:
    """What is otherwise on the other table is named, with both values."""
    rich_table(aws, f"{project}-t", provisioned=False)
    read = read_settings(aws, f"{project}-t")
    aws.client("dynamodb").update_time_to_live(
        TableName=f"{project}-t",
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "ttl"},
    )
    (told,) = read.differences(read_settings(aws, f"{project}-t"))
    assert told == "ttl: 'ttl' in the backup, none there"


def test_alarms_of_auto_scaling_are_left_out_and_said(aws: AwsSession, project: str) -> None:
    """A copy of such an alarm would scale the old table; that rules are missing is noted."""
    table = f"{project}-t"
    rich_table(aws, table, provisioned=True)
    aws.client("cloudwatch").put_metric_alarm(
        AlarmName=f"TargetTracking-table/{table}-AlarmHigh-1",
        Namespace="AWS/DynamoDB",
        MetricName="ConsumedReadCapacityUnits",
        Dimensions=[{"Name": "TableName", "Value": table}],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=2,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    read = read_settings(aws, table)
    assert read.alarms == ()
    assert "Auto Scaling" in read.notes[0]


def test_a_table_that_is_not_there_is_told(aws: AwsSession, project: str) -> None:
    """Settings of no table are an error of their own kind."""
    with pytest.raises(NotFoundError):
        read_settings(aws, f"{project}-none")


def test_what_may_not_be_read_is_noted(
    aws: AwsSession, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the right to see alarms, the rest is read all the same, and the lack is said."""
    rich_table(aws, f"{project}-t", provisioned=False)

    def refuse(**_: Any) -> None:
        raise AccessDeniedError("These credentials may not call DescribeAlarms.")

    monkeypatch.setattr(aws.client("cloudwatch"), "describe_alarms", refuse, raising=False)
    read = read_settings(aws, f"{project}-t")
    assert read.stream == "NEW_AND_OLD_IMAGES"
    assert read.notes == (
        "The alarms could not be read: These credentials may not call DescribeAlarms.",
    )


@pytest.mark.parametrize(
    "spoilt",
    [
        {"name": 1},
        {"create": {}},
        {"create": {"KeySchema": [], "AttributeDefinitions": []}},
        {"create": {"KeySchema": [{"AttributeName": "x", "KeyType": "HASH"}]}},
        {"tags": {"a": 1}},
        {"alarms": [1]},
        {"alarms": [{}]},
        {"more": 1},
        {"deletion_protection": "no"},
    ],
)
def test_damaged_settings_are_told_as_such(spoilt: dict[str, Any]) -> None:
    """JSON that is not a table's settings is damage, whatever it holds."""
    create = {
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    }
    good = TableSettings("t", "arn", create).to_json()
    assert TableSettings.from_json(good).name == "t"
    with pytest.raises(DamagedError, match="settings of a table are damaged"):
        TableSettings.from_json({**good, **spoilt})
    with pytest.raises(DamagedError, match="settings of a table are damaged"):
        TableSettings.from_json([])
