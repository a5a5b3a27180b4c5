"""Dollars for units and bytes, against sums done by hand."""

from __future__ import annotations

import pytest

from core.cost.prices import GIB, US_EAST_1


def test_prices_of_units_and_bytes() -> None:
    """A million write units cost 62.5 cents, a GiB imported 15, exported 10, kept a month 25."""
    assert US_EAST_1.writes(1_000_000) == pytest.approx(0.625)
    assert US_EAST_1.reads(2_000_000) == pytest.approx(0.25)
    assert US_EAST_1.imported(2 * GIB) == pytest.approx(0.30)
    assert US_EAST_1.exported(GIB) == pytest.approx(0.10)
    assert US_EAST_1.stored(4 * GIB) == pytest.approx(1.0)
    assert US_EAST_1.writes(0) == 0
