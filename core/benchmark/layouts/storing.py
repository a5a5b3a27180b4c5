"""What is stored, as DynamoDB bills it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.aws.capacity import TableSchema, index_entry, item_size
from core.aws.codec import WireItem
from core.aws.session import AwsSession

ITEM_OVERHEAD_BYTES = 100
"""Added to each item and each entry of an index where storage is billed."""


@dataclass(frozen=True)
class Stored:
    """Billed bytes of a table's items and of its indexes' entries."""

    items: int
    item_bytes: int
    index_bytes: int


def stored(
    session: AwsSession,
    schema: TableSchema,
    counts: Callable[[WireItem], bool] = lambda _: True,
) -> Stored:
    """Reads a table whole, and adds up those items that count."""
    items = base = indexes = 0
    for item in filter(counts, _scanned(session, schema.name)):
        items += 1
        base += item_size(item) + ITEM_OVERHEAD_BYTES
        entries = (index_entry(item, schema, index) for index in schema.indexes)
        indexes += sum(item_size(e) + ITEM_OVERHEAD_BYTES for e in entries if e is not None)
    return Stored(items, base, indexes)


def _scanned(session: AwsSession, name: str) -> Iterator[WireItem]:
    client = session.dynamodb()
    answer = client.scan(TableName=name)
    yield from answer["Items"]
    while key := answer.get("LastEvaluatedKey"):
        answer = client.scan(TableName=name, ExclusiveStartKey=key)
        yield from answer["Items"]
