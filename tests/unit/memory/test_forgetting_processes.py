"""Forgetting beside other processes and lagging indexes: none shows or writes back what is gone."""

from __future__ import annotations

import dataclasses

import pytest

from core.llm.cached import CachedEmbedder
from core.llm.hashing import HashingEmbedder
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.index.partition import SEGMENT_ROWS
from core.memory.model import Message
from core.memory.parts import Options, Parts, Tables
from core.memory.recent import MAX_AGE_S
from core.memory.schema import (
    embeddings_schema,
    history_schema,
    legacy_schemas,
)
from core.memory.scope import Scope
from core.testing.clock import FakeClock
from core.testing.table import FakeTable
from tests.engines import Calls, conversation, engine_over
from tests.forgetting import (
    SCOPES,
    everything,
    fail_after,
    fill,
    keys_of,
    make_tables,
    parts_of,
    ways,
)


def test_a_message_of_a_time_to_come_was_written_by_now(clock: FakeClock) -> None:
    """It does not hide that another was written a moment ago; both are waited for."""
    tables = make_tables()
    now_us = int(clock.time() * 1_000_000)
    parts = Parts(tables, CachedEmbedder(HashingEmbedder(), 1 << 20), Options(), clock)
    with OptimizedContextEngine(parts) as engine:
        engine.save_interaction_optimized("Hello.", "Hello!", "ada", "s")
        parts.store.append(Message("ada", "s", "late", now_us * 2, "user", "From afar."))
        begin_s = clock.time()
        assert engine.forget_user("ada").removed["messages"] == 3
        assert MAX_AGE_S <= clock.time() - begin_s <= MAX_AGE_S + 10


@pytest.mark.parametrize("scope", SCOPES, ids=["user", "session", "message"])
def test_a_process_with_a_warm_copy_shows_nothing(scope: Scope, clock: FakeClock) -> None:
    """What another process knows from before is not shown after the receipt."""
    tables = make_tables()
    with engine_over(tables, clock=clock) as one, engine_over(tables, clock=clock) as other:
        messages = fill(one, "ada", 12)
        clock.advance(3600)
        before = ways(other, "ada", "session-00000")
        assert messages[1].content in before
        receipt = parts_of(one).forgetter.forget(scope)
        assert receipt.verified
        after = ways(other, "ada", "session-00000")
        assert messages[1].content not in after
        if scope.whole:
            assert after == ways(other, "nobody")


def test_a_search_by_meaning_alone_shows_nothing_either(clock: FakeClock) -> None:
    """It asks the index only: there too another process learns that the user was forgotten."""
    tables = make_tables()
    with engine_over(tables, clock=clock) as one, engine_over(tables, clock=clock) as other:
        fill(one, "ada", 12)
        clock.advance(3600)
        search = other.embeddings.find_similar_conversations_optimized
        assert search("the words", "ada").items
        one.forget_user("ada")
        assert search("the words", "ada").items == ()
        fill(one, "ada", 40)
        clock.advance(3600)
        assert len(search("the words", "ada", 100).items) == 40
        one.forget_user("ada")
        one.import_messages("ada", conversation("ada", 90)[60:])
        assert len(search("the words", "ada", 100).items) == 30
        assert other.memory.get_user_stats("ada").messages == 30


def test_what_was_written_a_moment_ago_is_waited_for(clock: FakeClock) -> None:
    """Another process's own writes are shown by it for half a minute: the receipt comes later."""
    tables = make_tables()
    with engine_over(tables, clock=clock) as one, engine_over(tables, clock=clock) as other:
        other.save_interaction_optimized("My cat is called Ludwig.", "A name!", "ada", "s")
        assert "Ludwig" in other.build_context("cat", "ada").text
        told: list[str] = []
        receipt = parts_of(one).forgetter.forget(Scope("ada"), note=told.append)
        assert "Waiting" in told[0]
        assert "Ludwig" not in ways(other, "ada", "s")
        other.save_interaction_optimized("My cat is called Ludwig.", "A name!", "ada", "s")
        receipt = one.forget_user("ada", wait=False)
        assert "until" in receipt.left[0]


