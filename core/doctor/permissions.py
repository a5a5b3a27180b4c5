"""Which permissions there are, found out by calls that change nothing.

Reads ask for keys that nobody has; writes are conditional on an item that can't exist, and so
can't succeed; what has no condition deletes an item that is not there. AWS refuses who may not
before it looks at what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from core.aws.capacity import TableSchema
from core.aws.session import AwsClient, AwsSession
from core.clock import Clock, Ids
from core.doctor.finding import Finding, ok, trouble, warning
from core.errors import AccessDeniedError, AwsError
from core.memory.active import operations_table
from core.memory.schema import embeddings_schema, history_schema

_AT_ONCE = 4
_SHOWN = 4
For = Literal["engine", "operator"]


@dataclass(frozen=True)
class DryCall:
    """An action, what it acts on, who needs it, and a call of it that changes nothing."""

    action: str
    resource: str
    needed_by: For
    send: Callable[[], object]

    def __str__(self) -> str:
        return f"{self.action} on {self.resource}" if self.resource else self.action


def permission_finding(calls: Sequence[DryCall], project: str) -> Finding:
    """Makes the calls, and says which were refused.

    Raises:
        TargetError: the target can't be asked at all.
    """
    with ThreadPoolExecutor(_AT_ONCE, "permissions") as pool:
        answers = list(zip(calls, pool.map(_refusal, calls), strict=True))
    denied = [call for call, refusal in answers if refusal is not None]
    told = next((refusal for _, refusal in answers if refusal is not None), "")
    if not denied:
        return ok("permissions", f"{len(calls)} dry calls, none refused")
    found = f"refused: {_listed(denied)}"
    if any(call.needed_by == "engine" for call in denied):
        return trouble(
            "permissions",
            found,
            f"The memory can't read or write as it must. {told}",
            f"Attach the policy {project}-runtime to who runs the engine.",
        )
    return warning(
        "permissions",
        found,
        f"The memory works; deploying, backups and this look round do not, or not wholly. {told}",
        f"For these, use a role with the policy {project}-operator.",
    )


def _refusal(call: DryCall) -> str | None:
    """AWS's words for who may not do what, where a call is refused."""
    try:
        call.send()
    except AccessDeniedError as error:
        return error.what
    except AwsError:
        return None  # it was let through, and failed as it was meant to, or found no such table
    return None


def _listed(denied: Sequence[DryCall]) -> str:
    more = f", and {len(denied) - _SHOWN} more" if len(denied) > _SHOWN else ""
    return ", ".join(map(str, denied[:_SHOWN])) + more


def dry_calls(session: AwsSession, project: str, clock: Clock, ids: Ids) -> tuple[DryCall, ...]:
    """The calls of a project; none of them changes anything."""
    nobody = f"doctor-{ids()}"
    return (
        *_of_table(session, history_schema(project), nobody),
        *_of_table(session, embeddings_schema(project), nobody),
        *_of_operations(session, operations_table(project), nobody),
        *_of_services(session, clock),
    )


def _of_table(session: AwsSession, schema: TableSchema, nobody: str) -> Iterator[DryCall]:
    dynamodb, name = session.client("dynamodb"), schema.name
    key = {part: {"S": nobody} for part in schema.keys}
    of_key = _equals(schema.hash_key, nobody)
    exists = _exists(schema.hash_key)

    def call(action: str, needed_by: For, **arguments: Any) -> DryCall:
        return _dry(dynamodb, name, action, needed_by, **arguments)

    own = {"TableName": name}
    yield call("GetItem", "engine", **own, Key=key)
    yield call("Query", "engine", **own, Limit=1, **of_key)
    for index in schema.indexes[:1]:
        of_index = _equals(index.hash_key, nobody)
        made = call("Query", "engine", **own, IndexName=index.name, Limit=1, **of_index)
        yield DryCall(made.action, f"{name}/index/{index.name}", "engine", made.send)
    yield call("BatchGetItem", "engine", RequestItems={name: {"Keys": [key]}})
    yield call("PutItem", "engine", **own, Item=key, **exists)
    yield call("UpdateItem", "engine", **own, Key=key, **exists)
    yield call("DeleteItem", "engine", **own, Key=key, **exists)
    # It takes no condition: it deletes what is not there.
    nothing = {name: [{"DeleteRequest": {"Key": key}}]}
    yield call("BatchWriteItem", "engine", RequestItems=nothing)
    yield call("DescribeTable", "engine", **own)
    yield call("DescribeTimeToLive", "engine", **own)
    yield call("DescribeContinuousBackups", "operator", **own)
    yield call("Scan", "operator", **own, Limit=1)


def _of_operations(session: AwsSession, name: str, nobody: str) -> Iterator[DryCall]:
    dynamodb = session.client("dynamodb")
    key = {"pk": {"S": nobody}, "sk": {"S": nobody}}
    yield _dry(dynamodb, name, "GetItem", "engine", TableName=name, Key=key)
    of_key = _equals("pk", nobody)
    yield _dry(dynamodb, name, "Query", "engine", TableName=name, Limit=1, **of_key)
    exists = _exists("pk")
    yield _dry(dynamodb, name, "UpdateItem", "operator", TableName=name, Key=key, **exists)


def _dry(client: AwsClient, name: str, action: str, needed_by: For, **arguments: Any) -> DryCall:
    operation = getattr(client, _SPELLED[action])
    return DryCall(f"dynamodb:{action}", name, needed_by, lambda: operation(**arguments))


def _of_services(session: AwsSession, clock: Clock) -> Iterator[DryCall]:
    cloudformation = session.client("cloudformation")
    cloudwatch = session.client("cloudwatch")
    now = datetime.fromtimestamp(clock.time(), UTC)
    yield DryCall(
        "cloudformation:DescribeStacks", "", "operator", lambda: cloudformation.describe_stacks()
    )
    yield DryCall(
        "cloudformation:ListExports", "", "operator", lambda: cloudformation.list_exports()
    )
    yield DryCall(
        "cloudwatch:DescribeAlarms",
        "",
        "operator",
        lambda: cloudwatch.describe_alarms(MaxRecords=1),
    )
    yield DryCall(
        "cloudwatch:GetMetricData",
        "",
        "operator",
        lambda: cloudwatch.get_metric_data(
            MetricDataQueries=[
                {
                    "Id": "m1",
                    "MetricStat": {
                        "Metric": {"Namespace": "AWS/DynamoDB", "MetricName": "UserErrors"},
                        "Period": 60,
                        "Stat": "Sum",
                    },
                }
            ],
            StartTime=now,
            EndTime=now,
        ),
    )


_SPELLED = {
    "BatchGetItem": "batch_get_item",
    "BatchWriteItem": "batch_write_item",
    "DeleteItem": "delete_item",
    "DescribeContinuousBackups": "describe_continuous_backups",
    "DescribeTable": "describe_table",
    "DescribeTimeToLive": "describe_time_to_live",
    "GetItem": "get_item",
    "PutItem": "put_item",
    "Query": "query",
    "Scan": "scan",
    "UpdateItem": "update_item",
}


def _equals(name: str, value: str) -> dict[str, Any]:
    return {
        "KeyConditionExpression": "#k = :v",
        "ExpressionAttributeNames": {"#k": name},
        "ExpressionAttributeValues": {":v": {"S": value}},
    }


def _exists(name: str) -> dict[str, Any]:
    """A condition that holds for no item, as there is none with this key."""
    return {
        "ConditionExpression": "attribute_exists(#k)",
        "ExpressionAttributeNames": {"#k": name},
    }
