"""Reads a table's settings from a target, makes a like table, and puts the settings back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from core.aws.session import AwsClient, AwsSession
from core.backup.table_shape import TableSettings
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import (
    AccessDeniedError,
    AwsError,
    EndpointAnswerError,
    IalError,
    NotFoundError,
)

__all__ = ["TableSettings", "create_table", "put_back", "read_settings", "wait_until_ready"]

Result = TypeVar("Result")

READY_S = 900.0
_POLL_S = (0.05, 5.0)
# AWS keeps its own tags; ours say that a restore is going on, or was.
_TAGS_LEFT_OUT = ("aws:", "ialctl:restor")
_INDEX_FIELDS = (
    *("IndexName", "KeySchema", "Projection", "VectorAttribute", "SearchSchema"),
    *("Dimensions", "DistanceFunction"),
)
_ALARM_FIELDS = (
    *("AlarmName", "AlarmDescription", "ActionsEnabled", "OKActions", "AlarmActions"),
    *("InsufficientDataActions", "MetricName", "Namespace", "Statistic", "ExtendedStatistic"),
    *("Dimensions", "Period", "Unit", "EvaluationPeriods", "DatapointsToAlarm", "Threshold"),
    *("ComparisonOperator", "TreatMissingData", "EvaluateLowSampleCountPercentile", "Metrics"),
    "ThresholdMetricId",
)
_SCALES = (
    "The table's capacity is scaled by rules of Application Auto Scaling, which are not kept: "
    "set them up again after a restore."
)
_NOT_THERE = (AwsError, AccessDeniedError, EndpointAnswerError)


def read_settings(session: AwsSession, table: str) -> TableSettings:
    """Everything about a table but its items. What may not be read of tags and alarms is noted.

    Raises:
        NotFoundError: there is no such table.
    """
    client = session.client("dynamodb")
    about = client.describe_table(TableName=table)["Table"]
    notes: list[str] = []
    tags = _optional(
        "tags could not be read", notes, lambda: dict(_tags(client, about["TableArn"]))
    )
    alarms = _optional("alarms could not be read", notes, lambda: tuple(_alarms(session, table)))
    own = tuple(alarm for alarm in alarms or () if not _is_scaling_s(alarm))
    if alarms and own != alarms:
        notes.append(_SCALES)
    stream = about.get("StreamSpecification") or {}
    return TableSettings(
        name=table,
        arn=str(about["TableArn"]),
        create=_create(session, about),
        stream=str(stream["StreamViewType"]) if stream.get("StreamEnabled") else None,
        ttl=_ttl(client, table),
        recovery_days=_recovery_days(client, table),
        deletion_protection=bool(about.get("DeletionProtectionEnabled", False)),
        tags=tags or {},
        alarms=own,
        notes=tuple(notes),
    )


def create_table(
    session: AwsSession,
    settings: TableSettings,
    new_name: str,
    tags: Mapping[str, str],
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Makes a like table, with its own tags and `tags`, and waits until it can be written.

    Raises:
        AlreadyExistsError: there is a table of that name.
    """
    all_tags = [{"Key": k, "Value": v} for k, v in {**settings.tags, **tags}.items()]
    session.client("dynamodb").create_table(
        TableName=new_name, **settings.create, **({"Tags": all_tags} if all_tags else {})
    )
    wait_until_ready(session, new_name, clock)


def put_back(
    session: AwsSession, settings: TableSettings, new_name: str, clock: Clock = SYSTEM_CLOCK
) -> tuple[str, ...]:
    """Gives a table the settings that CreateTable does not take, and its alarms.

    Does nothing that is done already, so it may be run again.

    Returns:
        What could not be put back, in words.
    """
    client = session.client("dynamodb")
    about = wait_until_ready(session, new_name, clock)
    wanted = settings.renamed(new_name, str(about["TableArn"]))
    notes: list[str] = []
    if wanted.tags:
        tags = [{"Key": key, "Value": value} for key, value in wanted.tags.items()]
        tag = partial(client.tag_resource, ResourceArn=wanted.arn, Tags=tags)
        _optional("tags could not be put back", notes, tag)
    _put_back_ttl(client, wanted)
    _put_back_recovery(client, wanted, clock)
    stream = about.get("StreamSpecification") or {}
    if wanted.stream and not stream.get("StreamEnabled"):
        view = {"StreamEnabled": True, "StreamViewType": wanted.stream}
        client.update_table(TableName=new_name, StreamSpecification=view)
        wait_until_ready(session, new_name, clock)
    if wanted.deletion_protection and not about.get("DeletionProtectionEnabled"):
        client.update_table(TableName=new_name, DeletionProtectionEnabled=True)
        wait_until_ready(session, new_name, clock)
    for alarm in wanted.alarms:
        put = partial(session.client("cloudwatch").put_metric_alarm, **alarm)
        _optional("alarms could not be put back", notes, put)
    return tuple(dict.fromkeys(notes))


