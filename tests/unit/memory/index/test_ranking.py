"""Words and vectors in one ranking."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.llm.hashing import HashingEmbedder
from core.memory.index.fusion import LEXICAL_VECTORS, SEMANTIC, Ranking, weights_for
from core.memory.index.names import without_names
from core.memory.index.ranking import rank
from core.memory.index.words import lexical_scores, own_scores, query_terms
from core.memory.model import Message
from tests.unit.memory.index.corpora import (
    DEPTHS,
    Conversation,
    corpus_of,
    mean_over_questions,
)

FloatArray = npt.NDArray[np.float32]
PARTS = ("words", "vector", "speaker", "around", "episode")
HELD_OUT = ("conv-30", "conv-42")
"""The conversations that no weight was chosen on."""


def turn(n: int, content: str, session: str = "s", speaker: str = "Bob") -> Message:
    """A turn of a conversation."""
    return Message("u", session, str(n), n * 1_000_000, "user", content, {"speaker": speaker})


def ranked(messages: list[Message], query: str, *cosines: float) -> list[int]:
    """Rows that bear on a query, best first."""
    corpus = corpus_of(messages)
    near = np.array(cosines, np.float32) if cosines else None
    return list(rank(corpus, query, near).best(50))


NAN = float("nan")


def test_words_and_vectors_both_find() -> None:
    """A row that one of them finds is found, and one that both find comes first."""
    messages = [turn(n, text, str(n)) for n, text in enumerate(["dog", "x", "y", "dog", "z"])]
    found = ranked(messages, "dog", 0.1, 0.1, 0.8, 0.9, 0.1)
    assert found[0] == 3
    assert set(found[1:3]) == {0, 2}


def test_without_vectors_words_decide() -> None:
    """An embedder that is down costs the semantic part only."""
    assert ranked([turn(0, "cat", "a"), turn(1, "dog", "b")], "dog") == [1]


def test_a_row_without_a_vector_is_found_by_its_words() -> None:
    """And one without words by its vector."""
    messages = [turn(n, text, str(n)) for n, text in enumerate(["dog", "x", "y", "z"])]
    assert set(ranked(messages, "dog", NAN, 0.9, 0.1, 0.0)[:2]) == {0, 1}


def test_neighbours_come_with_a_hit() -> None:
    """The nearer in its session, the higher; rows of other sessions don't."""
    messages = [turn(n, "dog" if n == 3 else "x", "s" if n < 12 else "t") for n in range(14)]
    found = ranked(messages, "dog")
    assert found[0] == 3
    assert set(found[1:3]) == {2, 4}
    assert set(found[3:5]) == {1, 5}
    assert set(found) == set(range(12))


def test_a_named_speaker_goes_first() -> None:
    """Of two rows that are alike, the one said by who is asked about."""
    messages = [turn(0, "my dog", "a", "Ada"), turn(1, "my dog", "b", "Bob")]
    assert ranked(messages, "Ada's dog", 0.5, 0.5)[0] == 0


def test_of_equal_scores_the_later_message_is_first() -> None:
    """What was said last is what holds."""
    messages = [turn(n, "dog", str(n)) for n in (5, 9, 7)]
    assert ranked(messages, "dog") == [1, 2, 0]


def test_one_message_is_found() -> None:
    """Though nothing stands out of one row, or of rows that are all alike."""
    assert ranked([turn(0, "x")], "y", 0.3) == [0]
    assert sorted(ranked([turn(0, "x"), turn(1, "x")], "y", 0.3, 0.3)) == [0, 1]


def test_nothing_is_found_where_nothing_matches() -> None:
    """No word in common and no vector that points the same way."""
    assert ranked([turn(0, "x"), turn(1, "x")], "y", -0.1, 0.0) == []
    assert ranked([], "dog") == []
    assert rank(corpus_of([turn(0, "dog")]), "dog", None).best(0).tolist() == []


def test_a_row_whose_words_are_not_known_yet_is_judged_by_its_vector() -> None:
    """Before all that share a common word with the question; after what fits in both."""
    texts = ["x", "called", "called", "dog called", "called", *["x"] * 9]
    corpus = corpus_of([turn(n, text, str(n)) for n, text in enumerate(texts)])
    worded = np.arange(len(texts)) > 0
    near = np.array([0.8, 0.2, 0.2, 0.8, 0.2, *[0.0] * 9], np.float32)
    ranking = rank(dataclasses.replace(corpus, worded=worded), "dog called", near)
    assert list(ranking.best(2)) == [3, 0]
    assert not ranking.words[0]


