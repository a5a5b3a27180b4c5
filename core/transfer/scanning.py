"""A whole table, page by page, within a budget of read units.

Each segment of a parallel scan is read by itself and may be read again. What a page took is the
service's own figure on AWS; elsewhere it is computed from the items' sizes, by DynamoDB's rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from core.aws.capacity import READ_UNIT_BYTES, item_size, page_units
from core.aws.codec import WireItem
from core.aws.session import AwsClient, AwsSession
from core.aws.wire import WireClient
from core.clock import Clock
from core.transfer.budget import Budget
from core.transfer.patience import Patience, Stop

_FIRST_ITEM_BYTES = 1024
_FIRST_ITEM_VALUES = 500
_PAGE_UNITS = 256.0
"""A page of 1 MB, read consistently."""
_PAGE_BYTES = 1024 * 1024
_PAGE_VALUES = 25_000
"""Numbers and texts in memory take 250 bytes each, however short: a page of vectors 40 MB."""
_SAMPLE = 20


@dataclass(frozen=True)
class ScanPage:
    """Items of a page, their sizes as they are billed for reads (bytes), and its read units.

    `after` is the key that the next page begins after (None: there is none).
    """

    items: list[WireItem]
    bytes: int
    read_units: float
    after: WireItem | None = None


class Scanner:
    """Reads the segments of one table. Thread-safe."""

    def __init__(
        self,
        session: AwsSession,
        table: str,
        budget: Budget,
        clock: Clock,
        *,
        consistent: bool = False,
        stop: Stop = lambda: False,
        most_items: int | None = None,
    ) -> None:
        """`consistent` reads strongly, for twice the units; a page has `most_items` at most."""
        self._most_items = most_items
        self._client: AwsClient | WireClient = session.bulk_dynamodb()
        self._metered = session.endpoint_url is None
        self._table = table
        self._budget = budget
        self._clock = clock
        self._consistent = consistent
        self._patience = Patience(table, session.where, budget, clock, stop)
        self._item_bytes = float(_FIRST_ITEM_BYTES)
        self._item_values = float(_FIRST_ITEM_VALUES)

    def pages(
        self, segment: int, segments: int, start: WireItem | None = None
    ) -> Iterator[ScanPage]:
        """The pages of one segment; each is emptied when the next one is asked for.

        The first one begins after the key `start`.

        Raises:
            NotFoundError: the table is not there (any more).
            ThrottledError: it throttled for ten minutes without a page between.
            InterruptedRunError: `stop` says so; raised between pages.
        """
        request: dict[str, Any] = {
            "TableName": self._table,
            "ConsistentRead": self._consistent,
            "Segment": segment,
            "TotalSegments": segments,
        }
        if start is not None:
            request["ExclusiveStartKey"] = start
        if self._metered:
            request["ReturnConsumedCapacity"] = "TOTAL"
        while True:
            asked = {**request, **self._limit()}
            answer = self._patience(partial(self._client.scan, **asked), self._clock.monotonic())
            page = self._page(answer)
            after = page.after
            del answer
            yield page
            # A page of many small attributes takes fifty times its size: never two at once.
            page.items.clear()
            self._budget.spend(page.read_units)
            if after is None:
                return
            request["ExclusiveStartKey"] = after

    def _limit(self) -> dict[str, int]:
        """Not more in a page than a second's budget, nor than memory has room for."""
        most = _PAGE_VALUES / self._item_values
        if self._most_items is not None:
            most = min(most, self._most_items)
        rate = self._budget.rate
        if rate is not None and rate < _PAGE_UNITS:
            unit_bytes = READ_UNIT_BYTES * (1 if self._consistent else 2)
            most = min(most, rate * unit_bytes / self._item_bytes)
        return {"Limit": max(1, int(most))} if most * self._item_bytes < _PAGE_BYTES else {}

    def _page(self, answer: dict[str, Any]) -> ScanPage:
        items = answer["Items"]
        sizes = [item_size(item) for item in items]
        total = sum(sizes)
        if items:
            self._item_bytes = max(1.0, total / len(items))
            seen = items[:_SAMPLE]
            self._item_values = max(1.0, sum(map(_values, seen)) / len(seen))
        units = (
            float(answer["ConsumedCapacity"]["CapacityUnits"])
            if self._metered
            else page_units(sizes, consistent=self._consistent)
        )
        return ScanPage(items, total, units, answer.get("LastEvaluatedKey"))


def _values(item: WireItem) -> int:
    """How many values an item consists of, about: what is nested deeper is not counted."""
    held = (inner for value in item.values() for inner in value.values())
    return len(item) + sum(len(inner) for inner in held if isinstance(inner, list | dict))
