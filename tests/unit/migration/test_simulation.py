"""Copier, follower, writers and crashes in any order: both sides end up the same."""

from __future__ import annotations

import pytest

from core.migration.crossing import Key
from core.migration.following import Follower, Pair
from core.transfer.streams import StreamPosition
from tests.migration_world import World, run, run_over_and_back

_CI = 100
_SOAK = 5000


@pytest.mark.parametrize("first", range(0, _CI, 25))
def test_whatever_the_order_nothing_is_lost_while_copying(first: int) -> None:
    """Writers of the legacy table, a copy and crashes: the optimized side is as the legacy one."""
    for seed in range(first, first + 25):
        assert run(World(seed)) == [], f"seed {seed}"


@pytest.mark.parametrize("first", range(0, _CI, 25))
def test_whatever_the_order_nothing_is_lost_over_and_back(first: int) -> None:
    """Writers of both sides around a cut-over and a rollback: the sides are the same."""
    for seed in range(first, first + 25):
        assert run_over_and_back(World(seed)) == [], f"seed {seed}"


class NotesFirst(Follower):
    """Notes its position before it has applied what came before it."""

    def _read(self, until_s: int) -> tuple[dict[Key, Pair], dict[str, StreamPosition]]:
        pairs, positions = super()._read(until_s)
        self.journal.save_positions(positions)
        return pairs, positions


def test_a_position_that_is_noted_too_early_is_caught() -> None:
    """A follower that notes first and applies then loses something for one of these seeds."""
    assert any(run(World(seed, NotesFirst, crash_rate=0.02)) for seed in range(60))


@pytest.mark.soak
def test_ten_thousand_orders() -> None:
    """As above, for many more seeds."""
    for seed in range(_CI, _CI + _SOAK):
        assert run(World(seed)) == [], f"seed {seed}"
        assert run_over_and_back(World(seed)) == [], f"seed {seed}"
