"""One call measured, and many of them summed up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from ddsketch import DDSketch

from core.benchmark.evaluation.dataset import Question
from core.benchmark.evaluation.measures import mean, quantile, recall
from core.benchmark.layouts.contenders import FOUND, Outcome
from core.benchmark.layouts.exchanges import Waited
from core.clock import Clock
from core.errors import IalError

ACCURACY = 0.01
"""Quantiles are this share beside the true ones at most (C. Masson et al., "DDSketch", 2019)."""
SHOWN = (0.5, 0.9, 0.99, 0.999)
CURVE = (0.01, 0.05, *(n / 20 for n in range(2, 19)), 0.95, 0.98, 0.99, 0.995, 0.999)
_RESAMPLED, _DRAWN = 2000, 400
_QUICKEST = 0.1
_MANY = 1000
_BOUNDS = (2.5, 97.5)
UNITS = ("requests", "rounds", "read_units", "write_units", "index_write_units", "bytes")

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One call: milliseconds in all and with a request in flight, tries, texts embedded.

    `outcome` is None, and `error` the class of what was raised, where it failed. `recall` is of the
    evidence of `question`, 0 to 1.
    """

    ms: float
    endpoint_ms: float
    tries: int
    texts: int
    calls: int
    outcome: Outcome | None
    question: str = ""
    recall: float | None = None
    error: str | None = None


class Counted(Protocol):
    """What counts texts that were embedded, and calls of a model."""

    texts: int
    calls: int


class Exchanged(Protocol):
    """What times requests."""

    def take(self) -> Waited:
        """What came since it was last asked."""


class Subject(Protocol):
    """What is measured."""

    @property
    def exchanges(self) -> Exchanged:
        """Its requests."""

    @property
    def model(self) -> Counted:
        """Its model."""


def measured(
    contender: Subject,
    call: Callable[[], Outcome],
    clock: Clock,
    question: Question | None = None,
) -> Sample:
    """Makes one call, alone on its contender, and measures it; `question` is what it asks."""
    contender.exchanges.take()
    texts, calls = contender.model.texts, contender.model.calls
    outcome, error = None, None
    begin = clock.monotonic()
    try:
        outcome = call()
    except IalError as raised:
        error = type(raised).__name__
    ms = (clock.monotonic() - begin) * 1000
    waited = contender.exchanges.take()
    return Sample(
        ms,
        min(ms, waited.seconds * 1000),
        waited.requests,
        contender.model.texts - texts,
        contender.model.calls - calls,
        outcome,
        "" if question is None else question.text,
        None if outcome is None or question is None else _recall(question, outcome),
        error,
    )


def _recall(question: Question, outcome: Outcome) -> float | None:
    if outcome.found is None:
        return None
    # A context holds as many as fit: what counts there is whether the evidence is in it.
    return recall(question.evidence, outcome.found, max(FOUND, len(outcome.found)))


