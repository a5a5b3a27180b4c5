"""Recall and quantiles. Pure."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DEPTHS = (5, 10, 25, 50)
EXACT_DEPTH = 10
_TIE = 1e-5
"""Cosines nearer than this are equal: float32 sums depend on the order of the summands."""

FloatArray = npt.NDArray[np.float32]


def recall(relevant: Set[Hashable], found: Sequence[Hashable], depth: int) -> float:
    """The part of what is relevant that is among the first `depth` found, 0 to 1.

    Something found twice counts once, and takes two places.
    """
    return len(relevant & set(found[:depth])) / len(relevant) if relevant else 0.0


def recalls(relevant: Set[Hashable], found: Sequence[Hashable]) -> Mapping[int, float]:
    """`recall` at each of `DEPTHS`."""
    return {depth: recall(relevant, found, depth) for depth in DEPTHS}


def recall_against_exact(cosines: FloatArray, found: Sequence[int]) -> float:
    """The part of the `EXACT_DEPTH` nearest that was found, 0 to 1.

    Of rows as near as the last of the nearest, any will do.

    Args:
        cosines: of all rows to the query, of shape (rows,).
        found: rows, best first; -1 for something that is no row.
    """
    depth = min(EXACT_DEPTH, len(cosines))
    if not depth:
        return 1.0
    last = float(np.partition(cosines, -depth)[-depth])
    near = {row for row in found[:depth] if row >= 0 and cosines[row] >= last - _TIE}
    return len(near) / depth


def mean(values: Iterable[float]) -> float:
    """The arithmetic mean; 0 of nothing."""
    listed = list(values)
    return math.fsum(listed) / len(listed) if listed else 0.0


@dataclass(frozen=True)
class Spread:
    """How values are spread: the mean, two quantiles (nearest rank), and the largest."""

    mean: float
    p50: float
    p95: float
    max: float


def spread(values: Iterable[float]) -> Spread:
    """The spread of values; zeros for no values."""
    ordered = sorted(values)
    if not ordered:
        return Spread(0.0, 0.0, 0.0, 0.0)
    return Spread(
        round(mean(ordered), 4), quantile(ordered, 0.5), quantile(ordered, 0.95), ordered[-1]
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank quantile of values in ascending order: one of them, never between two."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
