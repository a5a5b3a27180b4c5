"""The bill of what stands, and the use that its figures tell of, against sums done by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from core.cost.bill import Bill
from core.cost.consumption import Place, PlaceUse, measure
from core.cost.estimate import estimate_standing
from core.cost.model import monthly
from core.cost.price_table import ChosenPrices
from core.cost.prices import GIB, US_EAST_1
from core.cost.sources import Profiles
from core.cost.standing import derived_usage, layout_of, standing_bill
from core.cost.usage import Terms, Usage
from core.errors import NotFoundError, UsageError
from tests.unit.cost.examples import LEGACY, OPTIMIZED

NOW_S = 1_795_219_200.0
HISTORY = Place("t-conversation-history-v2", "optimized")
VECTORS = Place("t-conversation-embeddings", "optimized", searched=True)
OLD = Place("t-conversation-history", "legacy")
GIVEN = Usage(100, 1, 1, cold_share=0, searches_per_day=0, recents_per_day=0)


def _use(place: Place, index: str | None = None, hours: float = 73.0, **of: Any) -> PlaceUse:
    figures = {"read_units": 0.0, "write_units": 0.0, "stored_bytes": 0.0} | of
    return PlaceUse(place, index, hours, **figures)


def _bill(*uses: PlaceUse, terms: Terms | None = None) -> Bill:
    return standing_bill(OPTIMIZED, uses, GIVEN, US_EAST_1, terms or Terms())


def test_units_are_scaled_to_a_month() -> None:
    """73 hours are a tenth of it: ten times the units, at the price of a million."""
    bill = _bill(
        _use(HISTORY, read_units=200_000, write_units=100_000, stored_bytes=GIB, recovery=True),
        _use(HISTORY, "UserTimeIndex", read_units=100_000, write_units=100_000, stored_bytes=GIB),
        _use(VECTORS, write_units=300_000, stored_bytes=2 * GIB, recovery=True),
    )
    assert bill.of("read") == pytest.approx(3 * 0.125)
    assert bill.of("write") == pytest.approx(2 * 0.625)
    assert bill.of("storage") == pytest.approx(0.25)
    assert bill.of("indexes") == pytest.approx(3 * 0.625 + 3 * 0.25)
    assert bill.of("backups") == pytest.approx(3 * 0.20)
    assert bill.of("alarms", "key") == pytest.approx(5.50)


def test_tables_are_billed_by_their_own_class_and_mode() -> None:
    """Infrequent access at its prices; provisioned by what stands, used or not."""
    rare = _bill(_use(HISTORY, read_units=1e5, write_units=1e5, stored_bytes=GIB, infrequent=True))
    assert rare.of("read", "write", "storage") == pytest.approx(0.155 + 0.78 + 0.10)
    fixed = _bill(_use(HISTORY, write_units=1e9, read_capacity=10, write_capacity=5))
    assert fixed.of("read") == pytest.approx(10 * 730 * 0.00013)
    assert fixed.of("write") == pytest.approx(5 * 730 * 0.00065)


def test_the_layout_that_is_written_to_is_what_stands() -> None:
    """A month's writes count, not the hours they were seen in; nothing at all is the optimized."""
    assert layout_of([_use(OLD, write_units=10), _use(HISTORY, write_units=9)]) == "legacy"
    assert layout_of([_use(OLD, write_units=10), _use(HISTORY, hours=7, write_units=9)]) == (
        "optimized"
    )
    assert layout_of([_use(OLD)]) == "optimized"
    with pytest.raises(UsageError, match="None of the project's tables"):
        layout_of([])


def test_a_use_is_told_from_what_it_leaves_behind() -> None:
    """Out of the bill's own figures comes the use that they were made with."""
    usage = Usage(1_000, 24, 128, 0.7, cold_share=0.25, searches_per_day=2, recents_per_day=3)
    bill = monthly(OPTIMIZED, usage, US_EAST_1, Terms())
    units = {
        kind: sum(line.amount for line in bill.lines if line.unit == f"million {kind} units") * 1e6
        for kind in ("read", "write")
    }
    seen = _use(
        HISTORY,
        hours=730.0,
        read_units=units["read"],
        write_units=units["write"],
        stored_bytes=usage.standing * OPTIMIZED.bytes_per_message,
    )
    given = dataclasses.replace(usage, messages_per_day=1, history_days=1, contexts_per_message=0.5)
    found = derived_usage(OPTIMIZED, [seen], given)
    assert dataclasses.astuple(found) == pytest.approx(dataclasses.astuple(usage))


def test_fewer_reads_than_the_given_searches_take_are_no_contexts() -> None:
    """Not a negative number of them."""
    seen = _use(HISTORY, write_units=100, stored_bytes=1_000)
    busy = dataclasses.replace(GIVEN, searches_per_day=9)
    assert derived_usage(OPTIMIZED, [seen], busy).contexts_per_message == 0


@pytest.mark.parametrize("given", [GIVEN, dataclasses.replace(GIVEN, users=0)])
def test_without_writes_nothing_can_be_told(given: Usage) -> None:
    """Or without users: one sentence, and the way on."""
    writes = 0 if given.users else 5
    with pytest.raises(UsageError, match="no writes") as raised:
        derived_usage(OPTIMIZED, [_use(HISTORY, write_units=writes)], given)
    assert "--modelled" in (raised.value.cure or "")


