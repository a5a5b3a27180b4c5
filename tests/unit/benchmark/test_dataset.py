"""Data sets: what is read, what is repaired, and what is left out and told."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from core.benchmark.evaluation.dataset import Dataset, open_dataset, read_dataset
from core.benchmark.evaluation.evidence import Turns
from core.errors import UsageError
from tests.unit.benchmark.conversations import asked, raw, sample, turn

TURNS = Turns(["D1:1", "D1:2", "D8:6", "D9:17", "D11:26", "odd one", "D3:3", "D3:3"])


@pytest.mark.parametrize(
    ("written", "turns", "repaired"),
    [
        (["D1:1", "D1:2", "D1:1"], {0, 1}, 0),
        (["D8:6; D9:17"], {2, 3}, 1),
        (["D8:6,D9:17"], {2, 3}, 1),
        (["D8:6 D9:17"], {2, 3}, 1),
        (["D8:6D9:17"], {2, 3}, 1),
        (["D:11:26"], {4}, 1),
        (["d1:01"], {0}, 1),
        (["(D1:1)."], {0}, 1),
        ("D1:1", {0}, 0),
        (["odd one"], {5}, 0),
        (None, set(), 0),
        ([], set(), 0),
    ],
)
def test_evidence_is_read_where_it_can_mean_one_thing(
    written: object, turns: set[int], repaired: int
) -> None:
    """Ids run together, a colon too many and leading zeros are read; repairs are counted."""
    found = TURNS.evidence(written)
    assert found.turns == turns
    assert (found.repaired, found.unusable) == (repaired, ())


@pytest.mark.parametrize(
    "written",
    [["D"], ["D10:19"], ["D3:3"], [""], [17], [None], [["D1:1"]], {"D1:1": 1}, ["D1:1:2"], True],
)
def test_evidence_that_names_no_turn_or_two_is_left_out_and_told(written: object) -> None:
    """Nothing is guessed: a missing turn, one of two of a name, a number, a list in a list."""
    found = TURNS.evidence(written)
    assert not found.turns
    assert not found.repaired
    assert len(found.unusable) == 1


def test_what_is_usable_beside_what_is_not_still_counts() -> None:
    """One bad id of several costs that one only."""
    found = TURNS.evidence(["D1:1; D77:1", "D"])
    assert found.turns == {0}
    assert len(found.unusable) == 2


def made() -> Dataset:
    """The data set made by hand."""
    return read_dataset("made-up.json", raw(sample()))


def test_a_conversation_is_read_with_its_questions() -> None:
    """Messages in the order of the file, captions added; evidence as positions; every trouble."""
    dataset = made()
    (conversation,) = dataset.conversations
    assert conversation.messages[2].content == "Look! [shares a photo of a red bicycle]"
    assert conversation.speakers == {"Ada", "Bob"}
    assert [q.evidence for q in conversation.questions] == [{0}, {1}, {3, 4}, {2}, {4}]
    assert [q.category for q in conversation.questions] == [
        *("single-hop", "multi-hop", "temporal", "adversarial", "single-hop")
    ]
    tally = dataset.tally
    assert (tally.questions, tally.without_evidence) == (6, 1)
    assert (tally.repaired, tally.unusable) == (2, 2)
    assert tally.troubles == (
        "made-up, question 5: 'D9:9' is no turn of this conversation",
        "made-up, question 5: 'D' is no turn of this conversation",
        "made-up, question 6: it names no evidence",
    )


@pytest.mark.parametrize("category", [None, True, 0, 6, "six", [1], 2.0, "²"])
def test_a_category_that_nobody_knows_is_called_so(category: object) -> None:
    """The question is asked all the same."""
    questions = [asked("What is the dog called?", ["D1:1"], category)]
    dataset = read_dataset("x", raw(sample(qa=questions)))
    assert dataset.conversations[0].questions[0].category == "unknown"


@pytest.mark.parametrize("question", [None, 7, "", "  ", ["What?"]])
def test_a_question_without_text_is_not_asked(question: object) -> None:
    """It is counted and told; the others are asked."""
    questions = [asked(question, ["D1:1"]), asked("What is the dog called?", ["D1:1"]), "no"]
    dataset = read_dataset("x", raw(sample(qa=questions)))
    assert dataset.questions == 1
    assert dataset.tally.without_evidence == 2


def test_a_turn_that_cannot_be_used_is_told() -> None:
    """The conversation goes on without it, and evidence that names it names nothing."""
    broken = sample(qa=[asked("Who?", ["D1:1"]), asked("What?", ["D1:2"])])
    broken["conversation"]["session_1"][1] = turn("Bob", "D1:2", None)
    dataset = read_dataset("x", raw(broken))
    assert dataset.messages == 4
    assert dataset.questions == 1
    assert dataset.tally.unusable_turns == 1


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{}",
        b"7",
        b"[1, 2]",
        b"not json",
        b'[{"sample_id": "a"',
        raw(sample(qa=[])),
        raw(sample(qa="none")),
        raw({"qa": [asked("What?", ["D1:1"])]}),
        raw(sample(), sample()),
    ],
)
def test_what_cannot_be_evaluated_is_refused(content: bytes) -> None:
    """One sentence, and what to do."""
    with pytest.raises(UsageError) as told:
        read_dataset("x.json", content)
    assert "x.json" in told.value.what
    assert told.value.cure


def test_a_format_that_does_not_exist_is_refused() -> None:
    """The known ones are named."""
    with pytest.raises(UsageError, match="no format of data sets 'csv'") as told:
        open_dataset("x.json", "csv", io.BytesIO())
    assert "locomo" in str(told.value.cure)


def test_standard_input_is_read() -> None:
    """`-` is the stream that is handed in."""
    assert open_dataset("-", "locomo", io.BytesIO(raw(sample()))).name == "standard input"


def test_a_sample_of_questions_follows_from_the_seed() -> None:
    """The same seed draws the same; another one draws others; more than there are is all."""
    samples = (sample(f"s{n}") for n in range(6))
    dataset = read_dataset("x", raw(*samples))
    drawn = [dataset.sampled(7, seed) for seed in (1, 1, 2)]
    assert [d.questions for d in drawn] == [7, 7, 7]
    assert drawn[0] == drawn[1] != drawn[2]
    assert dataset.sampled(1000, 1) is dataset.sampled(None, 5) is dataset
    with pytest.raises(UsageError, match="-1 questions"):
        dataset.sampled(-1, 1)


def test_the_real_file_is_read_whole(locomo: Path) -> None:
    """Its three repairs are made, and its two ids of no turn are told."""
    dataset = read_dataset("locomo", locomo.read_bytes())
    assert (len(dataset.conversations), dataset.messages) == (5, 2760)
    tally = dataset.tally
    assert (tally.questions, tally.repaired, tally.unusable) == (999, 2, 2)
