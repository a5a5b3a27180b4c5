"""Tables for tests, made from their schemas."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from core.aws.capacity import TableSchema
from core.aws.creating import create_arguments
from core.aws.session import AwsSession
from core.errors import NotFoundError
from tests.waiting import until


def create_table(
    aws: AwsSession, schema: TableSchema, numbers: Sequence[str] = (), vectors: int = 0
) -> None:
    """Makes a table with its indexes; key attributes are text but for `numbers`.

    `vectors` are the dimensions of a vector index; 0 makes none.
    """
    client = aws.client("dynamodb")
    arguments = create_arguments(schema, numbers)
    if vectors:
        arguments["VectorIndexes"] = [vector_index(vectors)]
        user = {"AttributeName": "user_id", "AttributeType": "S"}
        if user not in arguments["AttributeDefinitions"]:
            arguments["AttributeDefinitions"].append(user)
    client.create_table(**arguments)
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