def wait_until_ready(
    session: AwsSession, table: str, clock: Clock = SYSTEM_CLOCK
) -> Mapping[str, Any]:
    """Waits until a table and its indexes are active; answers its description.

    Raises:
        IalError: it takes more than `READY_S` seconds.
    """
    client = session.client("dynamodb")
    end = clock.monotonic() + READY_S
    delay_s, longest_s = _POLL_S
    while True:
        about: Mapping[str, Any] = client.describe_table(TableName=table)["Table"]
        if _ready(about):
            return about
        if clock.monotonic() > end:
            raise IalError(
                f"The table '{table}' is still {about.get('TableStatus')} after "
                f"{READY_S / 60:.0f} minutes.",
                "Run the same command again: it goes on from there.",
                table=table,
            )
        clock.sleep(delay_s)
        delay_s = min(delay_s * 2, longest_s)


def _ready(about: Mapping[str, Any]) -> bool:
    indexes = [*(about.get("GlobalSecondaryIndexes") or ()), *(about.get("VectorIndexes") or ())]
    return about.get("TableStatus") == "ACTIVE" and all(
        index.get("IndexStatus", "ACTIVE") == "ACTIVE" and not index.get("Backfilling")
        for index in indexes
    )


def _create(session: AwsSession, about: Mapping[str, Any]) -> dict[str, Any]:
    on_demand = (about.get("BillingModeSummary") or {}).get("BillingMode") == "PAY_PER_REQUEST"
    made: dict[str, Any] = {
        "AttributeDefinitions": sorted(
            about["AttributeDefinitions"], key=lambda d: str(d["AttributeName"])
        ),
        "KeySchema": list(about["KeySchema"]),
        "BillingMode": "PAY_PER_REQUEST" if on_demand else "PROVISIONED",
        **_throughput(about, on_demand),
    }
    for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes", "VectorIndexes"):
        if indexes := about.get(kind):
            global_ = kind == "GlobalSecondaryIndexes"
            made[kind] = sorted(
                (_index(i, _throughput(i, on_demand) if global_ else {}) for i in indexes),
                key=lambda i: str(i["IndexName"]),
            )
    table_class = (about.get("TableClassSummary") or {}).get("TableClass", "STANDARD")
    if table_class != "STANDARD":
        made["TableClass"] = table_class
    if encryption := _encryption(session, about.get("SSEDescription") or {}):
        made["SSESpecification"] = encryption
    return made


def _index(about: Mapping[str, Any], throughput: Mapping[str, Any]) -> dict[str, Any]:
    index = {field: about[field] for field in _INDEX_FIELDS if about.get(field) is not None}
    projection = dict(index["Projection"])
    if projection.get("NonKeyAttributes"):
        projection["NonKeyAttributes"] = sorted(projection["NonKeyAttributes"])
    return {**index, "Projection": projection, **throughput}


def _throughput(about: Mapping[str, Any], on_demand: bool) -> dict[str, Any]:
    if on_demand:
        limits = about.get("OnDemandThroughput") or {}
        # -1: no limit.
        set_ = {name: value for name, value in limits.items() if int(value) > 0}
        return {"OnDemandThroughput": set_} if set_ else {}
    found = about.get("ProvisionedThroughput") or {}
    units = ("ReadCapacityUnits", "WriteCapacityUnits")
    if not all(int(found.get(unit, 0)) > 0 for unit in units):
        return {}
    return {"ProvisionedThroughput": {unit: int(found[unit]) for unit in units}}


