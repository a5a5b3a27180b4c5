"""The store over a table in memory: keys, collisions, crashes, expiry, tenants, pages."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from core.errors import ConditionFailedError, DamagedError, EndpointUnreachableError, UsageError
from core.memory.items import PART_BYTES
from core.memory.model import Message
from core.memory.schema import history_schema
from core.memory.store import ConversationStore
from core.testing.clock import FakeClock
from core.testing.table import FakeTable

SECOND = 1_000_000
DAY = 86_400 * SECOND
NOON = 1_700_000_000 * SECOND


def message(n: int = 0, /, **changes: Any) -> Message:
    """A message of user u in session s, `n` seconds after the first."""
    made = Message("u", "s", f"m{n}", NOON + n * SECOND, "user", f"text {n}")
    return dataclasses.replace(made, **changes)


@pytest.fixture
def table() -> FakeTable:
    """An empty history table."""
    return FakeTable(history_schema("t"))


@pytest.fixture
def clock() -> FakeClock:
    """A clock a little after the messages."""
    return FakeClock(NOON / SECOND + 10_000)


@pytest.fixture
def store(table: FakeTable, clock: FakeClock) -> Iterator[ConversationStore]:
    """A store over the table."""
    with ConversationStore(table, clock) as opened:
        yield opened


def fresh(table: FakeTable, clock: FakeClock) -> ConversationStore:
    """Another process's store: nothing written by it yet."""
    return ConversationStore(table, clock)


def test_an_item_has_exactly_the_documented_attributes(
    table: FakeTable, store: ConversationStore
) -> None:
    """Keys and attributes are those of the data model; the message id stands beside them."""
    store.append(message(metadata={"a": 1}, expires_at=2_000_000_000))
    item = table.all_items()[0]
    assert item["user_date"] == "u#2023-11-14"
    assert item["timestamp_type"] == "1700000000000000#user"
    assert set(item) == {
        *("user_date", "timestamp_type", "user_id", "session_id", "message_id", "timestamp"),
        *("role", "content", "content_summary", "summary", "content_hash", "tokens", "ttl"),
        "metadata",
    }


def test_sending_twice_stores_once(table: FakeTable, store: ConversationStore) -> None:
    """The second append finds the first and says so."""
    assert store.append(message()).new
    assert not store.append(message()).new
    assert len(table.all_items()) == 1


def test_two_in_one_microsecond_both_stay(table: FakeTable, store: ConversationStore) -> None:
    """A collision moves the discriminator; either may be sent again."""
    one, other = message(message_id="a"), message(message_id="b", content="other")
    assert [store.append(m).new for m in (one, other, one, other)] == [True, True, False, False]
    assert {i["content"] for i in table.all_items()} == {"text 0", "other"}
    assert store.contains(one)
    assert store.contains(other)
    assert not store.contains(message(message_id="c"))


def test_append_many_races_for_one_microsecond(table: FakeTable, store: ConversationStore) -> None:
    """Side by side, messages of one time and role all stay, and come back once each."""
    many = [message(message_id=f"id{n}", content=f"c{n}") for n in range(100)]
    assert all(a.new for a in store.append_many(many))
    assert not any(a.new for a in store.append_many(many))
    found = store.read_recent("u", 200).items
    assert {m.content for m in found} == {m.content for m in many}
    assert len(found) == 100


def test_a_retry_that_crosses_its_own_first_try_is_no_collision(table: FakeTable) -> None:
    """The put arrived, its answer did not: the second put finds the message and all is well."""
    fails = iter([True])

    def lose_answer(operation: str) -> None:
        if operation == "put_new" and next(fails, False):
            ConversationStore(table).append(message())
            raise EndpointUnreachableError("closed")

    lossy = FakeTable(history_schema("t"), before_call=lose_answer)
    lossy.__dict__["_items"] = table.__dict__["_items"]
    store = ConversationStore(lossy)
    with pytest.raises(EndpointUnreachableError):
        store.append(message())
    assert not store.append(message()).new
    assert len(table.all_items()) == 1
    # It is this process's own write, which an index may still lack.
    assert [m.message_id for m in store._recent.of(lambda _: True)] == ["m0"]


def _noise(size: int) -> str:
    return random.Random(1).randbytes(size).hex()[:size]


@pytest.mark.parametrize("size", [0, PART_BYTES - 1, PART_BYTES + 1, 500_000, 5 * 1024 * 1024])
def test_contents_of_any_size_come_back(
    table: FakeTable, clock: FakeClock, store: ConversationStore, size: int
) -> None:
    """From nothing to 5 MB: whole, from every kind of read, in another process."""
    large = message(content=_noise(size))
    store.append(large)
    other = fresh(table, clock)
    for found in (other.read_recent("u", 5), other.read_session("u", "s", 5)):
        assert [m.content for m in found.items] == [large.content]
    assert [m.content for page in other.read_all("u") for m in page.items] == [large.content]


