"""Whatever touches the network has a twin for callers with an event loop, which does the same."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from core.memory.bedrock_embeddings_optimized import OptimizedBedrockEmbeddings
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.memory_manager_optimized import OptimizedMemoryManager
from core.memory.parts import Tables
from tests.engines import engine_over, fake_tables

LOCAL = {"close", "get_performance_metrics"}
"""What asks nobody."""


@pytest.mark.parametrize(
    "kind", [OptimizedContextEngine, OptimizedMemoryManager, OptimizedBedrockEmbeddings]
)
def test_every_call_has_its_twin(kind: type) -> None:
    """With the same parameters."""
    methods = dict(inspect.getmembers(kind, inspect.isfunction))
    public = {name for name in methods if not name.startswith("_")} - LOCAL
    twins = {name for name in public if name.endswith("_async")}
    assert {f"{name}_async" for name in public - twins} == twins
    for twin in twins:
        plain = methods[twin.removesuffix("_async")]
        assert inspect.iscoroutinefunction(methods[twin])
        names = list(inspect.signature(plain).parameters)
        assert list(inspect.signature(methods[twin]).parameters) == names


@pytest.fixture
def tables() -> Tables:
    """Tables with two messages."""
    made = fake_tables()
    with engine_over(made) as engine:
        engine.save_interaction_optimized("Our otter is Ottilie.", "Lovely!", "ada", "s1")
    return made


ASKED: list[
    tuple[
        Callable[[OptimizedContextEngine], Any], Callable[[OptimizedContextEngine], Awaitable[Any]]
    ]
] = [
    (
        lambda e: e.build_context("otter?", "ada", "s1").text,
        lambda e: e.build_context_for_query_optimized_async("otter?", "ada", "s1"),
    ),
    (lambda e: e.find("otter?", "ada").items, lambda e: _items(e.find_async("otter?", "ada"))),
    (
        lambda e: e.memory.get_recent_context_optimized("ada"),
        lambda e: e.memory.get_recent_context_optimized_async("ada"),
    ),
    (
        lambda e: e.memory.get_session_context_optimized("ada", "s1"),
        lambda e: e.memory.get_session_context_optimized_async("ada", "s1"),
    ),
    (
        lambda e: e.embeddings.find_similar_conversations_optimized("otter", "ada").items,
        lambda e: _items(e.embeddings.find_similar_conversations_optimized_async("otter", "ada")),
    ),
    (
        lambda e: e.embeddings.generate_embedding("otter"),
        lambda e: e.embeddings.generate_embedding_async("otter"),
    ),
]


async def _items(found: Awaitable[Any]) -> Any:
    return (await found).items


@pytest.mark.parametrize(("plain", "twin"), ASKED)
def test_twins_answer_the_same(
    tables: Tables,
    plain: Callable[[OptimizedContextEngine], Any],
    twin: Callable[[OptimizedContextEngine], Awaitable[Any]],
) -> None:
    """Also when many are asked at once."""

    async def ask(engine: OptimizedContextEngine) -> list[Any]:
        return list(await asyncio.gather(*(twin(engine) for _ in range(8))))

    with engine_over(tables) as engine:
        expected = plain(engine)
        assert asyncio.run(ask(engine)) == [expected] * 8


def test_a_cancelled_save_is_whole_or_not_there(tables: Tables) -> None:
    """Whoever cancels leaves at once; what was under way ends, and nothing is half saved."""

    async def cancel(engine: OptimizedContextEngine) -> None:
        task = asyncio.create_task(
            engine.save_interaction_optimized_async("The heron is Heinz.", "Well.", "ada", "s1")
        )
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with engine_over(tables) as engine:
        asyncio.run(cancel(engine))
    with engine_over(tables) as fresh:
        assert fresh.memory.get_user_stats("ada").messages in (2, 4)
