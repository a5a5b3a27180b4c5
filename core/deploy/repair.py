"""Sets through the API what an emulator leaves out of a template. Never used on AWS.

There a difference is a failed verification: someone changed the table, or a template is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from core.deploy.client import Client

_Repair = Callable[[Client, str, Mapping[str, Any]], None]


def repair(dynamodb: Client, name: str, aspect: str, properties: Mapping[str, Any]) -> bool:
    """Sets one aspect of a table as its properties say; False where that can't be set."""
    if aspect.startswith("index "):
        return _add_vector_index(dynamodb, name, aspect.removeprefix("index "), properties)
    known = _REPAIRS.get(aspect)
    if known is None:
        return False
    known(dynamodb, name, properties)
    return True


def _ttl(dynamodb: Client, name: str, properties: Mapping[str, Any]) -> None:
    wanted = properties.get("TimeToLiveSpecification") or {}
    dynamodb.update_time_to_live(
        TableName=name,
        TimeToLiveSpecification={
            "Enabled": bool(wanted.get("Enabled", False)),
            "AttributeName": wanted.get("AttributeName", "ttl"),
        },
    )


def _recovery(dynamodb: Client, name: str, properties: Mapping[str, Any]) -> None:
    wanted = properties.get("PointInTimeRecoverySpecification") or {}
    dynamodb.update_continuous_backups(
        TableName=name,
        PointInTimeRecoverySpecification={
            "PointInTimeRecoveryEnabled": bool(wanted.get("PointInTimeRecoveryEnabled", False))
        },
    )


def _encryption(dynamodb: Client, name: str, properties: Mapping[str, Any]) -> None:
    wanted = properties.get("SSESpecification") or {}
    request: dict[str, Any] = {"Enabled": bool(wanted.get("SSEEnabled", False))}
    if isinstance(wanted.get("KMSMasterKeyId"), str):
        request |= {"SSEType": "KMS", "KMSMasterKeyId": wanted["KMSMasterKeyId"]}
    dynamodb.update_table(TableName=name, SSESpecification=request)


def _protection(dynamodb: Client, name: str, properties: Mapping[str, Any]) -> None:
    wanted = bool(properties.get("DeletionProtectionEnabled", False))
    dynamodb.update_table(TableName=name, DeletionProtectionEnabled=wanted)


def _stream(dynamodb: Client, name: str, properties: Mapping[str, Any]) -> None:
    view = (properties.get("StreamSpecification") or {}).get("StreamViewType")
    wanted = {"StreamEnabled": True, "StreamViewType": view} if view else {"StreamEnabled": False}
    dynamodb.update_table(TableName=name, StreamSpecification=wanted)


_REPAIRS: Mapping[str, _Repair] = {
    "time to live": _ttl,
    "point-in-time recovery": _recovery,
    "encryption": _encryption,
    "deletion protection": _protection,
    "stream": _stream,
}


def _add_vector_index(
    dynamodb: Client, table: str, name: str, properties: Mapping[str, Any]
) -> bool:
    wanted = next(
        (i for i in properties.get("VectorIndexes") or () if i["IndexName"] == name), None
    )
    if wanted is None:
        return False
    dynamodb.update_table(
        TableName=table,
        AttributeDefinitions=properties["AttributeDefinitions"],
        VectorIndexUpdates=[{"Create": {**wanted, "Dimensions": int(wanted["Dimensions"])}}],
    )
    return True
