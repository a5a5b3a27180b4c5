"""Forgetting: nothing left anywhere, whoever reads, whenever it was killed."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence

import pytest

from core.aws.capacity import TableSchema
from core.errors import EndpointUnreachableError, IalError, UsageError
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
    legacy_cache_schema,
    legacy_schemas,
)
from core.memory.scope import Scope
from core.testing.clock import FakeClock
from core.testing.table import FakeTable
from tests.engines import FIRST_US, Calls, conversation, engine_over

USERS = ("ada", "ada#1", "ad", "a%23a", "ada%")
LARGE = 800_000


def noise(seed: int, size: int = LARGE) -> str:
    """A text that no compression makes fit into one item."""
    return "".join(random.Random(seed).choices("".join(map(chr, range(0x4E00, 0x9E00))), k=size))


LARGE_TEXT = noise(1)
SMALLER_TEXT = noise(2, 220_000)


def make_tables(calls: Calls | None = None, *, index_lag: bool = False) -> Tables:
    """All tables in memory, the legacy ones too."""
    hook = calls or Calls()

    def table(schema: TableSchema) -> FakeTable:
        return FakeTable(schema, before_call=hook, index_lag=index_lag)

    return Tables(
        table(history_schema("t")),
        table(embeddings_schema("t")),
        tuple(map(table, legacy_schemas("t"))),
    )


def everything(tables: Tables) -> list[str]:
    """Everything in all tables, as text."""
    return [
        repr(item)
        for table in (tables.history, tables.embeddings, *tables.legacy)
        if isinstance(table, FakeTable)
        for item in table.all_items()
    ]


def keys_of(tables: Tables, user: str) -> list[str]:
    """The items under a user's keys, in any table."""
    encoded = user.replace("%", "%25").replace("#", "%23")
    found = []
    for table in (tables.history, tables.embeddings, *tables.legacy):
        assert isinstance(table, FakeTable)
        for item in table.all_items():
            key = str(item[table.schema.hash_key])
            own = key == user if table in tables.legacy else key.startswith(f"{encoded}#")
            if own:
                found.append(f"{key} {item[table.schema.range_key or '']}")
    return found


@pytest.fixture
def clock() -> FakeClock:
    """A clock long after the messages."""
    return FakeClock(FIRST_US / 1e6 + 40 * 86_400)


@pytest.fixture
def tables() -> Tables:
    """Empty tables."""
    return make_tables()


@pytest.fixture
def engine(tables: Tables, clock: FakeClock) -> Iterator[OptimizedContextEngine]:
    """An engine over the tables."""
    with engine_over(tables, clock=clock) as made:
        yield made


def parts_of(engine: OptimizedContextEngine) -> Parts:
    """The engine's parts."""
    return engine._parts


def fill(engine: OptimizedContextEngine, user: str, count: int = 12) -> Sequence[Message]:
    """Messages in sessions of four; and a large one in a session of its own."""
    messages = conversation(user, count, session_turns=4)
    engine.import_messages(user, messages)
    return messages


def large(user: str, n: int = 0, session: str = "big") -> Message:
    """A message in parts."""
    return Message(user, session, f"large{n}", FIRST_US + n, "user", LARGE_TEXT)


def legacy(tables: Tables, user: str) -> None:
    """An item in each legacy table."""
    for table in tables.legacy:
        table.put(
            {
                "user_id": user,
                table.schema.range_key or "": "session-00001",
                "session_id": "session-00001",
                "content": "old",
            }
        )


def ways(engine: OptimizedContextEngine, user: str, session: str = "session-00001") -> str:
    """What every way of reading gives, as one text."""
    question = "the words of the text"
    places = [p for some, _ in parts_of(engine).store.list_places(user) for p in some]
    return repr(
        [
            engine.build_context_for_query_optimized(question, user, session).split("\n")[1:],
            engine.memory.get_recent_context_optimized(user, 50, whole=True).items,
            engine.memory.get_session_context_optimized(user, session, 50).items,
            engine.embeddings.find_similar_conversations_optimized(question, user, 50).items,
            [m.place for m in engine.find(question, user).items],
            [m for page in parts_of(engine).store.read_all(user) for m in page.items],
            places,
        ]
    )


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


