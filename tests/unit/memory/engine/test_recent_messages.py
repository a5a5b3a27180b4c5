"""Recent messages: as many as are asked for, and none that has expired."""

from __future__ import annotations

from core.memory.parts import Options
from core.testing.clock import FakeClock
from core.testing.table import FakeTable
from tests.engines import QUESTION, conversation, engine_over, fake_tables


def test_an_expired_message_is_in_no_context() -> None:
    """DynamoDB may keep it for days: readers drop it, in copies as well."""
    clock, tables = FakeClock(), fake_tables()
    with engine_over(tables, clock=clock, options=Options(keep_days=1)) as engine:
        engine.save_interaction_optimized("Our otter is Ottilie.", "Lovely!", "ada", "s1")
        assert "Ottilie" in engine.build_context(QUESTION, "ada", "s1").text
        clock.advance(86_401)
        with engine_over(tables, clock=clock) as fresh:
            for one in (engine, fresh):
                assert one.build_context(QUESTION, "ada", "s1").lines == ()
                assert one.memory.get_recent_context_optimized("ada").items == ()
                assert one.memory.get_session_context_optimized("ada", "s1").items == ()
                assert one.find(QUESTION, "ada").items == ()


def test_newer_messages_that_have_expired_hide_no_older_one() -> None:
    """DynamoDB keeps them for days, and lists them first."""
    tables, clock = fake_tables(), FakeClock()
    with engine_over(tables, clock=clock) as engine:
        engine.save_interaction_optimized("The otter is Ottilie.", "Oh!", "ada", "s1")
    with engine_over(tables, clock=clock, options=Options(keep_days=0.01)) as brief:
        for turn in range(60):
            brief.save_interaction_optimized(f"Soon gone {turn}.", "Yes.", "ada", "s1")
    clock.advance(0.02 * 86_400)
    with engine_over(tables, clock=clock) as engine:
        recent = engine.memory.get_recent_context_optimized("ada", 20)
        assert [message.content for message in recent.items] == ["The otter is Ottilie.", "Oh!"]
        assert [line.source for line in engine.build_context("Weather?", "ada").lines] == [
            "recent",
            "recent",
        ]


def test_as_many_recent_messages_as_are_asked_for() -> None:
    """However many pages of an index that takes."""
    tables = fake_tables()
    history = tables.history
    assert isinstance(history, FakeTable)
    with engine_over(tables) as engine:
        engine.import_messages("ada", conversation("ada", 400))
    history._page_bytes = 20_000
    with engine_over(tables) as engine:
        assert len(engine.memory.get_recent_context_optimized("ada", 300).items) == 300
        assert len(engine.memory.get_recent_context_optimized("ada", 10**6).items) == 400
