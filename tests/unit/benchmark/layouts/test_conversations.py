"""Conversations made for a benchmark."""

from __future__ import annotations

import io
import json
import statistics
from collections import Counter
from pathlib import Path

import pytest

from core.benchmark.evaluation.dataset import Conversation
from core.benchmark.layouts.conversations import made_conversation, probed
from core.benchmark.layouts.scenarios import file_scenario, made_scenarios, many_users
from core.errors import UsageError
from core.memory.model import Message
from core.testing.clock import FakeClock

LAST_US = 1_790_000_000_000_000


def made(messages: int = 600, seed: int = 1) -> Conversation:
    """A conversation."""
    return made_conversation(messages, seed, last_us=LAST_US)


def test_the_same_seed_makes_the_same_conversation_and_another_one_another() -> None:
    """A result can be made again from its seed."""
    assert made() == made()
    assert made(seed=2).messages != made().messages


def test_messages_are_in_order_each_with_a_time_of_its_own_and_end_when_told() -> None:
    """Times tell messages apart, and none lies in the future."""
    times = [message.timestamp_us for message in made().messages]
    assert times == sorted(set(times))
    assert times[-1] == LAST_US


def test_lengths_are_spread_words_come_again_and_small_answers_too() -> None:
    """As people write: most short, some long; few words often; the same small things."""
    texts = [message.content for message in made(3000).messages]
    lengths = [len(text.split()) for text in texts]
    assert 10 < statistics.median(lengths) < 50
    assert max(lengths) > 3 * statistics.median(lengths)
    words = Counter(word for text in texts for word in text.lower().split())
    assert sum(count for _, count in words.most_common(100)) > 0.3 * words.total()
    assert texts.count("Thanks!") > 5


def test_each_question_is_answered_by_its_evidence_alone() -> None:
    """The owner whom a question names stands in the evidence, and in no other message."""
    conversation = made()
    assert len(conversation.questions) == 50
    for question in conversation.questions[:10]:
        (place,) = question.evidence
        names = {word.strip("?'s.").removesuffix("'") for word in question.text.split()}
        said = conversation.messages[place].content
        named = [name for name in names if name[:1].isupper() and name in said.split("'")[0]]
        named = [name for name in named if name not in ("What", "Do")]
        others = [m.content for n, m in enumerate(conversation.messages) if n != place]
        assert not any(name in text for name in named for text in others)


def test_a_conversation_without_questions_is_asked_in_its_own_words() -> None:
    """Half of a message's words, which that message is to answer; its own questions stay."""
    bare = Conversation("bare", made().messages, ())
    asked = probed(bare, 1)
    assert len(asked.questions) == 50
    for question in asked.questions:
        (place,) = question.evidence
        assert set(question.text.split()) <= set(bare.messages[place].content.split())
    assert probed(made(), 1) == made()


def test_sizes_are_measured_once_each_and_impossible_ones_refused() -> None:
    """Twice the same size is one scenario; none of one message, nor of a million."""
    clock = FakeClock()
    scenarios = made_scenarios((50, 20, 50), 1, clock)
    assert [s.messages for s in scenarios] == [20, 50]
    assert all(
        m.timestamp_us < clock.time() * 1e6
        for s in scenarios
        for h in s.histories
        for m in h.conversation.messages
    )
    for size in (1, 1_000_000):
        with pytest.raises(UsageError, match="can't be measured"):
            made_scenarios((size,), 1, clock)
    with pytest.raises(UsageError, match="can't be loaded"):
        many_users(0, 40, 1, clock)
    assert len(many_users(3, 40, 1, clock).histories) == 3


def lines(path: Path, texts: list[str]) -> Path:
    """A file of JSON lines."""
    rows = ({"role": "user", "content": text, "id": str(n)} for n, text in enumerate(texts))
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_a_file_of_messages_becomes_one_history_with_questions(tmp_path: Path) -> None:
    """JSON lines bring no questions, so they are asked in their own words."""
    path = lines(tmp_path / "a.jsonl", ["one two three four five six seven"] * 5 + ["short"])
    given = file_scenario(str(path), io.BytesIO(), 1)
    (history,) = given.scenario.histories
    assert given.name == "a.jsonl"
    assert len(given.digest) == 64
    assert [type(m) for m in history.conversation.messages] == [Message] * 6
    assert {m.user_id for m in history.conversation.messages} == {history.user_id}
    assert len(history.conversation.questions) == 5


def test_a_file_without_a_sentence_is_refused(tmp_path: Path) -> None:
    """Nothing can be asked of it."""
    with pytest.raises(UsageError, match="2 usable messages, 0 of some length"):
        file_scenario(str(lines(tmp_path / "a.jsonl", ["hi", "yes"])), io.BytesIO(), 1)


def test_locomo_brings_its_conversations_and_their_questions(locomo: Path) -> None:
    """Each conversation is a history of a user of its own."""
    given = file_scenario(str(locomo), io.BytesIO(), 1)
    users = [h.user_id for h in given.scenario.histories]
    assert len(users) == len(set(users)) == 5
    assert all(h.conversation.questions for h in given.scenario.histories)