def test_how_rare_a_word_is_is_told_by_the_rows_whose_words_are_known() -> None:
    """Others neither make it rarer nor a text longer than the mean."""
    known = [turn(n, text, str(n)) for n, text in enumerate(["dog x", "dog y z", "cat", "dog"])]
    strange = [turn(n, "", str(n)) for n in range(4, 40)]
    corpus = corpus_of([*known, *strange])
    worded = np.arange(len(corpus)) < len(known)
    scores = own_scores(dataclasses.replace(corpus, worded=worded), query_terms("dog cat"))
    assert scores[:4].tolist() == own_scores(corpus_of(known), query_terms("dog cat")).tolist()


def test_rows_that_are_gone_are_not_found() -> None:
    """Nor do they give anything to others, whatever their vectors say."""
    corpus = corpus_of([turn(0, "dog"), turn(1, "x"), turn(2, "x")], [False, True, True])
    ranking = rank(corpus, "dog", np.array([0.9, 0.0, 0.0], np.float32))
    assert ranking.best(5).tolist() == []
    assert not ranking.total.any()


def test_the_hashing_embedder_gets_little_weight() -> None:
    """Its vectors are words again; those of a model are not."""
    assert weights_for(HashingEmbedder(seed=3).model) is LEXICAL_VECTORS
    assert weights_for("amazon.titan-embed-text-v2:0") is SEMANTIC


corpora = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from(["Ada", "Bob"]),
        st.sampled_from(["dog", "dog cat", "cat", "x"]),
    ),
    min_size=1,
    max_size=12,
)
near = st.floats(-1, 1, width=32) | st.sampled_from([NAN, float("inf"), float("-inf")])


@given(corpora, st.sampled_from(["dog", "Ada's cat", "y", ""]), st.data())
def test_the_parts_make_up_the_total(
    turns: list[tuple[str, str, str]], query: str, data: st.DataObject
) -> None:
    """Whatever the vectors hold, every part is a number of 0 or more, and they sum to the total."""
    messages = [turn(n, text, s, who) for n, (s, who, text) in enumerate(turns)]
    count = len(messages)
    alive = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    cosines = data.draw(hnp.arrays(np.float32, count, elements=near))
    ranking = rank(corpus_of(messages, alive), query, cosines)
    parts = [getattr(ranking, name) for name in PARTS]
    assert all(np.isfinite(part).all() and (part >= 0).all() for part in parts)
    assert np.sum(parts, axis=0) == pytest.approx(ranking.total, abs=1e-5)
    found = ranking.best(count).tolist()
    assert len(set(found)) == len(found)
    assert all(alive[row] for row in found)
    assert ranking.total[found].tolist() == sorted(ranking.total[found], reverse=True)
    assert [ranking.best(n).tolist() for n in range(count)] == [found[:n] for n in range(count)]


