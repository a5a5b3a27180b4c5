"""What is stored damaged or by another model costs its part of a context, and is said."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from core.errors import UsageError
from core.llm.hashing import HashingEmbedder
from core.memory.parts import Tables
from core.memory.vectors import pack
from core.testing.table import FakeTable
from tests.engines import FIRST_US, QUESTION, conversation, engine_over, fake_tables


def _items(tables: Tables, kind: Callable[[dict[str, Any]], bool]) -> Iterator[dict[str, Any]]:
    table = tables.embeddings
    assert isinstance(table, FakeTable)
    yield from (item for item in table.all_items() if kind(item))


def _is_vector(item: dict[str, Any]) -> bool:
    return "vector_compressed" in item


def _is_run(item: dict[str, Any]) -> bool:
    return str(item["embedding_id"]).startswith("L#")


@pytest.mark.parametrize(
    ("vector", "says"),
    [
        ([1.0] * 7, "7 dimensions"),
        ([0.0] * 384, "all zeros"),
        ([math.nan] * 384, "NaN"),
        ([], "shape"),
    ],
)
def test_no_vector_is_stored_that_can_not_be_compared(vector: list[float], says: str) -> None:
    """Of another length, of zeros, of NaN: a sentence, and nothing written."""
    tables = fake_tables()
    with engine_over(tables) as engine:
        message = conversation("ada", 1)[0]
        with pytest.raises(UsageError, match=says):
            engine.embeddings.store_embedding_optimized(message, f"{FIRST_US:016d}#user", vector)
    assert list(_items(tables, lambda _: True)) == []


@pytest.mark.parametrize(
    "envelope",
    [
        pack(np.ones(384, np.float32))[:100],
        b"",
        pack(np.ones(16, np.float32)),
        pack(np.ones(384, np.float32))[:2] + b"\x09" + pack(np.ones(384, np.float32))[3:],
    ],
    ids=["cut short", "empty", "another length", "unknown version"],
)
def test_a_damaged_vector_is_said_and_its_message_still_found(
    tables: Tables, envelope: bytes
) -> None:
    """The message keeps its words and the estimate of its codes."""
    for item in _items(tables, _is_vector):
        tables.embeddings.put({**item, "vector_compressed": envelope})
    with engine_over(tables) as engine:
        context = engine.build_context(QUESTION, "ada", "s1")
    assert "Ottilie" in context.text
    assert any("damaged" in note for note in context.missing)
    assert not context.complete


def _newer(raw: bytes) -> bytes:
    return raw[:2] + bytes([raw[2] + 1]) + raw[3:]


@pytest.mark.parametrize(
    "broken", [lambda raw: raw[:-3], lambda _: b"", _newer], ids=["cut", "empty", "newer"]
)
def test_a_damaged_run_hides_nothing_that_is_recent_and_is_made_up_for(
    tables: Tables, broken: Callable[[bytes], bytes]
) -> None:
    """A context goes on without it and says so; indexing again finds what it held."""
    for item in _items(tables, _is_run):
        tables.embeddings.put({**item, "rows": broken(item["rows"])})
    with engine_over(tables) as engine:
        context = engine.build_context(QUESTION, "ada", "s1")
        assert "Ottilie" in context.text
        assert context.missing
    with engine_over(tables) as engine:
        engine._parts.catching.catch_up("ada")
        assert [m.place for m in engine.find(QUESTION, "ada").items]


@pytest.mark.parametrize(
    "place", ["abc", "2026-05-08T12:00:00", "nan#user", "12#a#b#c", "9" * 30 + "#user", "x#y#z"]
)
def test_an_item_that_stands_where_no_message_does_costs_no_context(
    tables: Tables, place: str
) -> None:
    """Written by another program, and found among the newest."""
    foreign = {"user_date": "ada#2026-05-08", "timestamp_type": place, "user_id": "ada"}
    more = {"timestamp": FIRST_US, "session_id": "s1", "role": "user", "content": "odd"}
    tables.history.put({**foreign, **more, "content_summary": "odd"})
    with engine_over(tables) as engine:
        for _ in range(2):
            assert "Ottilie" in engine.build_context(QUESTION, "ada", "s1").text
        assert engine.find(QUESTION, "ada").items
        assert len(engine.memory.get_recent_context_optimized("ada").items) == 5
        assert len(engine.memory.get_session_context_optimized("ada", "s1").items) == 5
        assert engine._parts.catching.catch_up("ada").indexed == 0


def test_vectors_of_another_model_are_never_compared(tables: Tables) -> None:
    """A context goes by words and says why; a search by vector alone refuses."""
    with engine_over(tables, embedder=HashingEmbedder(64)) as engine:
        context = engine.build_context(QUESTION, "ada", "s1")
        assert "Ottilie" in context.text
        noted = "another embedding model, 'hashing-v1' with 384 dimensions"
        assert any(noted in note for note in context.missing)
        with pytest.raises(UsageError, match=r"384 dimensions; .* with 64"):
            engine.embeddings.find_similar_conversations_optimized(QUESTION, "ada")
        engine._parts.catching.catch_up("ada")
        assert engine.build_context(QUESTION, "ada", "s1").missing == ()
