"""Threads of one engine, and engines that are as processes of their own, over one table."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from core.errors import UsageError
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.testing.clock import FakeClock
from tests.engines import Calls, conversation, engine_over, fake_tables

QUESTION = "What is the otter called?"


def test_many_threads_learn_at_once_that_a_log_was_begun() -> None:
    """More of them than the pool has threads: none waits for a thread that waits for it."""
    calls = Calls()
    tables = fake_tables(calls)
    with engine_over(tables) as one:
        with engine_over(tables) as other:
            one.build_context(QUESTION, "ada")
            other.save_interaction_optimized("The otter is called Ottilie.", "Oh!", "ada", "s1")
        # What a table takes to answer: all threads are under way before the first is done.
        calls.fail = lambda _: time.sleep(0.02)
        texts: list[str] = []
        threads = [
            threading.Thread(
                target=lambda: texts.append(one.build_context(QUESTION, "ada").text), daemon=True
            )
            for _ in range(40)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert sum("Ottilie" in text for text in texts) == 40


@pytest.mark.parametrize(
    "call",
    [
        lambda e: e.build_context(QUESTION, "ada"),
        lambda e: e.find(QUESTION, "ada"),
        lambda e: e.save_interaction_optimized("a", "b", "ada", "s1"),
        lambda e: e.import_messages("ada", conversation("ada", 3)),
        lambda e: e.memory.get_user_stats("ada"),
    ],
)
def test_a_closed_engine_says_so(call: Callable[[OptimizedContextEngine], object]) -> None:
    """And may be closed again."""
    engine = engine_over(fake_tables())
    engine.save_interaction_optimized("The otter is called Ottilie.", "Oh!", "ada", "s1")
    engine.close()
    with pytest.raises(UsageError, match="closed"):
        call(engine)
    engine.close()


def test_closing_under_way_lets_every_call_end() -> None:
    """With what it was called for, or with the sentence that the engine is closed."""
    # What a table takes to answer: calls are under way when the engine is closed.
    calls = Calls(fail=lambda _: time.sleep(0.002))
    engine = engine_over(fake_tables(calls))
    strange: list[BaseException] = []

    def work(user: str) -> None:
        for turn in range(1000):
            try:
                engine.save_interaction_optimized(f"turn {turn}", "yes", user, "s1")
                engine.build_context("Which turn?", user, "s1")
            except UsageError as error:
                if "closed" not in error.what:
                    strange.append(error)
                return
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is told below
                strange.append(error)
                return

    threads = [threading.Thread(target=work, args=(f"u{n % 5}",), daemon=True) for n in range(20)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)  # all of them are in the middle of it
    engine.close()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert strange == []


def test_what_comes_under_a_lower_key_than_was_read_is_found() -> None:
    """A process whose clock is behind writes below what others have read meanwhile."""
    tables = fake_tables()
    ahead, behind = FakeClock(), FakeClock()
    ahead.advance(120)
    with engine_over(tables, clock=ahead) as one, engine_over(tables, clock=behind) as other:
        for turn in range(80):
            other.build_context(QUESTION, "ada")
            one.save_interaction_optimized(f"Ahead {turn}.", "Yes.", "ada", "s1")
            one.build_context(QUESTION, "ada")
            other.save_interaction_optimized(f"The newt is newt{turn}.", "Oh!", "ada", "s2")
            assert one.find(f"newt{turn}", "ada").items[0].parts["words"] > 0


def test_asking_for_what_is_new_costs_half_a_unit_however_the_log_stands() -> None:
    """That some of it is read again is within what asking costs anyway."""
    tables = fake_tables()
    with engine_over(tables) as one, engine_over(tables) as other:
        for turn in range(70):
            one.save_interaction_optimized(f"Turn {turn}.", "Yes.", "ada", "s1")
            other.memory.get_user_stats("ada")
            assert other.memory.get_user_stats("ada").consumed.read_units == 0.5


def test_an_index_that_lags_drops_no_row_of_a_process_whose_clock_is_behind() -> None:
    """The row is a minute old by its key, and its message in no index yet."""
    tables = fake_tables(index_lag=True)
    now, behind = FakeClock(), FakeClock()
    now.advance(120)
    with engine_over(tables, clock=now) as one, engine_over(tables, clock=behind) as other:
        one.build_context(QUESTION, "ada")
        other.save_interaction_optimized("The otter is Ottilie.", "Oh!", "ada", "s1")
        for _ in range(2):
            assert len(one.find(QUESTION, "ada").items) == 2


def test_more_new_messages_than_are_listed_drop_no_row() -> None:
    """All of the user's were listed by the index that lags, but not all of this process's own."""
    tables, clock = fake_tables(index_lag=True), FakeClock()
    with engine_over(tables, clock=clock) as engine:
        for turn in range(30):
            engine.save_interaction_optimized(f"Otter {turn}.", "Oh!", "ada", "s1")
        clock.jump(3600)
        engine.build_context(QUESTION, "ada")
        assert engine.memory.get_user_stats("ada").messages == 60


@pytest.mark.parametrize("saves", [30, 150])
def test_a_process_that_knows_the_user_finds_what_others_wrote_since(saves: int) -> None:
    """At once, sealed or not, and not only what is newest; the next context is one round again."""
    tables = fake_tables()
    with engine_over(tables) as one, engine_over(tables) as other:
        one.save_interaction_optimized("Hello.", "Hello!", "ada", "s1")
        one.build_context(QUESTION, "ada")
        other.save_interaction_optimized("The otter is Ottilie.", "Oh!", "ada", "s2")
        other.import_messages("ada", conversation("ada", saves))
        for turn in range(15):
            other.save_interaction_optimized(f"Turn {turn}.", "Yes.", "ada", "s3")
        first = one.build_context(QUESTION, "ada")
        assert "Ottilie" in first.text
        assert first.missing == ()
        assert one.build_context(QUESTION, "ada").consumed.rounds == 1
