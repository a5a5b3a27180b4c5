"""What CreateTable is asked for a table that is known by its schema."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from core.aws.capacity import IndexSchema, TableSchema


def create_arguments(schema: TableSchema, numbers: Collection[str] = ()) -> dict[str, Any]:
    """CreateTable's arguments for a table on demand, with its indexes.

    Key attributes are texts but for `numbers`.
    """
    keyed = {*schema.keys, *(n for i in schema.indexes for n in (i.hash_key, i.range_key) if n)}
    indexes = [
        {"IndexName": i.name, "KeySchema": _keys(i), "Projection": _projection(i)}
        for i in schema.indexes
    ]
    return {
        "TableName": schema.name,
        "KeySchema": _keys(schema),
        "AttributeDefinitions": [
            {"AttributeName": n, "AttributeType": "N" if n in numbers else "S"}
            for n in sorted(keyed)
        ],
        "BillingMode": "PAY_PER_REQUEST",
        # DynamoDB takes no empty list of indexes.
        **({"GlobalSecondaryIndexes": indexes} if indexes else {}),
    }


def _keys(schema: TableSchema | IndexSchema) -> list[dict[str, str]]:
    keys = [{"AttributeName": schema.hash_key, "KeyType": "HASH"}]
    if schema.range_key:
        keys.append({"AttributeName": schema.range_key, "KeyType": "RANGE"})
    return keys


def _projection(index: IndexSchema) -> dict[str, Any]:
    if index.projected == "ALL":
        return {"ProjectionType": "ALL"}
    return {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(index.projected)}
