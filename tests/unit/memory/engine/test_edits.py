"""A message whose content is replaced is found by what it says now, everywhere, and only so."""

from __future__ import annotations

import pytest

from core.errors import UsageError
from core.memory.parts import Tables
from core.testing.table import FakeTable
from tests.engines import QUESTION, Calls, Down, engine_over, fake_tables

OLD, NEW = "The otter is called Ottilie.", "The otter is called Oskar."


@pytest.mark.parametrize("sealed", [False, True])
def test_an_edit_replaces_what_was_said(sealed: bool) -> None:
    """In this process, in one that knows the old text, and in a fresh one."""
    tables = fake_tables()
    with engine_over(tables) as one, engine_over(tables) as other:
        saved = one.save_interaction_optimized(OLD, "Lovely!", "ada", "s1")
        place = saved.appended[0].place
        for n in range(70 if sealed else 0):
            one.save_interaction_optimized(f"Fact {n}.", "Noted.", "ada", "s1")
        assert "Ottilie" in other.build_context(QUESTION, "ada", "s1").text
        one.memory.edit_message_optimized("ada", place, NEW)
        for n in range(70 if sealed else 0):
            one.save_interaction_optimized(f"More {n}.", "Noted.", "ada", "s1")
        with engine_over(tables) as fresh:
            for engine in (one, other, fresh):
                for _ in range(2):
                    text = engine.build_context(QUESTION, "ada", "s1").text
                    assert "Oskar" in text
                    assert "Ottilie" not in text
                found = [match.place for match in engine.find(QUESTION, "ada", 500).items]
                assert found.count(place) == 1


def test_an_edit_while_no_vector_can_be_made_is_seen_by_others() -> None:
    """Neither text has a code by which the two could be told apart."""
    embedder, tables = Down(), fake_tables()
    embedder.up = False
    with (
        engine_over(tables, embedder=embedder) as one,
        engine_over(tables, embedder=embedder) as other,
    ):
        saved = one.save_interaction_optimized(OLD, "Lovely!", "ada", "s1")
        assert "Ottilie" in other.build_context(QUESTION, "ada", "s1").text
        one.memory.edit_message_optimized("ada", saved.appended[0].place, NEW)
        assert "Ottilie" not in other.build_context(QUESTION, "ada", "s1").text


def test_the_parts_of_a_large_content_go_with_it() -> None:
    """What nobody can reach any more is not left to lie."""
    tables = fake_tables()
    with engine_over(tables) as engine:
        large = "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(400_000))
        saved = engine.memory.save_conversation_optimized("ada", "s1", [("user", large)])
        assert _parts(tables) > 0
        engine.memory.edit_message_optimized("ada", saved.appended[0].place, NEW)
        assert _parts(tables) == 0


def test_nothing_is_edited_that_is_not_there() -> None:
    """Nor another user's message at the same place."""
    calls = Calls()
    with engine_over(fake_tables(calls)) as engine:
        saved = engine.save_interaction_optimized(OLD, "Lovely!", "ada", "s1")
        for user, place in (
            ("ada", "1700000000000000#user"),
            ("ada", "a place"),
            ("bob", saved.appended[0].place),
        ):
            with pytest.raises(UsageError, match="no message"):
                engine.memory.edit_message_optimized(user, place, NEW)
        assert OLD in engine.build_context(QUESTION, "ada", "s1").text


def _parts(tables: Tables) -> int:
    history = tables.history
    assert isinstance(history, FakeTable)
    return sum("#parts#" in str(item["user_date"]) for item in history.all_items())
