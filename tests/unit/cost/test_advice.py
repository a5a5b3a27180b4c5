"""Advice: each saving is the difference of two bills, and its sign is honest."""

from __future__ import annotations

import dataclasses

import pytest

from core.cost.advice import Advice, advise, claim
from core.cost.bill import Bill, Line
from core.cost.model import Case, monthly
from core.cost.prices import GIB, US_EAST_1
from core.cost.usage import Terms, Usage
from core.cost.vector_index import SEARCH_BYTES, compare
from tests.unit.cost.examples import LEGACY, OPTIMIZED

USAGE = Usage(10_000, 24, 128)
CASE = Case(OPTIMIZED, USAGE, US_EAST_1, Terms())


def _advice(case: Case = CASE) -> dict[str, Advice]:
    return {advice.name: advice for advice in advise(case, LEGACY)}


def _total(terms: Terms, usage: Usage = USAGE) -> float:
    return monthly(OPTIMIZED, usage, US_EAST_1, terms).total


def test_each_saving_is_a_difference_of_two_bills() -> None:
    """With one thing changed, and nothing rounded."""
    advice, now = _advice(), _total(Terms())
    legacy = monthly(LEGACY, USAGE, US_EAST_1, Terms()).total
    assert advice["recovery"].saving == pytest.approx(now - _total(Terms(pitr=False)))
    assert advice["standard-ia"].saving == pytest.approx(now - _total(Terms(billing="standard-ia")))
    assert advice["provisioned"].saving == pytest.approx(now - _total(Terms(billing="provisioned")))
    assert advice["embedder"].saving == pytest.approx(now - _total(Terms(embedder="titan")))
    assert advice["free-tier"].saving == pytest.approx(25 * 0.25 + 10 * 0.10 + 3.00)
    assert advice["alarms"].saving == pytest.approx(15 * 0.10 + 3.00)
    assert advice["migrate"].saving == pytest.approx(legacy - now)


def test_what_costs_more_says_so_and_comes_last() -> None:
    """Savings fall from the first to the last, below 0 where it costs more."""
    savings = [advice.saving for advice in advise(CASE, LEGACY)]
    assert savings == sorted(savings, reverse=True)
    assert _advice()["embedder"].saving < 0
    assert _advice()["migrate"].saving < 0


def test_keeping_less_counts_the_archive() -> None:
    """Half the days go from the tables, and their texts to S3."""
    shorter = _total(Terms(), dataclasses.replace(USAGE, history_days=64))
    archived = USAGE.standing / 2 * 1024 / GIB * 0.023
    assert _advice()["history"].saving == pytest.approx(_total(Terms()) - shorter - archived)


def test_what_does_not_apply_is_not_advised() -> None:
    """What is given up already, chosen already, or can't be."""
    terms = Terms("provisioned", pitr=False, free_tier=True, alarms=0, dashboards=0)
    case = dataclasses.replace(CASE, terms=terms, usage=dataclasses.replace(USAGE, history_days=1))
    assert set(_advice(case)) == {"on-demand", "standard-ia", "embedder", "migrate"}


def test_the_vector_index_by_hand() -> None:
    """7.3 M messages and 304,167 searches a month, 30.72 M messages standing; 384 dimensions."""
    cost = compare(CASE)
    entry, listed = 384 * 4 + 100, 384 * 7.5
    written = 7.3e6 * entry / GIB * 0.52 + 7.3 * listed / 1024 * 0.625
    assert cost.native_writes == pytest.approx(written)
    assert cost.native_storage == pytest.approx(30.72e6 * (entry + listed) / GIB * 0.25)
    assert cost.native_searches == pytest.approx(USAGE.searches * SEARCH_BYTES / GIB * 0.002)
    assert cost.segment_searches == pytest.approx(USAGE.searches * 20 / 1e6 * 0.125)
    assert cost.saving == pytest.approx(
        cost.segment_searches - cost.native_searches - cost.native_writes - cost.native_storage
    )


def test_many_searches_make_the_vector_index_worth_it() -> None:
    """A search of it is a seventeenth of one of 20 read units: it pays in the end."""
    searching = dataclasses.replace(USAGE, searches_per_day=2_000)
    assert compare(dataclasses.replace(CASE, usage=searching)).saving > 0


@pytest.mark.parametrize(
    ("optimized", "share", "holds"), [(39, 0.61, True), (40, 0.60, False), (150, -0.5, False)]
)
def test_the_claim_is_held_against_what_came_out(
    optimized: float, share: float, holds: bool
) -> None:
    """61% or more holds; anything less, or more expensive, does not."""
    bills = [Bill("x", (Line("read", "x", n, "u", 1.0, "y"),)) for n in (100.0, optimized)]
    found = claim(*bills)
    assert found.modelled == pytest.approx(share)
    assert found.holds is holds


def test_a_legacy_layout_that_costs_nothing_can_not_be_beaten() -> None:
    """No division by zero."""
    assert claim(Bill("legacy", ()), Bill("optimized", ())).modelled == 0.0
