"""What BM25 finds."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from core.memory import bm25
from core.memory.importing.drafts import Defaults, MessageMaker
from core.memory.importing.formats import choose_format, read
from core.memory.importing.records import Draft
from core.memory.importing.source import open_source
from core.memory.model import Message
from core.memory.terms import stem, terms

# docs/memory.md reports what was measured; here are the figures of BM25 with its window, in
# percent, on the same conversations without stemming: no change may fall below them.
FLOOR = {5: 57.6, 10: 66.8, 25: 75.2, 50: 80.9}


def turn(n: int, speaker: str, content: str, session: str = "s") -> Message:
    """A turn of a conversation."""
    when = 1_700_000_000_000_000 + n * 1_000_000
    return Message("u", session, str(n), when, "user", content, {"speaker": speaker})


def ranked(query: str, messages: list[Message]) -> list[int]:
    """Positions of what matches, best first."""
    scores = bm25.score(query, messages)
    return sorted(scores, key=lambda place: -scores[place])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dogs", "dog"),
        ("stories", "story"),
        ("running", "run"),
        ("hiked", "hike"),
        ("hiking", "hike"),
        ("boxes", "box"),
        ("quickly", "quick"),
        ("planned", "plan"),
    ],
)
def test_forms_of_a_word_share_a_stem(one: str, other: str) -> None:
    """Plural, -ing, -ed and -ly match the plain word."""
    assert stem(one) == stem(other)


@pytest.mark.parametrize("word", ["thing", "bed", "bus", "this", "glass", "is", "a", "y"])
def test_short_words_keep_their_stem(word: str) -> None:
    """An ending is only cut from what is long enough to have one; no word vanishes."""
    assert stem(word)


def test_terms_of_unspaced_scripts_are_pairs() -> None:
    """Chinese is searched by pairs of characters."""
    assert list(terms("東京都")) == ["東京", "京都"]


def test_a_name_does_not_draw_the_turns_that_address_it() -> None:
    """What Ada does is found where she says it, not where Bob calls her."""
    messages = [
        turn(0, "Bob", "Ada Ada, how are you Ada?", "a"),
        turn(1, "Ada", "I started pottery classes", "b"),
        turn(2, "Bob", "Ada, see you soon Ada", "c"),
        turn(3, "Bob", "My pottery broke", "d"),
    ]
    assert ranked("When did Ada start pottery?", messages)[0] == 1
    assert 0 not in ranked("When did Ada start pottery?", messages)


def test_neighbours_of_a_match_come_with_it() -> None:
    """The answer to a matching question ranks by half of its score; other sessions don't."""
    messages = [
        turn(0, "Bob", "Which instrument?"),
        turn(1, "Ada", "The cello."),
        turn(2, "Bob", "Bye", "other"),
    ]
    assert ranked("instrument", messages) == [0, 1]


def test_dates_can_be_asked_for() -> None:
    """A month and year match when it was said."""
    messages = [turn(0, "Bob", "hello", "a"), turn(400 * 86_400, "Bob", "hello", "b")]
    assert ranked("What was said in November 2023?", messages) == [0]


def _conversations(path: Path) -> dict[str, list[Message]]:
    found: dict[str, list[Message]] = {}
    maker = MessageMaker(Defaults("u"))
    with path.open("rb") as stdin, open_source("-", stdin) as source:
        for draft in read(source, choose_format("auto", source)):
            assert isinstance(draft, Draft)
            message = maker.make(draft)
            assert isinstance(message, Message)
            found.setdefault(str(draft.metadata["sample_id"]), []).append(message)
    return found


def test_locomo_evidence_is_found(locomo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recall of the evidence turns over all questions is no worse than the figures to beat."""
    # A thousand questions to the same turns: each text is taken apart once, not at every question.
    once = functools.cache(lambda text: tuple(terms(text)))
    monkeypatch.setattr(bm25, "terms", once)
    conversations = _conversations(locomo)
    recalls: dict[int, list[float]] = {k: [] for k in FLOOR}
    for sample in json.loads(locomo.read_bytes()):
        messages = conversations[sample["sample_id"]]
        ids = [str(m.metadata["dia_id"]) for m in messages]
        for question in sample["qa"]:
            evidence = set(question["evidence"]) & set(ids)
            if not evidence:
                continue
            best = [ids[place] for place in ranked(question["question"], messages)[:50]]
            for k, values in recalls.items():
                values.append(100 * len(evidence & set(best[:k])) / len(evidence))
    measured = {k: sum(values) / len(values) for k, values in recalls.items()}
    assert all(measured[k] >= FLOOR[k] for k in FLOOR), measured
