"""Processes, users and programs that share tables hide nothing of one another, nor double it."""

from __future__ import annotations

from core.aws.requests import Query
from core.memory.index.packing import pack_block, unpack_block
from core.memory.model import Message
from core.memory.parts import Options, Tables
from core.testing.clock import FakeClock
from tests.engines import FIRST_US, QUESTION, engine_over, fake_tables


def test_many_users_share_one_engine_within_its_memory() -> None:
    """Copies that do not fit are let go of, and read again when they are asked for."""
    options = Options(index_memory_bytes=200_000)
    with engine_over(fake_tables(), options=options) as engine:
        for number in range(60):
            engine.save_interaction_optimized(f"I am {number}.", "Hello!", f"user-{number}", "s")
            engine.build_context(QUESTION, f"user-{number}", "s")
        metrics = engine.get_performance_metrics()
        assert metrics["memory_bytes"] <= 200_000
        assert "I am 7." in engine.build_context("Who?", "user-7", "s").text


def test_two_processes_that_seal_the_same_messages_double_none() -> None:
    """Both know the same saves; whoever comes second finds them sealed, or seals them again."""
    tables = fake_tables()
    with engine_over(tables) as one, engine_over(tables) as other:
        for number in range(62):
            one.save_interaction_optimized(f"Fact {number}.", "Noted.", "ada", "s")
        other.build_context(QUESTION, "ada", "s")
        one.save_interaction_optimized("Fact 62.", "Noted.", "ada", "s")
        other.save_interaction_optimized("Fact 63.", "Noted.", "ada", "s")
        other.build_context(QUESTION, "ada", "s")
        one.save_interaction_optimized("Fact 64.", "Noted.", "ada", "s")
        other.save_interaction_optimized("Fact 65.", "Noted.", "ada", "s")
    with engine_over(tables) as fresh:
        stats = fresh.memory.get_user_stats("ada")
        assert stats.messages == 132
        for number in (0, 31, 62, 63, 64, 65):
            found = fresh.find(f"Fact {number}", "ada", 200).items
            assert len({match.place for match in found}) == len(found)


def test_clocks_that_jump_lose_no_message() -> None:
    """Back by a day, on by a year: what was saved is found, by this process and another."""
    tables = fake_tables()
    clock = FakeClock()
    with engine_over(tables, clock=clock) as one, engine_over(tables) as other:
        for number, jump in enumerate((0, -86_400, 30 * 86_400, -40 * 86_400, 1)):
            clock.jump(jump)
            one.save_interaction_optimized(f"Stone {number} is grey.", "Yes.", "ada", "s")
            for engine in (one, other):
                found = engine.build_context(f"stone {number}", "ada", "s").text
                assert f"Stone {number} is grey." in found


def test_an_index_that_lags_hides_nothing_of_this_process(tables: Tables) -> None:
    """Nor of another: the log of the index is a table of its own, without a lag."""
    lagging = fake_tables(index_lag=True)
    with engine_over(lagging) as one, engine_over(lagging) as other:
        one.save_interaction_optimized("Our otter is called Ottilie.", "Lovely!", "ada", "s1")
        for engine in (one, other):
            assert "Ottilie" in engine.build_context(QUESTION, "ada", "s1").text
        recent = one.memory.get_recent_context_optimized("ada")
        assert [m.content for m in recent.items] == ["Our otter is called Ottilie.", "Lovely!"]


def test_a_message_unknown_to_the_index_is_found_all_the_same(tables: Tables) -> None:
    """Written to the history alone, as other programs do: recent at once, searched by words."""
    with engine_over(tables) as engine:
        engine._parts.store.append(
            Message("bob", "s", "m1", FIRST_US, "user", "The heron is called Heinz.")
        )
    with engine_over(tables) as fresh:
        context = fresh.build_context("What is the heron called?", "bob")
        assert "Heinz" in context.text
        assert "indexed" in context.missing[0]
        fresh._parts.catching.catch_up("bob")
        assert fresh.build_context("What is the heron called?", "bob").missing == ()


def test_runs_keep_their_order_in_the_table(tables: Tables) -> None:
    """Their keys sort as time goes, so that what is new is one range."""
    page = tables.embeddings.query(Query("ada#segments"))
    keys = [str(item["embedding_id"]) for item in page.items]
    assert keys == sorted(keys)
    runs = [item for item in page.items if "rows" in item]
    assert [len(unpack_block(item["rows"])) for item in runs] == [2, 2]
    assert pack_block(unpack_block(page.items[0]["rows"])) == page.items[0]["rows"]
