"""Forgetting: of what was named nothing is left anywhere, and all else stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from core.errors import UsageError
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.parts import Tables
from core.memory.schema import (
    legacy_cache_schema,
)
from core.memory.scope import Scope
from core.testing.clock import FakeClock
from core.testing.table import FakeTable
from tests.engines import FIRST_US, conversation, engine_over
from tests.forgetting import (
    LARGE_TEXT,
    everything,
    fill,
    keys_of,
    large,
    legacy,
    make_tables,
    parts_of,
    ways,
)

USERS = ("ada", "ada#1", "ad", "a%23a", "ada%")


@pytest.fixture
def tables() -> Tables:
    """Empty tables."""
    return make_tables()


@pytest.fixture
def engine(tables: Tables, clock: FakeClock) -> Iterator[OptimizedContextEngine]:
    """An engine over the tables."""
    with engine_over(tables, clock=clock) as made:
        yield made


def test_of_a_whole_user_nothing_stays(
    engine: OptimizedContextEngine, tables: Tables, clock: FakeClock
) -> None:
    """No item under the user's keys stays in any table, and neighbours by name lose nothing."""
    for user in USERS:
        fill(engine, user)
        parts_of(engine).saver.save(user, [large(user)])
        legacy(tables, user)
    before = {user: keys_of(tables, user) for user in USERS}
    receipt = engine.forget_user("ada")
    assert keys_of(tables, "ada") == []
    assert {u: keys_of(tables, u) for u in USERS[1:]} == {u: before[u] for u in USERS[1:]}
    assert receipt.verified
    assert receipt.removed["messages"] == 13
    assert receipt.removed["vectors"] == 13
    assert receipt.removed["legacy_items"] == 4
    assert sum(receipt.removed.values()) == len(before["ada"])
    assert ways(engine, "ada") == ways(engine, "nobody")


@pytest.mark.parametrize("user", USERS)
def test_each_of_hostile_names_is_forgotten_alone(
    engine: OptimizedContextEngine, tables: Tables, user: str
) -> None:
    """Names that begin, encode to or contain one another do not touch one another."""
    for other in USERS:
        fill(engine, other, 5)
    before = {other: keys_of(tables, other) for other in USERS}
    engine.forget_user(user)
    after = {other: keys_of(tables, other) for other in USERS}
    assert after == {**before, user: []}


def test_of_a_session_nothing_stays_and_of_the_others_everything(
    engine: OptimizedContextEngine, tables: Tables
) -> None:
    """Messages, vectors and entries of the session go; those of other sessions are found."""
    messages = fill(engine, "ada", 300)
    session = messages[140].session_id
    removed = [m for m in messages if m.session_id == session]
    receipt = engine.forget_session("ada", session)
    assert receipt.verified
    assert receipt.removed["messages"] == receipt.removed["index_entries"] == len(removed) == 4
    assert receipt.removed["vectors"] == 4
    for reader in (engine, engine_over(tables)):
        read = ways(reader, "ada", session)
        assert not any(m.content[:100] in read or m.message_id in read for m in removed)
        assert reader.memory.get_user_stats("ada").messages == 296
        found = [m for p in parts_of(reader).store.read_all("ada") for m in p.items]
        assert len(found) == 296


def test_a_message_is_forgotten_by_its_id_or_its_sort_key(engine: OptimizedContextEngine) -> None:
    """Either names it; the message beside it stays."""
    messages = fill(engine, "ada", 6)
    place = parts_of(engine).store.append(messages[2]).place
    assert engine.forget_message("ada", place).removed["messages"] == 1
    assert engine.forget_message("ada", messages[3].message_id).removed["messages"] == 1
    read = ways(engine, "ada", messages[2].session_id)
    assert messages[2].content not in read
    assert messages[3].content not in read
    assert messages[1].content in read
    assert engine.memory.get_user_stats("ada").messages == 4


