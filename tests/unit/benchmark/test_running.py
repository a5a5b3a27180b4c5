"""An evaluation over an engine whose answers are known."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.aws.capacity import Consumed
from core.benchmark.evaluation.comparing import check_comparable, figures_of, losses
from core.benchmark.evaluation.dataset import Dataset, read_dataset
from core.benchmark.evaluation.report import Report, document, make_report, table
from core.benchmark.evaluation.running import Evaluator, Plan, State, user_of
from core.clock import SYSTEM_CLOCK
from core.errors import EmbedderUnavailableError, InterruptedRunError, UsageError
from core.llm.embedder import Vectors, failure
from core.llm.hashing import HashingEmbedder
from tests.unit.benchmark.conversations import raw, sample
from tests.unit.benchmark.fake_engine import Memory

PLAN = Plan("project")
EMBEDDER = HashingEmbedder()
MODEL = (EMBEDDER.model, EMBEDDER.dimensions)


def data(*names: str) -> Dataset:
    """A data set of conversations with these names."""
    return read_dataset("x", raw(*(sample(name) for name in names)))


def memory() -> Memory:
    """A memory with nothing in it."""
    return Memory(EMBEDDER)


def evaluated(held: Memory, dataset: Dataset, plan: Plan = PLAN) -> Report:
    """The report of a run."""
    run = Evaluator(held.open, EMBEDDER, SYSTEM_CLOCK).run(dataset, plan)
    return make_report(dataset, MODEL, plan, run)


def test_what_is_found_is_counted() -> None:
    """An engine that finds as BM25 does has BM25's recalls; one with exact cosines all of them."""
    report = evaluated(memory(), data("one", "two"))
    assert report.overall.questions == 10
    assert report.overall.engine == report.overall.bm25
    assert report.overall.engine[50] == 1.0
    assert report.exact == 1.0
    assert report.missing == {"It rains.": 2}
    assert [row.name for row in report.by_conversation] == ["one", "two"]
    categories = {row.name: row.questions for row in report.categories}
    assert categories == {"multi-hop": 2, "temporal": 2, "single-hop": 4, "adversarial": 2}


def test_the_first_context_of_each_conversation_is_cold() -> None:
    """It is asked of an engine that did not store the messages; the others are warm."""
    report = evaluated(memory(), data("one", "two"))
    assert (report.cold.contexts, report.warm.contexts) == (2, 8)
    assert report.cold.counted["read_units"].max == 20
    assert report.warm.counted["rounds"].max == 1


def test_each_context_is_cold_where_that_is_asked() -> None:
    """An engine of its own for each question, and such runs are compared only with their like."""
    dataset = data("one", "two")
    report = evaluated(memory(), dataset, Plan("project", cold=True))
    assert (report.cold.contexts, report.warm.contexts) == (10, 0)
    assert report.cold.counted["requests"].p50 == 4
    assert "-" in table(report, timings=True)
    with pytest.raises(UsageError, match="--cold"):
        check_comparable(report.conditions, evaluated(memory(), dataset).conditions)


def test_users_are_forgotten_before_and_after() -> None:
    """What a killed run left behind is gone first, and nothing is left in the end."""
    held, dataset = memory(), data("one")
    user = user_of(PLAN, dataset, 0)
    held.users[user] = [dataset.conversations[0].messages[0]]
    assert evaluated(held, dataset).overall.engine[50] == 1.0
    assert held.users == {}
    calls = [call for call in held.calls if call != "open"]
    assert (calls[:2], calls[-1]) == (["forget", "import"], "forget")


def test_users_are_kept_where_that_is_asked() -> None:
    """Their names are in the report."""
    held, dataset = memory(), data("one", "two")
    report = evaluated(held, dataset, Plan("project", keep=True))
    assert set(held.users) == set(report.kept_users) != set()


def test_users_are_named_by_project_data_and_seed() -> None:
    """All three count, no name reaches into another's, and all are of one length."""
    plans = (Plan("a"), Plan("ab"), Plan("a", seed=1))
    names = {user_of(p, data(d), n) for p in plans for d in ("x", "y") for n in (0, 1)}
    assert len(names) == 12
    assert len({len(name) for name in names}) == 1


def stop_after(calls: int) -> Callable[[], bool]:
    """A wish to stop that comes with a call."""
    left = iter([False] * calls)
    return lambda: next(left, True)


