"""What the adapter makes of partial answers and of the service's own figures."""

from __future__ import annotations

from typing import Any

import pytest

from core.aws.boto_table import BATCH_TRIES, BotoTable
from core.aws.capacity import Consumed, TableSchema
from core.errors import ThrottledError
from core.testing.clock import FakeClock

SCHEMA = TableSchema("t", "pk")


class GrudgingClient:
    """Processes at most `at_once` of a batch, as a throttled table does; 0: nothing, ever."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.items: list[Any] = []

    def batch_write_item(self, RequestItems: Any, **_: Any) -> dict[str, Any]:  # noqa: N803 - boto's name
        """Takes the first few."""
        requests = RequestItems["t"]
        self.items += requests[: self.at_once]
        left = requests[self.at_once :]
        return {"UnprocessedItems": {"t": left} if left else {}}

    def batch_get_item(self, RequestItems: Any, **_: Any) -> dict[str, Any]:  # noqa: N803 - boto's name
        """Gives the first few."""
        keys = RequestItems["t"]["Keys"]
        left = keys[self.at_once :]
        return {
            "Responses": {"t": keys[: self.at_once]},
            "UnprocessedKeys": {"t": {"Keys": left}} if left else {},
        }


def table(client: Any, clock: FakeClock, *, metered: bool = False) -> BotoTable:
    """An adapter over a client of the test's own."""
    return BotoTable(client, SCHEMA, metered=metered, clock=clock)


def test_unprocessed_items_are_sent_again_after_a_pause() -> None:
    """Everything arrives in the end; each try is a request of its own, units counted once."""
    client, clock = GrudgingClient(10), FakeClock()
    consumed = table(client, clock).batch_write([{"pk": str(n)} for n in range(25)])
    assert len(client.items) == 25
    assert (consumed.requests, consumed.write_units) == (3, 25)
    assert len(clock.slept) == 2


def test_unprocessed_keys_are_asked_for_again() -> None:
    """All items come back, none twice."""
    clock = FakeClock()
    page = table(GrudgingClient(40), clock).batch_get([{"pk": str(n)} for n in range(100)])
    assert [item["pk"] for item in page.items] == [str(n) for n in range(100)]
    assert (page.consumed.requests, page.consumed.read_units) == (3, 50)


def test_giving_up_is_an_error_with_the_table() -> None:
    """What stays unprocessed is never passed over in silence."""
    clock = FakeClock()
    with pytest.raises(ThrottledError, match="1 items of the table 't'"):
        table(GrudgingClient(0), clock).batch_write([{"pk": "x"}])
    with pytest.raises(ThrottledError):
        table(GrudgingClient(0), clock).batch_get([{"pk": "x"}])
    assert len(clock.slept) == 2 * BATCH_TRIES


def test_the_services_own_figures_are_reported_where_they_are_real() -> None:
    """On AWS the answer's ConsumedCapacity is what counts, the indexes' part apart."""

    class Metering:
        def put_item(self, **_: Any) -> dict[str, Any]:
            indexes = {"A": {"CapacityUnits": 1.0}, "B": {"CapacityUnits": 1.0}}
            return {"ConsumedCapacity": {"CapacityUnits": 5.0, "GlobalSecondaryIndexes": indexes}}

        def get_item(self, **_: Any) -> dict[str, Any]:
            return {"ConsumedCapacity": {"CapacityUnits": 7.5}, "Item": {"pk": {"S": "x"}}}

    metered = table(Metering(), FakeClock(), metered=True)
    assert metered.put({"pk": "x"}).consumed == Consumed(0, 5, 2, 1, 1, 3)
    assert metered.get({"pk": "x"}).consumed == Consumed(7.5, 0, 0, 1, 1, 3)
