"""Calls measured and summed up."""

from __future__ import annotations

import random

import numpy as np
import pytest

from core.aws.capacity import Consumed
from core.benchmark.evaluation.dataset import Question
from core.benchmark.layouts.contenders import Outcome
from core.benchmark.layouts.exchanges import Waited, covered
from core.benchmark.layouts.samples import (
    ACCURACY,
    Sample,
    curve,
    measured,
    medians,
    quantiles,
    ratio,
    summary,
)
from core.errors import ThrottledError
from core.testing.clock import FakeClock


def test_quantiles_are_within_one_percent_and_the_rarest_is_named() -> None:
    """p50 to p99.9 of a long-tailed distribution, against the exact ones."""
    rng = random.Random(1)
    values = [rng.lognormvariate(1, 1) for _ in range(20_000)]
    found = quantiles(values)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)):
        exact = float(np.quantile(values, share, method="lower"))
        assert found[name] == pytest.approx(exact, rel=2 * ACCURACY)
    assert found["max"] == pytest.approx(max(values), abs=1e-4)
    shares = [share for share, _ in curve(values)]
    times = [ms for _, ms in curve(values)]
    assert shares == sorted(shares)
    assert times == sorted(times)
    few = quantiles([float(n) for n in range(1, 101)])
    assert (few["p50"], few["p90"], few["p99.9"]) == (50.0, 90.0, 100.0)
    assert quantiles([]) == {}
    assert curve([]) == []


def test_requests_side_by_side_count_once_where_they_overlap() -> None:
    """Two at once, one inside another, and one on its own."""
    assert covered([(0.0, 2.0), (1.0, 3.0), (1.5, 1.6), (5.0, 6.0)]) == pytest.approx(4.0)
    assert covered([]) == 0.0


class Subject:
    """Takes two milliseconds, one of them with a request in flight."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.exchanges = self
        self.model = self
        self.texts = 10
        self.calls = 3

    def take(self) -> Waited:
        """One request of a millisecond."""
        return Waited(1, 0.001)

    def call(self) -> Outcome:
        """Embeds one text."""
        self.clock.advance(0.002)
        self.texts += 1
        self.calls += 1
        return Outcome(Consumed(read_units=1.5, requests=1, rounds=1), (4, 7, 9))

    def fail(self) -> Outcome:
        """Is throttled."""
        raise ThrottledError("Throttled.", "Wait.")


def test_a_call_is_measured_with_what_it_waited_embedded_and_found() -> None:
    """Milliseconds in all and in the endpoint; texts and calls of the model; recall."""
    clock = FakeClock()
    subject = Subject(clock)
    question = Question("?", "fact", frozenset((7, 8)))
    sample = measured(subject, subject.call, clock, question)
    assert sample.ms == pytest.approx(2.0, rel=1e-3)
    assert sample.endpoint_ms == pytest.approx(1.0, rel=1e-3)
    assert (sample.tries, sample.texts, sample.calls, sample.recall) == (1, 1, 1, 0.5)


def test_what_fails_is_counted_and_is_in_no_other_figure() -> None:
    """One call of two was throttled: its time and units count nowhere."""
    clock = FakeClock()
    subject = Subject(clock)
    good = measured(subject, subject.call, clock)
    bad = measured(subject, subject.fail, clock)
    found = summary([[good, bad]])
    assert (found["calls"], found["errors"]) == (2, {"ThrottledError": 1})
    assert found["read_units"] == 1.5
    assert found["own_ms"]["mean"] == pytest.approx(1.0, abs=0.01)
    assert medians([[good], [bad]]) == [good.ms]


def sample_of(question: str, recall: float) -> Sample:
    """A call that found a share of what was asked."""
    return Sample(1.0, 0.5, 1, 0, 0, Outcome(Consumed()), question, recall)


def test_a_question_that_is_asked_often_counts_once_in_recall() -> None:
    """The mean is over questions, not over calls."""
    often = [sample_of("easy", 1.0)] * 9
    assert summary([[*often, sample_of("hard", 0.0)]])["recall"] == 0.5


def test_a_ratios_interval_holds_the_truth_and_narrows_with_more_rounds() -> None:
    """Of two noisy series whose medians differ by a fifth: of 100 intervals, nearly all."""
    rng = random.Random(3)
    widths = {}
    for rounds in (10, 100):
        found = [ratio(*noisy(rng, rounds), seed) for seed in range(100)]
        assert sum(one.low < 1.2 < one.high for one in found) >= 85
        widths[rounds] = sum(one.high - one.low for one in found)
    assert widths[100] < widths[10] / 2
    assert ratio([1.0, 2.0], [1.0, 2.0, 3.0], 1).value == 0.75


def noisy(rng: random.Random, rounds: int) -> tuple[list[float], list[float]]:
    """Medians of rounds, slow ones and quick ones."""
    slow = [1.2 * rng.gauss(10, 0.8) for _ in range(rounds)]
    return slow, [rng.gauss(10, 0.8) for _ in range(rounds)]
