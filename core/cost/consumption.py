"""What a deployment consumed by CloudWatch, and what stands in its tables: measured, not modelled.

Sums of `ConsumedReadCapacityUnits` and `ConsumedWriteCapacityUnits` of namespace `AWS/DynamoDB`:
a table's by its name, an index's by both names. Sizes are those of DescribeTable, up to six hours
old, and 100 bytes for each item, which are billed and not counted there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from core.errors import NotFoundError

MOST_DAYS = 60
_HOUR_S = 3600
_ITEM_BYTES = 100


class Client(Protocol):
    """What this needs of an AWS client: `AwsSession.client(...)`."""

    def __getattr__(self, name: str, /) -> Callable[..., dict[str, Any]]:
        """The operation called `name`."""


@dataclass(frozen=True)
class Place:
    """A table of a layout; `searched` where it holds vectors and search index."""

    table: str
    layout: str
    searched: bool = False


@dataclass(frozen=True)
class PlaceUse:
    """What a table, or an index of it, consumed during `hours`, and how large it is, as billed.

    `read_capacity` and `write_capacity` are what is provisioned, 0 on demand.
    """

    place: Place
    index: str | None
    hours: float
    read_units: float
    write_units: float
    stored_bytes: float
    recovery: bool = False
    infrequent: bool = False
    read_capacity: float = 0.0
    write_capacity: float = 0.0


def measure(
    dynamodb: Client, cloudwatch: Client, places: Sequence[Place], days: int, now_s: float
) -> tuple[PlaceUse, ...]:
    """What stands of `places` and their indexes, and what they consumed in the last `days`.

    A table that is younger counts for the hours since it was made. What does not stand is left
    out. At most 60 days, for which CloudWatch answers by the hour.

    Raises:
        AwsError, TargetError: the services can't be asked.
    """
    found = []
    for place in places:
        try:
            table = dynamodb.describe_table(TableName=place.table)["Table"]
        except NotFoundError:
            continue
        hours = _hours(table, days, now_s)
        for index in (None, *(table.get("GlobalSecondaryIndexes") or ())):
            name = None if index is None else str(index["IndexName"])
            units = _sums(cloudwatch, place.table, name, hours, now_s)
            recovers = index is None and _recovers(dynamodb, place.table)
            found.append(_use(place, table, index, hours, units, recovers))
    return tuple(found)


def _use(
    place: Place,
    table: Mapping[str, Any],
    index: Mapping[str, Any] | None,
    hours: float,
    units: tuple[float, float],
    recovers: bool,
) -> PlaceUse:
    about = table if index is None else index
    given = about.get("ProvisionedThroughput") or {}
    table_class = (table.get("TableClassSummary") or {}).get("TableClass")
    return PlaceUse(
        place,
        None if index is None else str(index["IndexName"]),
        hours,
        *units,
        stored_bytes=_size(about, "TableSizeBytes" if index is None else "IndexSizeBytes"),
        recovery=recovers,
        infrequent=table_class == "STANDARD_INFREQUENT_ACCESS",
        read_capacity=float(given.get("ReadCapacityUnits") or 0),
        write_capacity=float(given.get("WriteCapacityUnits") or 0),
    )


def _hours(table: Mapping[str, Any], days: int, now_s: float) -> float:
    made = table.get("CreationDateTime")
    wanted = days * 24.0
    if not isinstance(made, datetime):
        return wanted
    return min(wanted, max(1.0, (now_s - made.timestamp()) / _HOUR_S))


def _size(about: Mapping[str, Any], name: str) -> float:
    return float(about.get(name) or 0) + _ITEM_BYTES * float(about.get("ItemCount") or 0)


def _recovers(dynamodb: Client, table: str) -> bool:
    answer = dynamodb.describe_continuous_backups(TableName=table)
    recovery = answer.get("ContinuousBackupsDescription", {}).get(
        "PointInTimeRecoveryDescription", {}
    )
    return bool(recovery.get("PointInTimeRecoveryStatus") == "ENABLED")


def _sums(
    cloudwatch: Client, table: str, index: str | None, hours: float, now_s: float
) -> tuple[float, float]:
    dimensions = [{"Name": "TableName", "Value": table}]
    if index is not None:
        dimensions.append({"Name": "GlobalSecondaryIndexName", "Value": index})
    read, write = (
        sum(
            float(point["Sum"])
            for point in cloudwatch.get_metric_statistics(
                Namespace="AWS/DynamoDB",
                MetricName=f"Consumed{kind}CapacityUnits",
                Dimensions=dimensions,
                StartTime=datetime.fromtimestamp(now_s - hours * _HOUR_S, UTC),
                EndTime=datetime.fromtimestamp(now_s, UTC),
                Period=_HOUR_S,
                Statistics=["Sum"],
            )["Datapoints"]
        )
        for kind in ("Read", "Write")
    )
    return read, write
