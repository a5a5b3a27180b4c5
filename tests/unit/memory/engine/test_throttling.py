"""Tables that throttle and an embedder that is down cost a part of a context, and it is said."""

from __future__ import annotations

import pytest

from core.errors import ThrottledError
from core.memory.parts import Tables
from core.testing.table import FakeTable
from tests.engines import QUESTION, Calls, Down, engine_over, fake_tables


def test_throttling_of_the_index_costs_the_index_not_the_message() -> None:
    """Every third request fails for good: what is acknowledged is stored, and indexed later."""
    calls = Calls()
    tables = fake_tables(calls)

    def throttle(operation: str) -> None:
        if operation == "batch_write" and calls.operations.count("batch_write") % 3 == 0:
            raise ThrottledError("Too fast.", "Slow down.")

    calls.fail = throttle
    with engine_over(tables) as engine:
        saved = [
            engine.save_interaction_optimized(f"Shell {n} is white.", "Yes.", "ada", "s")
            for n in range(12)
        ]
        assert any("not indexed yet" in note for s in saved for note in s.missing)
        calls.fail = lambda _: None
        engine.save_interaction_optimized("Done.", "Good.", "ada", "s")
    with engine_over(tables) as fresh:
        assert fresh.memory.get_user_stats("ada").messages == 26


@pytest.mark.parametrize("operation", ["batch_get", "query"])
def test_reads_that_are_throttled_for_good_cost_what_they_would_have_brought(
    tables: Tables, operation: str
) -> None:
    """The context is built of the rest, and says that it lacks something."""
    calls = Calls()
    table = tables.embeddings
    assert isinstance(table, FakeTable)
    table._before_call = calls

    def throttle(asked: str) -> None:
        if asked == operation:
            raise ThrottledError("3 items were still unprocessed after 10 tries.", "Wait.")

    calls.fail = throttle
    with engine_over(tables) as engine:
        context = engine.build_context(QUESTION, "ada", "s1")
    assert "Ottilie" in context.text
    assert any("unprocessed" in note for note in context.missing)
    assert not any("None of the user's messages" in note for note in context.missing)
    assert any("can't be read" in note for note in context.missing) == (operation == "query")
    assert not context.complete


def test_an_embedder_that_is_down_costs_the_meaning_not_the_context() -> None:
    """Messages saved meanwhile are found by their words, and get their vectors when it is back."""
    embedder, tables = Down(), fake_tables()
    with engine_over(tables, embedder=embedder) as engine:
        embedder.up = False
        saved = engine.save_interaction_optimized("Our otter is Ottilie.", "Lovely!", "ada", "s1")
        assert "The model is away." in saved.missing[0]
        context = engine.build_context(QUESTION, "ada", "s1")
        assert "Ottilie" in context.text
        assert "words only" in context.missing[0]
        embedder.up = True
        done = engine._parts.catching.catch_up("ada")
        assert (done.indexed, done.embedded) == (0, 2)
    with engine_over(tables) as fresh:
        assert fresh.memory.get_user_stats("ada").with_vectors == 2