def sketch(values: Iterable[float]) -> DDSketch:
    """A sketch of values."""
    made = DDSketch(ACCURACY)
    for value in values:
        made.add(value)
    return made


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p90, p99, p99.9, the largest and the mean, in the values' own unit; none of no values.

    By nearest rank where there are few (so p99.9 of fewer than a thousand is the largest), by a
    sketch, within 1%, where there are many.
    """
    if not values:
        return {}
    named = {f"p{q * 100:g}": value for q, value in zip(SHOWN, _at(values, SHOWN), strict=True)}
    figures = {**named, "max": max(values), "mean": mean(values)}
    return {name: round(value, 4) for name, value in figures.items()}


def curve(values: Sequence[float]) -> list[list[float]]:
    """Points of the distribution: `[share, value]`."""
    if not values:
        return []
    return [[q, round(value, 4)] for q, value in zip(CURVE, _at(values, CURVE), strict=True)]


def _at(values: Sequence[float], shares: Sequence[float]) -> list[float]:
    if len(values) < _MANY:
        ordered = sorted(values)
        return [quantile(ordered, share) for share in shares]
    held = sketch(values)
    return [float(held.get_quantile_value(share) or 0.0) for share in shares]


def summary(blocks: Sequence[Sequence[Sample]], counted: Sequence[Sample] = ()) -> dict[str, Any]:
    """What all the calls come to: times of `blocks`, counts of `counted` (none: of the same calls).

    Units, requests and texts are means of the calls that succeeded. `recall` is the mean over the
    questions, however often each was asked.
    """
    samples = [sample for block in blocks for sample in block]
    done = [s for s in samples if s.outcome is not None]
    errors = [s.error for s in (*samples, *counted) if s.error]
    times = [s.ms for s in done]
    return {
        "calls": len(samples),
        "errors": {name: errors.count(name) for name in sorted(set(errors))},
        "latency_ms": quantiles(times),
        "endpoint_ms": quantiles([s.endpoint_ms for s in done]),
        "own_ms": quantiles([s.ms - s.endpoint_ms for s in done]),
        "curve": curve(times),
        "per_second": round(1000 * len(times) / sum(times), 2) if times else 0.0,
        **_counts(counted or samples),
    }


def _counts(samples: Sequence[Sample]) -> dict[str, Any]:
    done = [(s, s.outcome.consumed) for s in samples if s.outcome is not None]
    recalls = {s.question: s.recall for s, _ in done if s.recall is not None}
    return {
        "counted": len(samples),
        **{name: round(mean(getattr(c, name) for _, c in done), 4) for name in UNITS},
        "tries": round(mean(s.tries for s, _ in done), 4),
        "embeddings": round(mean(s.texts for s, _ in done), 4),
        "embedding_calls": round(mean(s.calls for s, _ in done), 4),
        "recall": round(mean(recalls.values()), 4) if recalls else None,
    }


def medians(blocks: Sequence[Sequence[Sample]]) -> list[float]:
    """The median time of each block that has one, in milliseconds."""
    times = ([s.ms for s in block if s.outcome is not None] for block in blocks)
    return [float(np.median(some)) for some in times if some]


def times(blocks: Sequence[Sequence[Sample]]) -> list[list[float]]:
    """The times of what succeeded, block by block, in milliseconds."""
    return [[round(s.ms, 4) for s in block if s.outcome is not None] for block in blocks]


@dataclass(frozen=True)
class Ratio:
    """A ratio, and between what it lies with 95% confidence."""

    value: float
    low: float
    high: float


def ratio(over: Sequence[float], under: Sequence[float], seed: int) -> Ratio:
    """The ratio of two medians of blocks, with a percentile bootstrap interval.

    B. Efron and R. Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13. Blocks, not
    calls, are drawn: calls of one block share whatever the machine was doing at that moment. Where
    there are as many of both, they were measured in turn, and are drawn in pairs.

    Raises:
        ValueError: there is nothing on one side.
    """
    rng = np.random.default_rng(seed)
    top, bottom = np.asarray(over, np.float64), np.asarray(under, np.float64)
    drawn = rng.integers(0, len(top), (_RESAMPLED, len(top)))
    paired = drawn if len(top) == len(bottom) else None
    if paired is None:
        paired = rng.integers(0, len(bottom), (_RESAMPLED, len(bottom)))
    found = np.median(top[drawn], axis=1) / np.median(bottom[paired], axis=1)
    return _ratio(float(np.median(top) / np.median(bottom)), found)


def undisturbed(
    calls: Sequence[Sequence[float]], reference: Sequence[Sequence[float]], seed: int
) -> tuple[float, FloatArray]:
    """A call's time as a multiple of the reference's, both where nothing disturbed them.

    That is the tenth percentile of each: whatever else a machine does makes calls slower, never
    quicker, so the quickest tenth of them tells most of the code and least of the machine.

    Args:
        calls: times, block by block.
        reference: the reference's, measured beside each block.
        seed: draws the blocks.

    Returns:
        The multiple, and what it is in each of a bootstrap's draws of blocks.
    """
    rng = np.random.default_rng(seed)
    pairs = [(np.array(c), np.array(r)) for c, r in zip(calls, reference, strict=True) if c]
    drawn = [
        _quickest([pairs[n] for n in rng.integers(0, len(pairs), len(pairs))])
        for _ in range(_DRAWN)
    ]
    return _quickest(pairs), np.array(drawn)


def compared(now: tuple[float, FloatArray], before: tuple[float, FloatArray]) -> Ratio:
    """The ratio of two figures of `undisturbed`, with its interval."""
    return _ratio(now[0] / before[0], now[1] / before[1])


def _quickest(pairs: Sequence[tuple[FloatArray, FloatArray]]) -> float:
    calls, beside = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return float(np.quantile(calls, _QUICKEST) / np.quantile(beside, _QUICKEST))


def _ratio(value: float, drawn: FloatArray) -> Ratio:
    low, high = np.percentile(drawn, _BOUNDS)
    return Ratio(value, float(low), float(high))
