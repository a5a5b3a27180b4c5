"""What a process that was just started finds in a history whose words it has no units to read."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from core.benchmark.evaluation.dataset import Conversation, Question
from core.benchmark.layouts.conversations import made_conversation
from core.memory.context import Context
from core.memory.index.reader import COLD_TERMS
from core.memory.parts import Tables
from tests.engines import FIRST_US, engine_over, fake_tables

pytestmark = pytest.mark.slow  # ten thousand messages

USER = "ada"
MESSAGES = 10_000
ASKED = 24
_NEWEST = MESSAGES - COLD_TERMS * 128
_LAST_US = FIRST_US + 10**13


@pytest.fixture(scope="module")
def history() -> Conversation:
    """Ten thousand messages, and questions for what was said once."""
    return made_conversation(MESSAGES, 1, user_id=USER, last_us=_LAST_US)


@pytest.fixture(scope="module")
def stored(history: Conversation) -> Tables:
    """Tables that hold them."""
    tables = fake_tables()
    with engine_over(tables) as engine:
        engine.import_messages(USER, history.messages)
    return tables


def test_a_cold_context_holds_what_is_near_though_its_words_are_not_known(
    history: Conversation, stored: Tables
) -> None:
    """Of what is older than the words that are read: most of it, in two rounds and 85 units.

    Search by exact cosines has 95% of such evidence among its 22 best.
    """
    older = [q for q in history.questions if max(q.evidence) < _NEWEST]
    asked = random.Random(1).sample(older, ASKED)
    contexts = [_cold(stored, question) for question in asked]
    for context in contexts:
        assert any("older messages are not loaded" in why for why in context.missing)
        assert context.consumed.read_units <= 85
        assert (context.consumed.requests, context.consumed.rounds) == (4, 2)
    assert _found(asked, contexts) >= 0.6


def test_the_newest_messages_are_found_by_their_words_all_the_same(
    history: Conversation, stored: Tables
) -> None:
    """What is not known of older ones does not displace what fits in words and vector."""
    newest = [q for q in history.questions if min(q.evidence) >= _NEWEST]
    asked = random.Random(1).sample(newest, ASKED)
    assert _found(asked, [_cold(stored, question) for question in asked]) >= 0.85


def test_an_answer_that_was_fetched_ranks_first_by_its_words(
    history: Conversation, stored: Tables
) -> None:
    """A text that is read says its words: the name that was asked for puts it before all others."""
    older = [q for q in history.questions if max(q.evidence) < _NEWEST]
    firsts = [_best(_cold(stored, q)) in _named(q) for q in random.Random(1).sample(older, ASKED)]
    assert sum(firsts) >= 0.6 * ASKED


def _cold(tables: Tables, question: Question) -> Context:
    with engine_over(tables) as engine:
        return engine.build_context(question.text, USER)


def _named(question: Question) -> frozenset[str]:
    return frozenset(f"m{row:06d}" for row in question.evidence)


def _best(context: Context) -> str:
    return max(context.lines, key=lambda line: line.score or 0.0).message_id


def _found(asked: Sequence[Question], contexts: Sequence[Context]) -> float:
    held = [
        _named(question) <= {line.message_id for line in context.lines}
        for question, context in zip(asked, contexts, strict=True)
    ]
    return sum(held) / len(held)