@pytest.mark.parametrize("layout", ["legacy", "optimized"])
def test_what_stands_is_measured_and_the_other_modelled(layout: str) -> None:
    """Whichever of the two it is; the labels say so."""
    place = OLD if layout == "legacy" else HISTORY
    seen = _use(place, read_units=1_000, write_units=10_000, stored_bytes=GIB)
    profiles = Profiles(LEGACY, OPTIMIZED, "round figures")
    prices = ChosenPrices(US_EAST_1, "shipped", 0)
    found = estimate_standing([seen], GIVEN, Terms(), prices, profiles)
    other = "legacy" if layout == "optimized" else "optimized"
    assert found.plain()["labels"] == {layout: "measured", other: "modelled"}
    bill = found.legacy if layout == "legacy" else found.optimized
    assert any("CloudWatch" in line.why for line in bill.lines)
    assert found.also_standing == 0


def test_the_other_layouts_tables_are_told_too_where_they_stand() -> None:
    """During a migration, and until its clean-up: what they cost is in neither bill."""
    seen = [_use(HISTORY, write_units=10_000), _use(OLD, stored_bytes=4 * GIB)]
    profiles = Profiles(LEGACY, OPTIMIZED, "round figures")
    prices = ChosenPrices(US_EAST_1, "shipped", 0)
    found = estimate_standing(seen, GIVEN, Terms(), prices, profiles)
    assert found.also_standing == pytest.approx(1.0)


class _Services:
    """DynamoDB and CloudWatch of one table with one index."""

    def __init__(self, table: dict[str, Any] | None) -> None:
        self._table = table
        self.asked: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        return lambda **request: getattr(self, f"answer_{name}")(request)

    def answer_describe_table(self, _: dict[str, Any]) -> dict[str, Any]:
        """The table, if there is one."""
        if self._table is None:
            raise NotFoundError("There is no such table.")
        return {"Table": self._table}

    def answer_describe_continuous_backups(self, _: dict[str, Any]) -> dict[str, Any]:
        """Recovery is on."""
        status = {"PointInTimeRecoveryStatus": "ENABLED"}
        return {"ContinuousBackupsDescription": {"PointInTimeRecoveryDescription": status}}

    def answer_get_metric_statistics(self, request: dict[str, Any]) -> dict[str, Any]:
        """Two hours' sums; an index's are a tenth."""
        self.asked.append(request)
        share = 0.1 if len(request["Dimensions"]) == 2 else 1.0
        sums = (10.0, 20.0) if "Read" in request["MetricName"] else (1.0, 2.0)
        return {"Datapoints": [{"Sum": share * number} for number in sums]}


def _standing(**changed: Any) -> dict[str, Any]:
    return {
        "TableSizeBytes": 5_000,
        "ItemCount": 10,
        "CreationDateTime": datetime.fromtimestamp(NOW_S - 10 * 3600, UTC),
        "GlobalSecondaryIndexes": [
            {"IndexName": "UserTimeIndex", "IndexSizeBytes": 700, "ItemCount": 3}
        ],
    } | changed


def test_a_table_and_its_indexes_are_asked_for_apart() -> None:
    """Sums by both names; sizes with 100 bytes an item; recovery is the table's alone."""
    services = _Services(_standing())
    table, index = measure(services, services, [HISTORY], 7, NOW_S)
    assert (table.read_units, table.write_units) == (30.0, 3.0)
    assert [index.read_units, index.write_units] == pytest.approx([3.0, 0.3])
    assert (table.stored_bytes, index.stored_bytes) == (6_000.0, 1_000.0)
    assert (table.recovery, index.recovery) == (True, False)
    assert all(request["Period"] == 3600 for request in services.asked)


@pytest.mark.parametrize(("hours_old", "counted"), [(0.1, 1.0), (10, 10.0), (9_999, 7 * 24.0)])
def test_a_young_table_counts_for_the_hours_that_it_stands(
    hours_old: float, counted: float
) -> None:
    """An hour at least, the days asked for at most."""
    made = datetime.fromtimestamp(NOW_S - hours_old * 3600, UTC)
    services = _Services(_standing(CreationDateTime=made))
    assert measure(services, services, [HISTORY], 7, NOW_S)[0].hours == pytest.approx(counted)


def test_class_and_capacity_are_the_tables_own() -> None:
    """Each index has its own capacity, and the table's class."""
    services = _Services(
        _standing(
            TableClassSummary={"TableClass": "STANDARD_INFREQUENT_ACCESS"},
            ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
        )
    )
    table, index = measure(services, services, [HISTORY], 7, NOW_S)
    assert (table.read_capacity, table.write_capacity, table.infrequent) == (5.0, 6.0, True)
    assert (index.read_capacity, index.infrequent) == (0.0, True)


def test_a_table_that_does_not_stand_is_left_out() -> None:
    """A project may have only one of the layouts."""
    services = _Services(None)
    assert measure(services, services, [HISTORY, OLD], 7, NOW_S) == ()