def _encryption(session: AwsSession, found: Mapping[str, Any]) -> dict[str, Any]:
    if found.get("Status") not in ("ENABLED", "ENABLING", "UPDATING"):
        return {}
    key = found.get("KMSMasterKeyArn")
    if not key or _is_aws_s_own(session, str(key)):
        return {"Enabled": True, "SSEType": "KMS"}
    return {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": str(key)}


def _is_aws_s_own(session: AwsSession, key: str) -> bool:
    try:
        about = session.client("kms").describe_key(KeyId=key)["KeyMetadata"]
    except _NOT_THERE:
        return False
    return bool(about.get("KeyManager") == "AWS")


def _ttl(client: AwsClient, table: str) -> str | None:
    answer = _if_known(lambda: client.describe_time_to_live(TableName=table))
    found = answer.get("TimeToLiveDescription") or {}
    on = found.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    return str(found["AttributeName"]) if on else None


def _recovery_days(client: AwsClient, table: str) -> int | None:
    answer = _if_known(lambda: client.describe_continuous_backups(TableName=table))
    about = answer.get("ContinuousBackupsDescription") or {}
    found = about.get("PointInTimeRecoveryDescription") or {}
    if found.get("PointInTimeRecoveryStatus") != "ENABLED":
        return None
    return int(found.get("RecoveryPeriodInDays") or 35)


def _if_known(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The answer; an empty one from an endpoint of another make that has no such operation."""
    try:
        return call()
    except AwsError as error:
        if error.code != "UnknownOperationException":
            raise
        return {}


def _tags(client: AwsClient, arn: str) -> Iterator[tuple[str, str]]:
    more: dict[str, Any] = {}
    while True:
        page = client.list_tags_of_resource(ResourceArn=arn, **more)
        for tag in page.get("Tags") or ():
            if not tag["Key"].startswith(_TAGS_LEFT_OUT):
                yield str(tag["Key"]), str(tag["Value"])
        if not page.get("NextToken"):
            return
        more = {"NextToken": page["NextToken"]}


def _alarms(session: AwsSession, table: str) -> Iterator[Mapping[str, Any]]:
    client = session.client("cloudwatch")
    more: dict[str, Any] = {}
    while True:
        page = client.describe_alarms(AlarmTypes=["MetricAlarm"], **more)
        for alarm in page.get("MetricAlarms") or ():
            if table in set(_watched(alarm)):
                yield {name: alarm[name] for name in _ALARM_FIELDS if _says(alarm.get(name))}
        if not page.get("NextToken"):
            return
        more = {"NextToken": page["NextToken"]}


def _is_scaling_s(alarm: Mapping[str, Any]) -> bool:
    # Auto scaling makes these itself. A copy of one would change the old table's capacity.
    return str(alarm["AlarmName"]).startswith("TargetTracking-")


def _says(value: object) -> bool:
    return value is not None and value not in ("", [], {})


def _watched(alarm: Mapping[str, Any]) -> Iterator[str]:
    metrics = [(m.get("MetricStat") or {}).get("Metric") or {} for m in alarm.get("Metrics") or ()]
    for metric in (alarm, *metrics):
        for dimension in metric.get("Dimensions") or ():
            if dimension.get("Name") == "TableName":
                yield str(dimension.get("Value"))


def _put_back_ttl(client: AwsClient, wanted: TableSettings) -> None:
    # Enabling it twice is an error of DynamoDB's.
    if wanted.ttl and _ttl(client, wanted.name) != wanted.ttl:
        client.update_time_to_live(
            TableName=wanted.name,
            TimeToLiveSpecification={"Enabled": True, "AttributeName": wanted.ttl},
        )


def _put_back_recovery(client: AwsClient, wanted: TableSettings, clock: Clock) -> None:
    days = wanted.recovery_days
    if days is None or _recovery_days(client, wanted.name) == days:
        return
    wish: dict[str, Any] = {"PointInTimeRecoveryEnabled": True}
    if days != 35:
        wish["RecoveryPeriodInDays"] = days
    end = clock.monotonic() + 120
    while True:
        try:
            client.update_continuous_backups(
                TableName=wanted.name, PointInTimeRecoverySpecification=wish
            )
        except AwsError as error:
            # A new table has no backups to continue for its first seconds.
            if error.code != "ContinuousBackupsUnavailableException" or clock.monotonic() > end:
                raise
            clock.sleep(2.0)
        else:
            return


def _optional(what: str, notes: list[str], call: Callable[[], Result]) -> Result | None:
    try:
        return call()
    except NotFoundError:
        raise
    except _NOT_THERE as error:
        notes.append(f"The {what}: {error.what}")
        return None
