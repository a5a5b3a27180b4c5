"""The index held against the history: what differs is counted, and put right."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.errors import EndpointUnreachableError
from core.memory import keys
from core.memory.chunks import user_chunks
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.index.partition import TERMS, partition_of
from core.memory.model import Message
from core.memory.orphans import Auditor
from core.memory.parts import Tables
from core.testing.clock import FakeClock
from core.testing.table import FakeTable
from tests.engines import FIRST_US, Calls, conversation, engine_over
from tests.forgetting import SMALLER_TEXT, keys_of, make_tables

MESSAGES = conversation("ada", 300)


@pytest.fixture
def calls() -> Calls:
    """What the tables are asked; may fail."""
    return Calls()


@pytest.fixture
def tables(calls: Calls) -> Tables:
    """Empty tables."""
    return make_tables(calls)


@pytest.fixture
def engine(tables: Tables, clock: FakeClock) -> Iterator[OptimizedContextEngine]:
    """An engine with three hundred messages of a user."""
    with engine_over(tables, clock=clock) as made:
        made.import_messages("ada", MESSAGES)
        yield made


def auditor(engine: OptimizedContextEngine) -> Auditor:
    """The engine's auditor."""
    return engine._parts.auditor


def delete_history(tables: Tables, messages: tuple[Message, ...]) -> None:
    """Deletes messages behind the index's back."""
    for m in messages:
        day = keys.user_date("ada", m.timestamp_us)
        tables.history.delete({"user_date": day, "timestamp_type": next(keys.sort_keys(m))})


def test_an_index_in_line_is_said_to_be(engine: OptimizedContextEngine) -> None:
    """Nothing differs, and nothing is written by a repair."""
    assert not auditor(engine).check("ada").any
    assert auditor(engine).check("ada").messages == 300
    done = auditor(engine).repair("ada")
    assert (done.indexed, done.embedded, done.consumed.write_units) == (0, 0, 0)
    assert not auditor(engine).check("nobody").any


def test_vectors_without_a_message_are_found_and_removed(
    engine: OptimizedContextEngine, tables: Tables
) -> None:
    """Both the rows of the index and the items; the rest is found as before."""
    delete_history(tables, tuple(MESSAGES[10:20]))
    found = auditor(engine).check("ada")
    assert (found.orphaned_entries, found.orphaned_vectors) == (10, 10)
    assert auditor(engine).repair("ada").found.orphaned_vectors == 10
    assert not auditor(engine).check("ada").any
    assert engine.memory.get_user_stats("ada").messages == 290


def test_what_is_not_indexed_is_indexed(engine: OptimizedContextEngine, clock: FakeClock) -> None:
    """Messages that stand in the history alone; blank ones count as having their vector."""
    store = engine._parts.store
    store.append(Message("ada", "s", "new", FIRST_US + 7, "user", "The heron is called Heinz."))
    engine.import_messages("ada", [Message("ada", "s", "blank", FIRST_US + 8, "user", " ")])
    found = auditor(engine).check("ada")
    assert (found.unindexed, found.without_vector) == (1, 0)
    assert auditor(engine).repair("ada").indexed == 1
    assert not auditor(engine).check("ada").any


def test_items_that_were_lost_are_made_again(
    engine: OptimizedContextEngine, tables: Tables
) -> None:
    """A row of the index whose text and vector are gone gets them back from the history."""
    assert isinstance(tables.embeddings, FakeTable)
    lost = [i for i in tables.embeddings.all_items() if "vector_compressed" in i][:5]
    for item in lost:
        tables.embeddings.delete({n: item[n] for n in ("user_chunk", "embedding_id")})
    assert auditor(engine).check("ada").without_item == 5
    assert auditor(engine).repair("ada").indexed == 5
    assert not auditor(engine).check("ada").any


@pytest.mark.parametrize("attribute", ["rows", "terms"])
def test_damaged_segments_are_made_again_from_the_history(
    engine: OptimizedContextEngine, tables: Tables, attribute: str
) -> None:
    """Whatever is broken in the log: afterwards it can be read, and holds every message."""
    assert isinstance(tables.embeddings, FakeTable)
    partition = partition_of("ada")
    broken = [
        i
        for i in tables.embeddings.all_items()
        if i["user_chunk"] == partition
        and attribute in i
        and (attribute == "rows" or str(i["embedding_id"]).startswith(TERMS))
    ]
    tables.embeddings.put({**broken[0], attribute: broken[0][attribute][:-7]})
    assert len(auditor(engine).check("ada").damaged) == 1
    auditor(engine).repair("ada")
    assert not auditor(engine).check("ada").any
    with engine_over(tables) as fresh:
        assert fresh.memory.get_user_stats("ada").messages == 300
        assert fresh.build_context(MESSAGES[3].content, "ada").missing == ()


def test_a_damaged_removal_is_made_good_at_once(
    engine: OptimizedContextEngine, tables: Tables
) -> None:
    """One repair leaves nothing that it may have hidden."""
    assert isinstance(tables.embeddings, FakeTable)
    engine.forget_session("ada", MESSAGES[-1].session_id, wait=False)
    removals = [
        item
        for item in tables.embeddings.all_items()
        if item["user_chunk"] == partition_of("ada") and "#x" in str(item["embedding_id"])
    ]
    assert removals
    for item in removals:
        tables.embeddings.put({**item, "rows": item["rows"][:-7]})
    assert auditor(engine).check("ada").damaged
    auditor(engine).repair("ada")
    assert not auditor(engine).check("ada").any


def test_a_vector_in_the_partition_of_others_is_removed(
    engine: OptimizedContextEngine, tables: Tables
) -> None:
    """Where it stands, not where it should; the right one beside it stays."""
    assert isinstance(tables.embeddings, FakeTable)
    item = next(i for i in tables.embeddings.all_items() if "vector_compressed" in i)
    others = next(c for c in user_chunks("ada") if c != item["user_chunk"])
    tables.embeddings.put({**item, "user_chunk": others})
    tables.embeddings.put({**item, "embedding_id": "no#time"})
    found = auditor(engine).check("ada")
    assert (found.orphaned_vectors, found.without_item) == (2, 0)
    auditor(engine).repair("ada")
    assert not auditor(engine).check("ada").any


def test_parts_of_a_message_never_finished_are_removed_after_a_while(
    engine: OptimizedContextEngine, tables: Tables, calls: Calls, clock: FakeClock
) -> None:
    """Not at once: whoever writes them may be about to finish."""
    calls.fail = _raise_at_put_new
    with pytest.raises(EndpointUnreachableError):
        engine._parts.store.append(Message("ada", "s", "big", FIRST_US, "user", SMALLER_TEXT))
    calls.fail = lambda _: None
    assert auditor(engine).check("ada").orphaned_parts == 0
    clock.advance(7200)
    assert auditor(engine).check("ada").orphaned_parts > 0
    auditor(engine).repair("ada")
    assert not auditor(engine).check("ada").any
    assert not any("#parts" in key for key in keys_of(tables, "ada"))
    engine.import_messages("ada", [Message("ada", "s", "big", FIRST_US, "user", SMALLER_TEXT)])
    clock.advance(7200)
    assert not auditor(engine).check("ada").any


def _raise_at_put_new(operation: str) -> None:
    if operation == "put_new":
        raise EndpointUnreachableError("gone")