def test_incompressible_five_megabytes(table: FakeTable, clock: FakeClock) -> None:
    """What no compression makes smaller is split into more parts."""
    rng = random.Random(2)
    text = "".join(chr(rng.randrange(0x4E00, 0x9FFF)) for _ in range(1_700_000))
    fresh(table, clock).append(message(content=text))
    assert len(table.all_items()) > 10
    assert fresh(table, clock).read_recent("u", 1).items[0].content == text


def test_a_crash_before_the_head_shows_nothing(clock: FakeClock) -> None:
    """Parts without a head are invisible, and the append can be done again."""
    crash = [True]

    def before(operation: str) -> None:
        if operation == "put_new" and crash[0]:
            raise EndpointUnreachableError("killed")

    table = FakeTable(history_schema("t"), before_call=before)
    large = message(content=_noise(2_000_000))
    with pytest.raises(EndpointUnreachableError):
        fresh(table, clock).append(large)
    assert table.all_items()
    assert fresh(table, clock).read_recent("u", 5).items == ()
    assert not any(page.items for page in fresh(table, clock).read_all("u"))
    crash[0] = False
    assert fresh(table, clock).append(large).new
    assert fresh(table, clock).read_recent("u", 5).items[0].content == large.content


def test_missing_parts_are_damage_that_is_told(table: FakeTable, clock: FakeClock) -> None:
    """A large message that lost a part is an error with its key, never a shorter text."""
    fresh(table, clock).append(message(content=_noise(2_000_000)))
    part = next(i for i in table.all_items() if "part" in i)
    table.delete({k: part[k] for k in ("user_date", "timestamp_type")})
    with pytest.raises(DamagedError, match="'m0'"):
        fresh(table, clock).read_recent("u", 5)


def test_another_content_under_the_same_id_leaves_parts_alone(
    table: FakeTable, clock: FakeClock
) -> None:
    """The first message stays whole where someone sends its id with another large content."""
    first = message(content=_noise(2_000_000))
    fresh(table, clock).append(first)
    with pytest.raises(UsageError, match="another content stands already"):
        fresh(table, clock).append(message(content=_noise(2_100_000)))
    assert fresh(table, clock).read_recent("u", 5).items[0].content == first.content


def test_another_content_under_the_same_id_is_told(store: ConversationStore) -> None:
    """It is neither stored over the first one nor dropped without a word."""
    store.append(message())
    with pytest.raises(UsageError, match="'m0' another content stands already"):
        store.append(message(content="something else"))


def test_sending_a_large_message_again_leaves_its_parts_alone(
    table: FakeTable, clock: FakeClock
) -> None:
    """With a shorter life the second time, the parts would be gone before the message is."""
    first = message(content=_noise(2_000_000), expires_at=2_000_000_000)
    fresh(table, clock).append(first)
    before = table.all_items()
    again = fresh(table, clock).append(dataclasses.replace(first, expires_at=1_800_000_000))
    assert not again.new
    assert again.consumed.write_units == 0
    assert table.all_items() == before


def test_recent_crosses_days_newest_first(table: FakeTable, clock: FakeClock) -> None:
    """The newest messages come back in order, over days without any."""
    store = fresh(table, clock)
    store.append_many([message(n, timestamp_us=NOON + n * 3 * DAY) for n in range(-9, 1)])
    found = fresh(table, clock).read_recent("u", 4)
    assert [m.message_id for m in found.items] == ["m0", "m-1", "m-2", "m-3"]
    assert found.complete


def test_expired_messages_are_left_out_and_made_up_for(table: FakeTable, clock: FakeClock) -> None:
    """What has expired but still lies in the table is not shown; older ones take its place."""
    fresh(table, clock).append_many(
        [message(n, expires_at=1 if n >= 10 else None) for n in range(60)]
    )
    for found in (
        fresh(table, clock).read_recent("u", 10),
        fresh(table, clock).read_session("u", "s", 10),
    ):
        assert [m.message_id for m in found.items] == [f"m{n}" for n in range(9, -1, -1)]
    everything = [m for page in fresh(table, clock).read_all("u") for m in page.items]
    assert len(everything) == 10


