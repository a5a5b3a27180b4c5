"""Callers of one engine, whichever is active: legacy, both, or optimized."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from core.errors import ThrottledError
from core.llm.hashing import HashingEmbedder
from core.memory.bedrock_embeddings import BedrockEmbeddings
from core.memory.context_engine import ContextEngine
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.memory_manager import MemoryManager
from core.memory.parts import Tables
from core.memory.routed_engine import RoutedEngine
from core.memory.schema import legacy_history_schema
from core.testing.table import FakeTable
from tests.engines import Calls, engine_over, fake_tables

QUESTION = "What is the otter called?"
SAID = ("Our otter is called Ottilie.", "Lovely!", "ada", "s1")


@dataclass
class _Flag:
    name: str


@pytest.fixture
def flag() -> _Flag:
    """Which engine is active."""
    return _Flag("legacy")


@pytest.fixture
def calls() -> Calls:
    """What the optimized tables are asked."""
    return Calls()


@pytest.fixture
def tables(calls: Calls) -> Tables:
    """The optimized tables."""
    return fake_tables(calls)


@pytest.fixture
def engine(flag: _Flag, tables: Tables) -> Iterator[RoutedEngine]:
    """Both engines over tables in memory."""
    legacy = ContextEngine(
        MemoryManager(FakeTable(legacy_history_schema("t"))), BedrockEmbeddings(HashingEmbedder())
    )
    with RoutedEngine(lambda: engine_over(tables), lambda: legacy, flag) as routed:
        yield routed


def test_threads_share_one_engine(tables: Tables) -> None:
    """However many ask first at once: a second one would never be closed."""
    opened = []

    def slowly() -> OptimizedContextEngine:
        time.sleep(0.05)  # long enough for the others to ask for the engine too
        opened.append(engine_over(tables))
        return opened[-1]

    with ThreadPoolExecutor(8) as pool, RoutedEngine(slowly, _never, _Flag("optimized")) as routed:
        engines = set(pool.map(lambda _: routed.optimized, range(8)))
    assert engines == set(opened)
    assert len(opened) == 1


def _never() -> ContextEngine:
    raise AssertionError


def test_legacy_alone_touches_no_new_table(engine: RoutedEngine, calls: Calls) -> None:
    """As it was before there was another engine."""
    assert engine.save_interaction(*SAID).engine == "legacy"
    assert "Ottilie" in engine.build_context_for_query(QUESTION, "ada", "s1")
    assert calls.operations == []


def test_dual_writes_the_same_messages_to_both(engine: RoutedEngine, flag: _Flag) -> None:
    """With the same ids and times, so that a copy made later doubles none; reads are legacy's."""
    flag.name = "dual"
    saved = engine.save_interaction(*SAID)
    assert (saved.engine, saved.missing) == ("dual", ())
    assert "Ottilie" in engine.build_context_for_query(QUESTION, "ada", "s1")
    again = engine.optimized.import_messages("ada", [one.message for one in saved.appended])
    assert [one.new for one in again.appended] == [False, False]
    flag.name = "optimized"
    assert "Ottilie" in engine.build_context_for_query(QUESTION, "ada", "s1")
    assert engine.optimized.memory.get_user_stats("ada").messages == 2


def test_a_new_table_that_fails_costs_no_message_while_both_are_written(
    engine: RoutedEngine, flag: _Flag, calls: Calls
) -> None:
    """The legacy table counts; what the other lacks is said."""
    flag.name = "dual"

    def throttle(_: str) -> None:
        raise ThrottledError("Too fast.", "Slow down.")

    calls.fail = throttle
    saved = engine.save_interaction(*SAID)
    assert saved.missing == ("Stored in the legacy table only: Too fast.",)
    assert "Ottilie" in engine.build_context_for_query(QUESTION, "ada", "s1")


async def _twice(engine: RoutedEngine) -> str:
    await engine.save_interaction_async(*SAID)
    return await engine.build_context_for_query_async(QUESTION, "ada", "s1")


@pytest.mark.parametrize("name", ["legacy", "dual", "optimized"])
def test_the_async_twins_do_the_same(engine: RoutedEngine, flag: _Flag, name: str) -> None:
    """Whichever engine is active."""
    flag.name = name
    assert "Ottilie" in asyncio.run(_twice(engine))
