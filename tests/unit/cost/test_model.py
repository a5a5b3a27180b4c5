"""The bill against sums done by hand: the three examples of docs/cost.md, and what bounds them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.cost.bill import COMPONENTS, Bill
from core.cost.measured import LEGACY_INLINE, SHIPPED
from core.cost.model import monthly
from core.cost.prices import US_EAST_1
from core.cost.profile import Profile
from core.cost.usage import BILLINGS, DAYS_A_MONTH, Terms, Usage
from core.errors import UsageError
from core.memory.schema import embeddings_schema, history_schema
from tests.unit.cost.examples import LEGACY, OPTIMIZED

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "cost.md").read_text()
SMALL = Usage(1_000, 24, 128, 0.5, cold_share=0, searches_per_day=0, recents_per_day=0)
LARGE = Usage(100_000, 24, 32, 0.5, cold_share=0.25, searches_per_day=2.4, recents_per_day=0)
STEADY = Usage(10_000, 24, 128, 0.5, cold_share=0.25, searches_per_day=0, recents_per_day=2.4)
CAPACITY = Terms(
    billing="provisioned",
    peak_to_mean=1.4,
    pitr=False,
    exports_per_month=2,
    exports_kept=3,
    free_tier=True,
)
GROWING = ("read", "write", "storage", "indexes", "backups", "embeddings")
# Example, legacy and optimized: dollars by component, as the page has them worked by hand.
BY_HAND = [
    (
        SMALL,
        Terms(),
        {"read": 0.228125, "write": 0.45625, "storage": 0.366211, "backups": 0.292969, "key": 1},
        {
            "read": 0.136875,
            "write": 1.36875,
            "storage": 0.732422,
            "indexes": 1.36875 + 1.098633 + 0.732422,
            "backups": 1.171875,
            "alarms": 4.5,
            "key": 1,
        },
        ("2.343555", "12.109727"),
    ),
    (
        LARGE,
        Terms(embedder="titan"),
        {
            "read": 27.375,
            "write": 45.625,
            "storage": 9.155273,
            "backups": 7.324219,
            "key": 1,
            "embeddings": 4_423.80,
        },
        {
            "read": 47.90625,
            "write": 136.875,
            "storage": 18.310547,
            "indexes": 136.875 + 27.465820 + 18.310547,
            "backups": 29.296875,
            "alarms": 4.5,
            "key": 1,
            "embeddings": 116.80,
        },
        ("4,514.279492", "537.340039"),
    ),
    (
        STEADY,
        CAPACITY,
        {
            "read": 1.370778,
            "write": 2.636111,
            "storage": 3.662109,
            "backups": 2.929688 + 1.010742,
            "key": 1,
            "free tier": -3.662109,
        },
        {
            "read": 3.281958,
            "write": 7.908333,
            "storage": 7.324219,
            "indexes": 7.908333 + 10.986328 + 7.324219,
            "backups": 11.71875 + 4.042969,
            "alarms": 4.5,
            "key": 1,
            "free tier": -10.25,
        },
        ("8.947319", "55.745109"),
    ),
]


@pytest.mark.parametrize(("usage", "terms", "legacy", "optimized", "totals"), BY_HAND)
def test_the_examples_come_out_as_worked_by_hand(
    usage: Usage,
    terms: Terms,
    legacy: dict[str, float],
    optimized: dict[str, float],
    totals: tuple[str, str],
) -> None:
    """Each component and each total, to a ten-thousandth of a cent; and the page says the same."""
    for profile, wanted, total in ((LEGACY, legacy, totals[0]), (OPTIMIZED, optimized, totals[1])):
        bill = monthly(profile, usage, US_EAST_1, terms)
        found = {name: bill.of(name) for name in COMPONENTS if bill.of(name)}
        assert found == pytest.approx(wanted, abs=2e-6)
        assert f"{bill.total:,.6f}" == total
        assert f"**{total}**" in PAGE


@pytest.mark.parametrize("profile", [LEGACY, OPTIMIZED, *SHIPPED.values(), LEGACY_INLINE])
@pytest.mark.parametrize("terms", [Terms(), CAPACITY, Terms(billing="standard-ia")])
def test_each_line_is_an_amount_times_a_price_with_its_reason(
    profile: Profile, terms: Terms
) -> None:
    """Nothing is in a total that no line explains, and components add up."""
    bill = monthly(profile, STEADY, US_EAST_1, terms)
    assert bill.total == pytest.approx(sum(line.amount * line.unit_price for line in bill.lines))
    assert bill.total == pytest.approx(sum(bill.of(name) for name in bill.components))
    assert all(line.why and line.unit and line.component in COMPONENTS for line in bill.lines)


def _total(usage: Usage = STEADY, **terms: Any) -> float:
    paid = dataclasses.replace(Terms(), **terms)
    return monthly(OPTIMIZED, usage, US_EAST_1, paid).total


def test_with_nobody_there_only_what_stands_is_paid() -> None:
    """Alarms, dashboard and key; on provisioned terms, a unit for each table and index too."""
    nobody = Usage(0, 24, 128)
    assert _total(nobody) == pytest.approx(1.50 + 3.00 + 1.00)
    least = 5 * 730 * (0.00013 + 0.00065)
    assert _total(nobody, billing="provisioned") == pytest.approx(5.50 + least)


def test_infrequent_access_is_cheaper_where_storage_leads() -> None:
    """Long kept and little used it saves; used as it comes it does not."""
    kept = dataclasses.replace(STEADY, history_days=3_650)
    used = dataclasses.replace(STEADY, history_days=1)
    assert _total(kept, billing="standard-ia") < _total(kept)
    assert _total(used, billing="standard-ia") > _total(used)


def test_provisioned_pays_below_the_peak_that_the_page_names() -> None:
    """2.42 times the mean, at 70% utilisation."""
    assert _total(billing="provisioned", peak_to_mean=2.42) < _total()
    assert _total(billing="provisioned", peak_to_mean=2.43) > _total()


@given(st.floats(0, 1e9), st.floats(0, 1e4), st.floats(0, 4_000), st.sampled_from(BILLINGS))
def test_a_bill_grows_with_the_users(
    users: float, messages: float, days: float, billing: str
) -> None:
    """Twice the users are twice the bill, but for what is there once; nothing is negative."""
    terms = Terms(billing=billing, embedder="titan")
    once, twice = (
        monthly(OPTIMIZED, Usage(n, messages, days), US_EAST_1, terms) for n in (users, 2 * users)
    )
    assert all(line.dollars >= 0 for line in once.lines)
    grown = {(line.component, line.what): line.dollars for line in twice.lines}
    for line in once.lines:
        if line.component in GROWING and line.what != "least capacity":
            assert grown[line.component, line.what] == pytest.approx(2 * line.dollars)


def test_few_messages_are_not_embedded_more_often_than_there_are() -> None:
    """A history of 9 is 10 texts for a legacy context, not 101."""
    young = dataclasses.replace(LARGE, messages_per_day=3, history_days=3)
    bill = monthly(LEGACY, young, US_EAST_1, Terms(embedder="titan"))
    tokens = (young.contexts + young.searches) * 10 * 50
    assert bill.of("embeddings") == pytest.approx(tokens / 1e6 * 0.02)


def test_what_is_counted_is_what_is_deployed() -> None:
    """Alarms and dashboards as in the phases; a unit for each table and index of the schema."""
    deployed = "".join(path.read_text() for path in (ROOT / "phases").glob("60-*/*.yaml"))
    assert Terms().alarms == deployed.count("Type: AWS::CloudWatch::Alarm")
    assert Terms().dashboards == deployed.count("Type: AWS::CloudWatch::Dashboard")
    tables = (history_schema("t"), embeddings_schema("t"))
    least = _total(Usage(0, 0, 0), billing="provisioned") - _total(Usage(0, 0, 0))
    places = sum(1 + len(table.indexes) for table in tables)
    assert least == pytest.approx(places * 730 * (0.00013 + 0.00065))


def test_streams_cost_nothing_while_nobody_reads_them() -> None:
    """The line stands there, with the reason and the price of a request."""
    bill: Bill = monthly(OPTIMIZED, STEADY, US_EAST_1, Terms())
    (line,) = (line for line in bill.lines if line.component == "streams")
    assert line.dollars == 0
    assert line.unit_price == pytest.approx(2e-7)
    assert "migration" in line.why


def test_a_month_is_730_hours() -> None:
    """Not 30 days, nor a twelfth of a year to the second."""
    assert DAYS_A_MONTH * 24 == 730
    assert SMALL.messages == 730_000


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"users": -1}, "--users is -1"),
        ({"messages_per_day": float("nan")}, "--messages-per-day is nan"),
        ({"history_days": float("inf")}, "--history-days is inf"),
        ({"users": 1e13}, "--users is 1e[+]13"),
        ({"cold_share": 1.5}, "share of cold contexts is 1.5"),
    ],
)
def test_a_use_that_can_not_be_is_refused(changed: dict[str, float], told: str) -> None:
    """With the option it came by."""
    with pytest.raises(UsageError, match=told):
        dataclasses.replace(SMALL, **changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"billing": "free"},
        {"embedder": "gpt"},
        {"peak_to_mean": 0.5},
        {"peak_to_mean": float("nan")},
        {"utilisation": 0},
        {"exports_per_month": -1},
        {"exports_kept": float("inf")},
    ],
)
def test_terms_that_can_not_be_are_refused(changed: dict[str, Any]) -> None:
    """Choices by name, figures by range."""
    with pytest.raises(UsageError):
        dataclasses.replace(Terms(), **changed)