def test_tenants_with_one_session_name_see_only_their_own(
    table: FakeTable, clock: FakeClock
) -> None:
    """The index mixes sessions of all users; a read does not."""
    store = fresh(table, clock)
    for user in ("u", "u#2023-11-14", "v", "u%23"):
        store.append_many([message(n, user_id=user, content=f"{user} {n}") for n in range(30)])
    for user in ("u", "u#2023-11-14", "v", "u%23"):
        for found in (store.read_session(user, "s", 10), store.read_recent(user, 10)):
            assert {m.user_id for m in found.items} == {user}
            assert len(found.items) == 10
        assert {m.user_id for p in store.read_all(user) for m in p.items} == {user}


def test_a_process_reads_its_own_writes_over_a_lagging_index(clock: FakeClock) -> None:
    """What was just written is there although no index shows it, for half a minute."""
    table = FakeTable(history_schema("t"), index_lag=True)
    store = fresh(table, clock)
    store.append(message())
    assert [m.message_id for m in store.read_recent("u", 5).items] == ["m0"]
    assert [m.message_id for m in store.read_session("u", "s", 5).items] == ["m0"]
    assert [m.message_id for p in store.read_all("u") for m in p.items] == ["m0"]
    table.catch_up()
    assert len(store.read_recent("u", 5).items) == 1
    assert sum(len(p.items) for p in store.read_all("u")) == 1
    clock.advance(31)
    assert len(store.read_recent("u", 5).items) == 1


def test_read_all_gives_everything_once_newest_day_first(
    table: FakeTable, clock: FakeClock
) -> None:
    """Days that span pages of index and table are read whole, once."""
    small_pages = FakeTable(history_schema("t"), page_bytes=3000)
    store = fresh(small_pages, clock)
    many = [message(n, timestamp_us=NOON - n * DAY // 40) for n in range(300)]
    store.append_many(many)
    found = [m for page in fresh(small_pages, clock).read_all("u") for m in page.items]
    assert [m.message_id for m in found] == [m.message_id for m in many]


def test_read_all_stops_reading_when_nobody_takes_more(clock: FakeClock) -> None:
    """Pages are read as they are taken: a bound on the taker bounds the reads."""
    calls: list[str] = []
    table = FakeTable(history_schema("t"), page_bytes=3000, before_call=calls.append)
    fresh(table, clock).append_many([message(n) for n in range(300)])
    calls.clear()
    next(fresh(table, clock).read_all("u"))
    assert calls == ["query", "query"]


@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": ""},
        {"user_id": "x" * 3000},
        {"session_id": ""},
        {"role": ""},
        {"role": "r" * 100},
        {"message_id": ""},
        {"user_id": "#" * 700, "message_id": "m" * 2000},
        {"timestamp_us": -1},
        {"timestamp_us": 10**16},
        {"content": "\ud800"},
        {"user_id": "\udfff"},
        {"metadata": {"large": "x" * 400_000}},
        {"metadata": {"half": "\ud800"}},
        {"metadata": {"": 1}},
        {"metadata": {"n": 10**40 + 1}},
        {"metadata": {"deep": json.loads("[" * 40 + "]" * 40)}},
    ],
)
def test_what_no_key_can_hold_is_refused_with_its_limit(
    store: ConversationStore, table: FakeTable, changes: dict[str, Any]
) -> None:
    """Bad ids, times and sizes are sentences; nothing is written."""
    with pytest.raises(UsageError) as caught:
        store.append(message(**changes))
    assert caught.value.cure
    assert not table.all_items()


@pytest.mark.parametrize("user", ["a#b", "100%", "🦊" * 10, "x" * 1000, "line\nbreak", "\x00"])
def test_odd_user_ids_work(table: FakeTable, clock: FakeClock, user: str) -> None:
    """Separators, emoji, long and strange ids are stored and found."""
    fresh(table, clock).append(message(user_id=user))
    assert fresh(table, clock).read_recent(user, 1).items[0].user_id == user


def test_condition_failures_never_overwrite(table: FakeTable, store: ConversationStore) -> None:
    """Even where every place is taken, nothing that stands is changed."""
    from core.memory import keys

    mine = message(message_id="late")
    for n, place in enumerate(keys.sort_keys(mine)):
        table.put({"user_date": "u#2023-11-14", "timestamp_type": place, "message_id": f"other{n}"})
    before = table.all_items()
    with pytest.raises(ConditionFailedError, match="'late'"):
        store.append(mine)
    assert table.all_items() == before


def test_reads_say_what_they_consumed(table: FakeTable, clock: FakeClock) -> None:
    """The twenty newest of a day: two rounds, two requests, a few units."""
    written = fresh(table, clock).append_many([message(n) for n in range(100)])
    assert {a.consumed.write_units for a in written} == {3.0}
    read = fresh(table, clock).read_recent("u", 20).consumed
    assert (read.requests, read.rounds) == (2, 2)
    assert read.read_units <= 3