@pytest.mark.parametrize("calls", range(9))
def test_a_stop_leaves_nothing_behind(calls: int) -> None:
    """Before the import, or between any two questions: the user is gone."""
    held = memory()
    evaluator = Evaluator(held.open, EMBEDDER, SYSTEM_CLOCK, stopped=stop_after(calls))
    with pytest.raises(InterruptedRunError):
        evaluator.run(data("one", "two"), PLAN)
    assert held.users == {}


def test_progress_counts_to_the_end() -> None:
    """Every question once, in order, and the total stays."""
    seen: list[State] = []
    evaluator = Evaluator(memory().open, EMBEDDER, SYSTEM_CLOCK, on_progress=seen.append)
    evaluator.run(data("one", "two"), PLAN)
    done = [state.done for state in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 10)
    assert {state.total for state in seen} == {10}


class Down(HashingEmbedder):
    """An embedder that can't be reached."""

    def embed(self, texts: object) -> Vectors:
        """Says so."""
        reason = failure("down", "nobody answers")
        raise EmbedderUnavailableError(reason.what, reason.cure)


def test_an_embedder_that_is_down_ends_it_before_anything_is_stored() -> None:
    """Recalls without vectors would pass for those of the model."""
    held = memory()
    with pytest.raises(EmbedderUnavailableError):
        Evaluator(held.open, Down(), SYSTEM_CLOCK).run(data("one"), PLAN)
    assert held.calls == []


def test_a_document_is_the_same_but_for_times() -> None:
    """Two runs of one data set give the same plain data, and the table shows what it says."""
    reports = [evaluated(memory(), data("one")) for _ in range(2)]
    one, two = (document(report, timings=False) for report in reports)
    assert one == two
    assert "timings" not in one
    timed = document(reports[0], timings=True)
    assert {k: v for k, v in timed.items() if k != "timings"} == one
    shown = table(reports[0], timings=False)
    assert "adversarial" in shown
    assert "milliseconds" not in shown
    assert "milliseconds" in table(reports[0], timings=True)


def test_an_equal_run_is_no_loss_and_a_dearer_one_is_told() -> None:
    """More read units, requests or rounds, each in a line with both figures."""
    dataset = data("one")
    before = figures_of(evaluated(memory(), dataset))
    assert losses(before, before, 0.0) == ()
    held = memory()
    held.consumed = Consumed(read_units=2.5, requests=4, rounds=2)
    told = losses(before, figures_of(evaluated(held, dataset)), 0.5)
    assert told == (
        "read units of a warm context rose from 2 to 2.5 on average",
        "requests of a warm context rose from 3 to 4 on average",
        "rounds of a warm context rose from 1 to 2 on average",
    )
    cheaper = figures_of(evaluated(held, dataset))
    assert losses(cheaper, before, 0.0) == ()


def test_a_loss_of_recall_is_told_beyond_the_tolerance() -> None:
    """By category, and overall; recall that grows is no loss."""
    document_before = document(evaluated(memory(), data("one")), timings=False)
    before = figures_of(evaluated(memory(), data("one")))
    worse = {key: value - 0.01 for key, value in before.recalls.items() if key[1] == 5}
    now = type(before)(before.conditions, {**before.recalls, **worse}, 0.9, before.costs)
    told = losses(before, now, 0.5)
    assert "recall@5 of all questions fell from 100.00% to 99.00%" in told
    assert "recall@10 against exact cosines fell from 100.00% to 90.00%" in told
    assert len(told) == len(document_before["recall"]["categories"]) + 2
    assert losses(before, now, 1.0) == (told[-1],)
    assert losses(now, before, 0.0) == ()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Plan("project", seed=1), "seed"),
        (Plan("project", budget_tokens=500), "budget of tokens"),
    ],
)
def test_runs_of_other_conditions_are_not_compared(other: Plan, words: str) -> None:
    """The condition is named, with both values."""
    dataset = data("one")
    one = evaluated(memory(), dataset).conditions
    with pytest.raises(UsageError, match=words):
        check_comparable(one, evaluated(memory(), dataset, other).conditions)
    with pytest.raises(UsageError, match="data set"):
        check_comparable(one, evaluated(memory(), data("two")).conditions)
    check_comparable(one, evaluated(memory(), dataset, Plan("elsewhere")).conditions)