@given(st.floats(0.2, 4), st.floats(-0.1, 0.3))
def test_estimates_of_another_scale_rank_the_same(scale: float, offset: float) -> None:
    """What counts is how a cosine stands among the others, as long as they are above 0."""
    messages = [turn(n, "dog" if n % 5 == 0 else "x", str(n // 7)) for n in range(40)]
    cosines = np.random.default_rng(1).uniform(0.1, 0.6, 40).astype(np.float32)
    corpus = corpus_of(messages)
    other = ((cosines + offset) * scale).astype(np.float32)
    expected = rank(corpus, "dog", cosines).total
    assert rank(corpus, "dog", other).total == pytest.approx(expected, abs=1e-3)


Search = Callable[[Conversation], Callable[[int, str], Iterable[int]]]


def recalls(
    found: list[Conversation], search: Search
) -> list[tuple[Conversation, dict[int, float]]]:
    """The recall of a search in each conversation."""
    return [(conversation, conversation.recall(search(conversation))) for conversation in found]


def by_words(conversation: Conversation) -> Callable[[int, str], Iterable[int]]:
    """BM25 alone, with its neighbours."""
    corpus = corpus_of(conversation.messages)
    return lambda _, query: np.argsort(-lexical_scores(corpus, query), kind="stable")[:50].tolist()


def fusing(
    conversation: Conversation, texts: FloatArray, questions: FloatArray, model: str
) -> Callable[[int, str], Iterable[int]]:
    """The ranking, with the cosines of these vectors."""
    corpus = corpus_of(conversation.messages)
    cosines = questions @ texts.T

    def search(number: int, query: str) -> list[int]:
        ranking: Ranking = rank(corpus, query, cosines[number], weights_for(model))
        return list(ranking.best(max(DEPTHS)))

    return search


def test_hashing_finds_more_than_bm25(locomo_conversations: list[Conversation]) -> None:
    """With the vectors that need no model: in each conversation, at each depth."""
    embedder = HashingEmbedder()

    def search(conversation: Conversation) -> Callable[[int, str], Iterable[int]]:
        texts = embedder.embed([m.content for m in conversation.messages]).array
        plain = [without_names(q.text, conversation.names) for q in conversation.questions]
        return fusing(conversation, texts, embedder.embed(plain).array, embedder.model)

    alone = recalls(locomo_conversations, by_words)
    both = recalls(locomo_conversations, search)
    for (conversation, less), (_, more) in zip(alone, both, strict=True):
        assert all(more[k] >= less[k] for k in DEPTHS), (conversation.name, less, more)
    measured = mean_over_questions(both)
    floor = {5: 67.0, 10: 77.2, 25: 84.8, 50: 89.7}
    assert all(measured[k] >= floor[k] for k in DEPTHS), measured


class StoredVectors:
    """Vectors of LoCoMo's texts, made with all-MiniLM-L6-v2."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as stored:
            self._rows = {str(h): row for row, h in enumerate(stored["text_sha256_32"])}
            self._vectors = stored["vectors"].astype(np.float32)

    def of(self, *texts: str) -> FloatArray:
        """The vector of the first of these texts that has one."""
        for text in texts:
            row = self._rows.get(hashlib.sha256(text.encode()).hexdigest()[:32])
            if row is not None:
                return np.array(self._vectors[row])
        raise AssertionError(f"no vector of {texts[-1]!r}")

    def direction(self, conversation: Conversation, name: str) -> FloatArray:
        """Where a name draws the texts that begin with it."""
        drawn = [
            self.of(f"{name}: {m.content}") - self.of(m.content, plain_text(m))
            for m in conversation.messages
            if m.speaker == name
        ]
        mean = np.mean(drawn, axis=0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def question(self, conversation: Conversation, text: str) -> FloatArray:
        """A question's vector without what its names add: there is none of its text without."""
        vector = self.of(text)
        for name in sorted(conversation.names):
            if name.lower() in text.lower():
                away = self.direction(conversation, name)
                vector = vector - (vector @ away) * away
        return vector


def plain_text(message: Message) -> str:
    """A turn without the caption of what it shares."""
    return message.content.split(" [shares ")[0]


@pytest.fixture(scope="session")
def minilm(locomo: Path) -> StoredVectors:
    """Vectors of a real model, where they are at hand."""
    path = locomo.with_name("locomo-dev-minilm.npz")
    if not path.exists():
        pytest.skip(f"vectors of the LoCoMo conversations are not at hand ({path.name})")
    return StoredVectors(path)


def test_vectors_of_a_model_find_far_more(
    locomo_conversations: list[Conversation], minilm: StoredVectors
) -> None:
    """On all five conversations, and on the two that no weight was chosen on."""

    def search(conversation: Conversation) -> Callable[[int, str], Iterable[int]]:
        texts = [minilm.of(m.content, plain_text(m)) for m in conversation.messages]
        questions = [minilm.question(conversation, q.text) for q in conversation.questions]
        return fusing(conversation, np.array(texts), np.array(questions), "all-MiniLM-L6-v2")

    found = recalls(locomo_conversations, search)
    everywhere = mean_over_questions(found)
    assert all(everywhere[k] >= n for k, n in zip(DEPTHS, (68, 77, 88, 93), strict=True)), (
        everywhere
    )
    held_out = mean_over_questions([pair for pair in found if pair[0].name in HELD_OUT])
    assert all(held_out[k] >= n for k, n in zip(DEPTHS, (65, 74, 84, 90), strict=True)), held_out
