"""What a table should be, by its template, against what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.deploy.client import Client
from core.deploy.progress import Backoff, Pacer
from core.deploy.resolve import Unknown
from core.errors import DifferenceError, NotFoundError

READY_S = 600.0


@dataclass(frozen=True)
class Difference:
    """Something is not as its template says."""

    stack: str
    resource: str
    aspect: str
    expected: str
    found: str


@dataclass(frozen=True)
class Table:
    """What three calls tell of a table."""

    description: Mapping[str, Any]
    ttl: Mapping[str, Any]
    recovery: Mapping[str, Any]


def read_table(dynamodb: Client, name: str) -> Table | None:
    """Reads a table, or None where there is none."""
    try:
        description = dynamodb.describe_table(TableName=name)["Table"]
        ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        backups = dynamodb.describe_continuous_backups(TableName=name)
    except NotFoundError:
        return None
    recovery = backups["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription") or {}
    return Table(description, ttl, recovery)


def wait_until_ready(dynamodb: Client, name: str, pacer: Pacer) -> None:
    """Waits until the table and all its indexes are active, and none is filled any more.

    CloudFormation does not wait for an index to be filled.

    Raises:
        DifferenceError: it takes more than `READY_S`.
    """
    end = pacer.clock.monotonic() + READY_S
    delay = Backoff(longest_s=2.0)
    while not _ready(dynamodb.describe_table(TableName=name)["Table"]):
        if pacer.clock.monotonic() > end:
            raise DifferenceError(
                f"The table '{name}' or an index of it is still not active.",
                "Look at it in a while: `ialctl status`.",
                table=name,
            )
        pacer.pause(delay())


def _ready(description: Mapping[str, Any]) -> bool:
    indexes = [
        *(description.get("GlobalSecondaryIndexes") or ()),
        *(description.get("VectorIndexes") or ()),
    ]
    return description.get("TableStatus") == "ACTIVE" and all(
        index.get("IndexStatus", "ACTIVE") == "ACTIVE" and not index.get("Backfilling")
        for index in indexes
    )


Aspect = tuple[str, Any, Any]
"""Which aspect, what the template says, what is found."""


def compare(properties: Mapping[str, Any], table: Table) -> Iterator[Aspect]:
    """Every aspect in which a table differs from its (resolved) properties."""
    for aspect, expected, found in _aspects(properties, table):
        if expected != found:
            yield aspect, expected, found


def compare_indexes(properties: Mapping[str, Any], table: Table) -> Iterator[Aspect]:
    """Every index in which a table differs from its (resolved) properties; None where absent."""
    for aspect, expected, found in _all_indexes(properties, table.description):
        if expected != found:
            yield aspect, expected, found


def _all_indexes(properties: Mapping[str, Any], about: Mapping[str, Any]) -> Iterator[Aspect]:
    for name in ("GlobalSecondaryIndexes", "VectorIndexes"):
        yield from _indexes(name, properties.get(name) or [], about.get(name) or [])


def _aspects(properties: Mapping[str, Any], table: Table) -> Iterator[Aspect]:
    about = table.description
    yield "keys", _keys(properties["KeySchema"]), _keys(about["KeySchema"])
    yield (
        "attribute types",
        _types(properties["AttributeDefinitions"]),
        # An index made later may have brought attributes that the template leaves out.
        {
            name: kind
            for name, kind in _types(about.get("AttributeDefinitions") or []).items()
            if name in _types(properties["AttributeDefinitions"])
        },
    )
    yield from _all_indexes(properties, about)
    yield "time to live", _wanted_ttl(properties), _found_ttl(table.ttl)
    yield "stream", _wanted_stream(properties), _found_stream(about)
    yield (
        "point-in-time recovery",
        _wanted_recovery(properties),
        table.recovery.get("PointInTimeRecoveryStatus") == "ENABLED",
    )
    yield (
        "deletion protection",
        properties.get("DeletionProtectionEnabled", False),
        about.get("DeletionProtectionEnabled", False),
    )
    yield "encryption", *_encryption(properties, about)


def _keys(schema: list[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(f"{k['AttributeName']} {k['KeyType']}" for k in schema)


def _types(definitions: list[Mapping[str, Any]]) -> dict[str, str]:
    return {str(d["AttributeName"]): str(d["AttributeType"]) for d in definitions}


def _indexes(
    kind: str, wanted: list[Mapping[str, Any]], found: list[Mapping[str, Any]]
) -> Iterator[Aspect]:
    describe: Callable[[Mapping[str, Any]], Any] = (
        _secondary_index if kind == "GlobalSecondaryIndexes" else _vector_index
    )
    expected = {str(index["IndexName"]): describe(index) for index in wanted}
    actual = {str(index["IndexName"]): describe(index) for index in found}
    for name in sorted(expected.keys() | actual.keys()):
        yield f"index {name}", expected.get(name), actual.get(name)


def _projection(index: Mapping[str, Any]) -> tuple[Any, ...]:
    projection = index.get("Projection") or {}
    return projection.get("ProjectionType"), tuple(sorted(projection.get("NonKeyAttributes") or ()))


def _secondary_index(index: Mapping[str, Any]) -> Any:
    return _keys(index["KeySchema"]), _projection(index)


def _vector_index(index: Mapping[str, Any]) -> Any:
    search = sorted(
        (e["AttributeName"], e["SearchSchemaElementType"]) for e in index.get("SearchSchema") or ()
    )
    return (
        index["VectorAttribute"]["AttributeName"],
        tuple(search),
        int(index["Dimensions"]),
        index["DistanceFunction"],
        _projection(index),
    )


def _wanted_ttl(properties: Mapping[str, Any]) -> str | None:
    wanted = properties.get("TimeToLiveSpecification") or {}
    return str(wanted["AttributeName"]) if wanted.get("Enabled") else None


def _found_ttl(ttl: Mapping[str, Any]) -> str | None:
    on = ttl.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    return str(ttl.get("AttributeName")) if on else None


def _wanted_stream(properties: Mapping[str, Any]) -> str | None:
    return (properties.get("StreamSpecification") or {}).get("StreamViewType")


def _found_stream(about: Mapping[str, Any]) -> str | None:
    found = about.get("StreamSpecification") or {}
    return found.get("StreamViewType") if found.get("StreamEnabled") else None


def _wanted_recovery(properties: Mapping[str, Any]) -> bool:
    wanted = properties.get("PointInTimeRecoverySpecification") or {}
    return bool(wanted.get("PointInTimeRecoveryEnabled", False))


def _encryption(properties: Mapping[str, Any], about: Mapping[str, Any]) -> tuple[str, str]:
    wanted = properties.get("SSESpecification") or {}
    found = about.get("SSEDescription") or {}
    on = found.get("Status") in ("ENABLED", "ENABLING", "UPDATING")
    found_key = str(found.get("KMSMasterKeyArn", "")) if on else "none"
    if not wanted.get("SSEEnabled"):
        return "none", found_key
    key = wanted.get("KMSMasterKeyId")
    if key is None or isinstance(key, Unknown):
        return ("any key", "any key" if on else "none")
    return str(key), found_key