@pytest.mark.parametrize("scope", [Scope("ada"), Scope("ada", "big"), Scope("ada", None, "large0")])
def test_parts_without_a_head_are_found(scope: Scope, clock: FakeClock) -> None:
    """Whoever was killed between a large message's parts and its head leaves nothing for good."""
    calls = Calls()
    tables = make_tables(calls)
    with engine_over(tables, clock=clock) as engine:
        calls.fail = _raise_at("put_new")
        with pytest.raises(EndpointUnreachableError):
            parts_of(engine).store.append(large("ada"))
        calls.fail = lambda _: None
        assert len(keys_of(tables, "ada")) > 1
        assert parts_of(engine).forgetter.forget(scope).removed["message_parts"] > 0
        assert keys_of(tables, "ada") == []


def test_a_table_that_can_not_be_searched_by_user_is_named(tables: Tables) -> None:
    """Where it stands; of messages by age it holds none."""
    cache = legacy_cache_schema("t")
    with engine_over(dataclasses.replace(tables, opaque=(FakeTable(cache),))) as engine:
        engine.import_messages("ada", conversation("ada", 2))
        receipt = engine.forget_user("ada", wait=False)
        assert any(cache.name in sentence for sentence in receipt.left)
        assert not any(cache.name in s for s in engine.cleanup_old_data("ada", 1).left)


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


def _raise_at(operation: str) -> Callable[[str], None]:
    def fail(called: str) -> None:
        if called == operation:
            raise EndpointUnreachableError("gone")

    return fail


SCOPES = (Scope("ada"), Scope("ada", "session-00000"), Scope("ada", None, "m000001"))


@pytest.mark.parametrize("scope", SCOPES, ids=["user", "session", "message"])
@pytest.mark.parametrize(
    "stride",
    [pytest.param(5, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.soak)],
    ids=["every fifth call", "every call"],
)
def test_killed_at_any_call_a_second_run_completes_it(
    scope: Scope, clock: FakeClock, stride: int
) -> None:
    """For each call to a table: ended there, and begun again, nothing is left."""
    at = 0
    done = False
    while not done:
        at += stride
        calls = Calls()
        tables = make_tables(calls)
        with engine_over(tables, clock=clock) as engine:
            fill(engine, "ada", 6)
            parts_of(engine).saver.save("ada", [small_large("session-00000", "m000001")])
            legacy(tables, "ada")
            calls.fail = _after(at)
            try:
                parts_of(engine).forgetter.forget(scope)
                done = True
            except EndpointUnreachableError:
                pass
            calls.fail = lambda _: None
        with engine_over(tables, clock=clock) as other:
            receipt = parts_of(other).forgetter.forget(scope)
            assert receipt.verified
            check_gone(scope, tables, other)
        assert at < 400


def small_large(session: str, message_id: str) -> Message:
    """A message in two parts, quick to make."""
    return Message("ada", session, message_id, FIRST_US + 9, "user", SMALLER_TEXT)


def check_gone(scope: Scope, tables: Tables, engine: OptimizedContextEngine) -> None:
    """Nothing of the scope stands."""
    if scope.whole:
        assert keys_of(tables, "ada") == []
        return
    assert not any("#parts" in key for key in keys_of(tables, "ada"))
    stored = "".join(everything(tables))
    assert scope.session_id is None or scope.session_id not in stored
    assert scope.message_id is None or scope.message_id not in stored
    gone = 5 if scope.session_id else 2
    assert engine.memory.get_user_stats("ada").messages == 7 - gone


def _after(calls: int) -> Callable[[str], None]:
    left = [calls]

    def fail(_: str) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise EndpointUnreachableError("gone")

    return fail


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
        calls.fail = _after(1)
        saved = other.save_interaction_optimized("My cat is Ludwig.", "A name!", "ada", "s")
        assert saved.missing
        calls.fail = lambda _: None
        one.forget_user("ada")
        other.save_interaction_optimized("new", "newer", "ada", "s")
        assert "Ludwig" not in "".join(everything(tables))


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


def test_a_table_that_fails_is_an_error_and_a_second_run_goes_on(clock: FakeClock) -> None:
    """No error is swallowed: without a receipt nothing is claimed."""
    calls = Calls()
    tables = make_tables(calls)
    with engine_over(tables, clock=clock) as engine:
        fill(engine, "ada", 3)
        calls.fail = _raise_at("delete")
        with pytest.raises(IalError):
            engine.forget_user("ada")
        calls.fail = lambda _: None
        assert engine.forget_user("ada").verified


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