def test_an_index_that_lags_is_told(clock: FakeClock) -> None:
    """Where an index never catches up, the receipt ends in bounded time and says so."""
    tables = make_tables(index_lag=True)
    assert isinstance(tables.history, FakeTable)
    with engine_over(tables, clock=clock) as one, engine_over(tables, clock=clock) as other:
        fill(one, "ada", 6)
        tables.history.catch_up()
        clock.advance(3600)
        assert ways(other, "ada")
        receipt = one.forget_user("ada")
        assert keys_of(tables, "ada") == []
        assert "lags" in receipt.left[0]
        tables.history.catch_up()
        assert ways(other, "ada") == ways(other, "nobody")


def test_of_a_session_a_lagging_index_is_told_too(clock: FakeClock) -> None:
    """It may still list beginnings of the session's messages; nothing but that session goes."""
    tables = make_tables(index_lag=True)
    assert isinstance(tables.history, FakeTable)
    with engine_over(tables, clock=clock) as one, engine_over(tables, clock=clock) as other:
        messages = fill(one, "ada", 12)
        tables.history.catch_up()
        clock.advance(3600)
        receipt = one.forget_session("ada", "session-00001")
        assert receipt.verified
        assert "lags" in receipt.left[0]
        tables.history.catch_up()
        assert not one.forget_session("ada", "session-00001").removed["messages"]
        read = ways(other, "ada")
        assert messages[5].content not in read
        assert messages[1].content in read


def test_messages_that_no_index_shows_yet_are_found_by_the_segments(clock: FakeClock) -> None:
    """What another process saved is forgotten though the history's indexes list nothing."""
    tables = make_tables(index_lag=True)
    with engine_over(tables, clock=clock) as one, engine_over(tables, clock=clock) as other:
        fill(other, "ada", 6)
        one.forget_user("ada")
        assert keys_of(tables, "ada") == []


def test_a_process_does_not_seal_what_was_forgotten(clock: FakeClock) -> None:
    """Saves that a process still holds in memory are not written back as a segment."""
    tables = make_tables()
    with engine_over(tables, clock=clock) as one, engine_over(tables, clock=clock) as other:
        fill(other, "ada", SEGMENT_ROWS - 2)
        one.forget_user("ada")
        other.save_interaction_optimized("new", "newer", "ada", "s")
        other.save_interaction_optimized("new2", "newer2", "ada", "s")
        assert one.memory.get_user_stats("ada").messages == 4
        fill(other, "bob", SEGMENT_ROWS - 2)
        assert one.forget_session("bob", "session-00001").removed["messages"] == 4
        other.save_interaction_optimized("new", "newer", "bob", "s")
        other.save_interaction_optimized("new2", "newer2", "bob", "s")
        assert "session-00001" not in "".join(everything(tables))
        assert one.memory.get_user_stats("bob").messages == SEGMENT_ROWS - 2


def test_somebody_who_goes_on_writing_is_told(clock: FakeClock) -> None:
    """It ends in bounded time, removes what it can, and the receipt says that it is not all."""
    calls = Calls()
    tables = make_tables()
    last = FakeTable(legacy_schemas("t")[0], before_call=calls)
    tables = dataclasses.replace(tables, legacy=(last,))
    with engine_over(tables, clock=clock) as one, engine_over(tables, clock=clock) as other:
        fill(one, "ada", 2)

        def write(_: str) -> None:
            other.save_interaction_optimized("again", "and again", "ada", "s")

        calls.fail = write
        receipt = one.forget_user("ada")
        assert not receipt.verified
        assert any("goes on writing" in sentence for sentence in receipt.left)


def test_what_waits_to_be_indexed_is_not_indexed_after_it_was_forgotten(clock: FakeClock) -> None:
    """A process that could not index a message does not do so once the message is gone."""
    calls = Calls()
    tables = Tables(
        FakeTable(history_schema("t")), FakeTable(embeddings_schema("t"), before_call=calls)
    )
    with engine_over(tables, clock=clock) as one, engine_over(tables, clock=clock) as other:
        calls.fail = fail_after(1)
        saved = other.save_interaction_optimized("My cat is Ludwig.", "A name!", "ada", "s")
        assert saved.missing
        calls.fail = lambda _: None
        one.forget_user("ada")
        other.save_interaction_optimized("new", "newer", "ada", "s")
        assert "Ludwig" not in "".join(everything(tables))
