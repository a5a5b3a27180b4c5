"""Recall and quantiles, on cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from core.benchmark.evaluation.measures import (
    mean,
    recall,
    recall_against_exact,
    recalls,
    spread,
)


def test_recall_counts_what_is_relevant_among_the_first() -> None:
    """Half at two, all at four; a place taken twice is no second find."""
    found = ["a", "x", "a", "b"]
    assert [recall({"a", "b"}, found, depth) for depth in (1, 2, 3, 4, 50)] == [
        *(0.5, 0.5, 0.5, 1.0, 1.0)
    ]
    assert recall({"a"}, [], 5) == 0.0
    assert recalls({"a", "b"}, ["x"] * 5 + ["a"] + ["x"] * 4 + ["b"]) == {
        5: 0.0,
        10: 0.5,
        25: 1.0,
        50: 1.0,
    }


def test_recall_against_exact_counts_the_ten_nearest() -> None:
    """Nine of ten, one of them replaced by the eleventh; a row that is none finds nothing."""
    cosines = np.linspace(0, 1, 20, dtype=np.float32)
    nearest = list(range(19, 9, -1))
    assert recall_against_exact(cosines, nearest) == 1.0
    assert recall_against_exact(cosines, [*nearest[:9], 9]) == 0.9
    assert recall_against_exact(cosines, [*nearest[:9], -1]) == 0.9
    assert recall_against_exact(cosines, [19] * 10) == 0.1
    assert recall_against_exact(cosines, [*range(10), *nearest]) == 0.0


def test_of_equally_near_rows_any_will_do() -> None:
    """Ties at the tenth place are no loss, whichever of them was found."""
    cosines = np.array([1.0] * 5 + [0.5] * 20, np.float32)
    assert recall_against_exact(cosines, [*range(5), *range(20, 25)]) == 1.0
    assert recall_against_exact(np.zeros(30, np.float32), list(range(20, 30))) == 1.0


def test_fewer_rows_than_ten_are_all_the_nearest() -> None:
    """Three rows: three to be found; none: nothing to be missed."""
    cosines = np.array([0.1, 0.2, 0.3], np.float32)
    assert recall_against_exact(cosines, [2, 1]) == pytest.approx(2 / 3)
    assert recall_against_exact(np.zeros(0, np.float32), []) == 1.0


def test_quantiles_are_values_that_were_there() -> None:
    """Nearest rank: of 1 to 20 the median is 10, and 19 holds 95%."""
    found = spread(range(20, 0, -1))
    assert (found.mean, found.p50, found.p95, found.max) == (10.5, 10, 19, 20)
    one = spread([7])
    assert (one.mean, one.p50, one.p95, one.max) == (7, 7, 7, 7)
    assert spread([]).max == mean([]) == 0.0
