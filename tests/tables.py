"""Tables for tests, made from their schemas."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from core.aws.capacity import IndexSchema, TableSchema
from core.aws.session import AwsSession
from core.errors import NotFoundError
from tests.waiting import until


def create_table(
    aws: AwsSession, schema: TableSchema, numbers: Sequence[str] = (), vectors: int = 0
) -> None:
    """Makes a table with its indexes; key attributes are text but for `numbers`.

    `vectors` are the dimensions of a vector index; 0 makes none.
    """
    names = {*schema.keys, *(n for i in schema.indexes for n in (i.hash_key, i.range_key) if n)}
    names |= {"user_id"} if vectors else set()
    client = aws.client("dynamodb")
    # DynamoDB takes no empty list of indexes.
    indexes = [
        {"IndexName": i.name, "KeySchema": _keys(i), "Projection": _projection(i)}
        for i in schema.indexes
    ]
    client.create_table(
        TableName=schema.name,
        KeySchema=_keys(schema),
        AttributeDefinitions=[
            {"AttributeName": n, "AttributeType": "N" if n in numbers else "S"}
            for n in sorted(names)
        ],
        BillingMode="PAY_PER_REQUEST",
        **({"GlobalSecondaryIndexes": indexes} if indexes else {}),
        **({"VectorIndexes": [vector_index(vectors)]} if vectors else {}),
    )
    until(lambda: client.describe_table(TableName=schema.name)["Table"]["TableStatus"] == "ACTIVE")


def vector_index(dimensions: int) -> dict[str, Any]:
    """The vector index that the phase deploys."""
    return {
        "IndexName": "VectorIndex",
        "VectorAttribute": {"AttributeName": "vector"},
        "SearchSchema": [{"AttributeName": "user_id", "SearchSchemaElementType": "HASH"}],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
        "Dimensions": dimensions,
        "DistanceFunction": "COSINE",
    }


def delete_table(aws: AwsSession, name: str) -> None:
    """Deletes a table, and waits until it is gone."""
    client = aws.client("dynamodb")
    client.delete_table(TableName=name)
    with contextlib.suppress(NotFoundError):
        until(lambda: not client.describe_table(TableName=name))


def _keys(schema: TableSchema | IndexSchema) -> list[dict[str, str]]:
    keys = [{"AttributeName": schema.hash_key, "KeyType": "HASH"}]
    if schema.range_key:
        keys.append({"AttributeName": schema.range_key, "KeyType": "RANGE"})
    return keys


def _projection(index: IndexSchema) -> dict[str, Any]:
    if index.projected == "ALL":
        return {"ProjectionType": "ALL"}
    return {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(index.projected)}
