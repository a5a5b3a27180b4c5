"""Budgets of capacity units: kept, cut when throttled, and grown back."""

from __future__ import annotations

import random

import pytest

from core.testing.clock import FakeClock
from core.transfer.budget import Budget

CALL_S = 0.003
UNITS = 25.0


class Table:
    """Calls of 25 units that take 3 ms each; `capacity` units a second are there to be had."""

    def __init__(self, budget: Budget, clock: FakeClock, capacity: float | None = None) -> None:
        self._budget, self._clock, self._capacity = budget, clock, capacity
        self._given = 0.0
        self._begun_s = clock.monotonic()
        self.throttled = 0

    def call(self) -> bool:
        """One call; False where the table refused it."""
        self._clock.advance(CALL_S)
        had = (self._clock.monotonic() - self._begun_s) * (self._capacity or float("inf"))
        if self._given + UNITS > had + 300:  # DynamoDB keeps some of what was not used
            self.throttled += 1
            self._budget.throttled()
            return False
        self._given += UNITS
        self._budget.spend(UNITS)
        return True


def seconds(clock: FakeClock, table: Table, calls: int) -> float:
    """How long so many calls take that are answered."""
    begun = clock.monotonic()
    while calls:
        calls -= table.call()
    return clock.monotonic() - begun


def test_budget_is_kept() -> None:
    """A thousand units at a hundred a second take ten seconds."""
    clock = FakeClock()
    budget = Budget(100.0, clock, random.Random(1))
    assert seconds(clock, Table(budget, clock), 40) == pytest.approx(10.0, abs=0.3)
    assert budget.spent == 1000.0


def test_no_budget_waits_for_nothing() -> None:
    """Without one a call takes what it takes."""
    clock = FakeClock()
    budget = Budget(None, clock, random.Random(1))
    assert seconds(clock, Table(budget, clock), 100) == pytest.approx(100 * CALL_S, rel=0.01)
    assert budget.rate is None


def test_many_throttles_in_a_second_cut_once() -> None:
    """Threads that are refused together make the rate fall once, to seven tenths."""
    clock = FakeClock()
    budget = Budget(1000.0, clock, random.Random(1))
    seconds(clock, Table(budget, clock), 200)
    for _ in range(3):
        budget.throttled()
    assert budget.throttles == 3
    assert budget.rate == pytest.approx(700.0, rel=0.2)


def test_rate_comes_back_to_what_it_was_and_not_above() -> None:
    """A single refusal is made up for in seconds; the budget stays the bound."""
    clock = FakeClock()
    budget = Budget(1000.0, clock, random.Random(1))
    table = Table(budget, clock)
    seconds(clock, table, 200)
    budget.throttled()
    assert seconds(clock, table, 400) < 400 * UNITS / 1000.0 + 3.0
    assert budget.rate == 1000.0


def test_scarce_capacity_is_used_and_rarely_refused() -> None:
    """Of a table that gives 500 units a second nine tenths are taken, with few refusals."""
    clock = FakeClock()
    budget = Budget(None, clock, random.Random(1))
    table = Table(budget, clock, capacity=500.0)
    taken_s = seconds(clock, table, 2000)
    assert 2000 * UNITS / taken_s > 0.8 * 500.0
    assert table.throttled < 200


def test_refusals_that_nothing_helps_against_do_not_stop_it() -> None:
    """One call in twenty refused, from the first second on: it goes on at a good rate."""
    clock = FakeClock()
    budget = Budget(None, clock, random.Random(1))
    table = Table(budget, clock)
    begun = clock.monotonic()
    for call in range(4000):
        if call % 20 == 1:
            budget.throttled()
        table.call()
    assert 4000 * UNITS / (clock.monotonic() - begun) > 200.0
