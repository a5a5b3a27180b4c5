"""Odd messages: stored whole and found, or refused before anything is stored."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import UsageError
from tests.engines import QUESTION, engine_over, fake_tables


@pytest.mark.parametrize("said", [("user",), ("user", None), (1, "Hi."), {"role": "user"}, None])
def test_what_is_no_role_and_content_is_refused_before_anything_is_stored(said: Any) -> None:
    """With a usage error, also where another message of the call is fine."""
    answer: Any = None  # what models answer beside a tool call
    with engine_over(fake_tables()) as engine:
        with pytest.raises(UsageError, match="no text as its 'role'"):
            engine.memory.save_conversation_optimized("ada", "s1", [("user", "Hello!"), said])
        with pytest.raises(UsageError, match="no text as its 'role'"):
            engine.save_interaction_optimized("Hello!", answer, "ada", "s1")
        assert engine.memory.get_recent_context_optimized("ada").items == ()


def test_messages_may_be_written_as_chat_models_take_them() -> None:
    """A role and a content, or a sentence that says what is missing."""
    with engine_over(fake_tables()) as engine:
        save = engine.memory.save_conversation_optimized
        save("ada", "s", [{"role": "user", "content": "Hello!"}, ("assistant", "Hi!")])
        recent = engine.memory.get_recent_context_optimized("ada")
        assert [(m.role, m.content) for m in recent.items] == [
            ("user", "Hello!"),
            ("assistant", "Hi!"),
        ]
        with pytest.raises(UsageError, match="'role' and its 'content'"):
            save("ada", "s", [{"role": "user", "text": "Hello!"}])


def test_of_an_interaction_that_can_not_be_stored_nothing_is() -> None:
    """The first half is fine; without the second it is not the interaction that was meant."""
    with engine_over(fake_tables()) as engine:
        with pytest.raises(UsageError, match="surrogate"):
            engine.save_interaction_optimized("Fine.", "Half \ud800.", "ada", "s1")
        assert engine.memory.get_recent_context_optimized("ada").items == ()


def test_a_large_message_is_found_by_its_beginning_and_read_whole() -> None:
    """Five megabytes: stored in parts, indexed by its beginning, never cut without a word."""
    text = "The otter Ottilie. " + "".join(chr(97 + n * 7919 % 26) for n in range(1_000_000)) * 5
    with engine_over(fake_tables()) as engine:
        engine.memory.save_conversation_optimized("ada", "s1", [("user", text)])
        context = engine.build_context(QUESTION, "ada", "s1")
        assert "Ottilie" in context.text
        assert "more characters]" in context.text
        assert context.tokens <= context.budget_tokens
        recent = engine.memory.get_recent_context_optimized("ada", whole=True)
        assert recent.items[0].content == text


@pytest.mark.parametrize("blank", [" " * 300, "\n\t" * 5000, " " * 250 + "otter", "\u3000" * 201])
def test_a_message_that_begins_with_nothing_but_blanks_is_stored(blank: str) -> None:
    """However many: there is no word at which its beginning could be cut."""
    with engine_over(fake_tables()) as engine:
        saved = engine.save_interaction_optimized(blank, "I hear nothing.", "ada", "s1")
        assert saved.missing == ()
        assert len(engine.memory.get_recent_context_optimized("ada").items) == 2
        session = engine.memory.get_session_context_optimized("ada", "s1")
        assert [message.content for message in session.items] == [blank, "I hear nothing."]