def test_parts_go_with_the_last_message_that_needs_them(
    engine: OptimizedContextEngine, tables: Tables
) -> None:
    """The same large text under the same id at two times has its parts once: they stay for one."""
    first, second = large("ada"), dataclasses.replace(large("ada"), timestamp_us=FIRST_US + 5)
    parts_of(engine).saver.save("ada", [first, second])
    place = parts_of(engine).store.append(first).place
    assert "message_parts" not in {
        k for k, n in engine.forget_message("ada", place).removed.items() if n
    }
    (kept,) = [m for p in parts_of(engine).store.read_all("ada") for m in p.items]
    assert kept.content == LARGE_TEXT
    assert engine.forget_message("ada", "large0").removed["message_parts"] > 0
    assert not any("parts#" in key for key in keys_of(tables, "ada"))


def test_a_table_that_can_not_be_searched_by_user_is_named(tables: Tables) -> None:
    """Where it stands; of messages by age it holds none."""
    cache = legacy_cache_schema("t")
    with engine_over(dataclasses.replace(tables, opaque=(FakeTable(cache),))) as engine:
        engine.import_messages("ada", conversation("ada", 2))
        receipt = engine.forget_user("ada", wait=False)
        assert any(cache.name in sentence for sentence in receipt.left)
        assert not any(cache.name in s for s in engine.cleanup_old_data("ada", 1).left)


def test_nothing_to_forget_is_said(engine: OptimizedContextEngine) -> None:
    """A user without anything gives a receipt of nothing, and costs a few reads."""
    receipt = engine.forget_user("nobody")
    assert receipt.nothing
    assert receipt.verified
    assert receipt.passes == 1
    assert receipt.consumed.write_units == 0


def test_a_look_removes_nothing(engine: OptimizedContextEngine, tables: Tables) -> None:
    """A dry run counts what a run then removes."""
    fill(engine, "ada")
    parts_of(engine).saver.save("ada", [large("ada")])
    before = sorted(everything(tables))
    for scope in (Scope("ada", "big"), Scope("ada", "session-00001"), Scope("ada")):
        looked = parts_of(engine).forgetter.look(scope)
        assert sorted(everything(tables)) == before
        assert looked.dry_run
    assert looked.removed == engine.forget_user("ada").removed


@pytest.mark.parametrize("user", ["", "x" * 3000, "\ud800"])
def test_ids_that_no_message_can_have_are_refused(
    engine: OptimizedContextEngine, user: str
) -> None:
    """Nothing is asked of any table for them."""
    with pytest.raises(UsageError):
        engine.forget_user(user)
    with pytest.raises(UsageError):
        parts_of(engine).forgetter.forget(Scope("ada", "s", "m"))


def test_old_messages_are_cleaned_up_in_place(clock: FakeClock) -> None:
    """What is older goes, from all places; what is younger stays; the legacy tables are left."""
    tables = make_tables()
    with engine_over(tables, clock=clock) as engine:
        messages = fill(engine, "ada", 40)
        legacy(tables, "ada")
        cut = messages[25].timestamp_us
        clock.advance(cut / 1e6 + 86_400 - clock.time())
        receipt = engine.cleanup_old_data("ada", 1)
        assert receipt.removed["messages"] == receipt.removed["vectors"] == 25
        left = [m for p in parts_of(engine).store.read_all("ada") for m in p.items]
        assert len(left) == engine.memory.get_user_stats("ada").messages == 15
        assert "legacy_items" not in receipt.removed
        with pytest.raises(UsageError):
            engine.cleanup_old_data("ada", -1)


def test_what_it_costs_is_what_the_docs_say(
    engine: OptimizedContextEngine, clock: FakeClock
) -> None:
    """Read and write units of forgetting a session, the user, and nobody."""
    engine.import_messages("ada", conversation("ada", 1000))
    clock.advance(3600)
    session = engine.forget_session("ada", "session-00003").consumed
    assert (round(session.read_units, -1), round(session.write_units, -1)) == (680, 240)
    user = engine.forget_user("ada").consumed
    assert (round(user.read_units, -2), round(user.write_units, -2)) == (500, 4900)
    assert engine.forget_user("nobody").consumed.read_units <= 19
