"""BM25 in columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.memory import bm25
from core.memory.index.block import TERM_BITS, Voice
from core.memory.index.words import (
    hashed,
    lexical_scores,
    named_rows,
    own_scores,
    query_terms,
    voice_terms,
)
from core.memory.model import Message
from tests.unit.memory.index.corpora import Conversation, corpus_of

WORDS = ["dog", "dogs", "pottery", "May", "2023", "Ada", "Bob", "Lovelace", "the", "cello", "東京"]
SPEAKERS = ["Ada", "Bob", "Ada Lovelace", "May"]

texts = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
turns = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(SPEAKERS), texts), max_size=12)


def said(turns: list[tuple[str, str, str]]) -> list[Message]:
    """Turns of sessions, each session by itself and in order of time, a month apart."""
    ordered = sorted(turns, key=lambda turn: turn[0])
    return [
        Message(
            "u",
            session,
            str(n),
            (1_680_000_000 + n * 2_600_000) * 1_000_000,
            "user",
            text,
            {"speaker": who},
        )
        for n, (session, who, text) in enumerate(ordered)
    ]


@given(turns, texts)
def test_scores_are_those_of_bm25(turns: list[tuple[str, str, str]], query: str) -> None:
    """Names, dates, neighbours, repeated words: rows score as the plain implementation says."""
    messages = said(turns)
    plain = bm25.score(query, messages)
    found = lexical_scores(corpus_of(messages), query)
    assert found == pytest.approx([plain.get(row, 0.0) for row in range(len(messages))], rel=1e-5)


@given(turns, texts, st.data())
def test_rows_that_are_gone_count_for_nothing(
    turns: list[tuple[str, str, str]], query: str, data: st.DataObject
) -> None:
    """Neither their terms nor their names nor their length weigh in the scores of others."""
    messages = said(turns)
    count = len(messages)
    alive = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    found = lexical_scores(corpus_of(messages, alive), query)
    rows = [row for row, living in enumerate(alive) if living]
    plain = bm25.score(query, [messages[row] for row in rows])
    expected = {row: plain.get(n, 0.0) for n, row in enumerate(rows)}
    assert found == pytest.approx([expected.get(row, 0.0) for row in range(count)], rel=1e-5)


def test_terms_hash_the_same_for_good() -> None:
    """Stored terms are found by these numbers, so they may never change."""
    assert [hashed(term) for term in ("dog", "東京", "")] == [1_012_711, 776_362, 75_548]
    assert all(0 <= hashed(str(n)) < 2**TERM_BITS for n in range(1000))


def test_half_a_surrogate_pair_can_be_asked_for() -> None:
    """A query that is no proper text finds nothing, and fails nowhere."""
    corpus = corpus_of(said([("a", "Bob", "dog")]))
    assert not lexical_scores(corpus, "\ud83d ab\udc00c").any()


def test_roles_are_words_like_any_other() -> None:
    """Where the speaker is "user", what is said of users is still found."""
    assert voice_terms([Voice("user", "user"), Voice("user", "Ada")]) == (
        frozenset(),
        frozenset({hashed("ada")}),
    )
    message = Message("u", "s", "1", 0, "user", "We have ten users")
    assert lexical_scores(corpus_of([message]), "How many users?")[0] > 0


def test_rows_of_a_named_speaker_are_told() -> None:
    """By any word of the name."""
    corpus = corpus_of(said([("a", "Ada Lovelace", "x"), ("a", "Bob", "Ada")]))
    assert named_rows(corpus, query_terms("Lovelace's dog")).tolist() == [True, False]
    assert not named_rows(corpus, query_terms("a dog")).any()


def test_no_rows_score_nothing() -> None:
    """A user without messages, or without any that is alive."""
    assert lexical_scores(corpus_of([]), "dog").shape == (0,)
    assert not lexical_scores(corpus_of(said([("a", "Bob", "dog")]), [False]), "dog").any()
    assert not named_rows(replace(corpus_of([]), voice_terms=()), query_terms("dog")).any()


def test_locomo_scores_are_those_of_bm25(locomo_conversations: list[Conversation]) -> None:
    """On real conversations no score differs, unless two terms share a hash."""
    differing = asked = 0
    for conversation in locomo_conversations:
        corpus = corpus_of(conversation.messages)
        for question in conversation.questions[::8]:
            plain = bm25.score(question.text, conversation.messages)
            expected = [plain.get(row, 0.0) for row in range(len(corpus))]
            found = lexical_scores(corpus, question.text)
            differing += not np.allclose(found, expected, rtol=1e-4)
            asked += 1
    assert differing <= 0.03 * asked


def test_own_scores_leave_neighbours_out() -> None:
    """Only the row that matches has a score of its own."""
    corpus = corpus_of(said([("a", "Bob", "dog"), ("a", "Bob", "cello")]))
    assert np.flatnonzero(own_scores(corpus, query_terms("dog"))).tolist() == [0]
