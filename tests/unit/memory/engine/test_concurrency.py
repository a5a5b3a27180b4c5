"""Threads of one engine, and engines that are as processes of their own, over one table."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from core.errors import UsageError
from core.memory.context_engine_optimized import OptimizedContextEngine
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
    time.sleep(0.5)
    engine.close()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert strange == []
