"""Archives: nothing removed before it was read back; nothing lost, nothing doubled."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DamagedError, EndpointUnreachableError, UsageError
from core.memory.archives import Archives, key_of, packed, unpacked, user_prefix
from core.memory.archiving import Archived, Wish
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.importing.source import open_source
from core.memory.model import Message
from core.testing.clock import FakeClock
from core.testing.table import FakeTable
from tests.engines import FIRST_US, Calls, conversation, engine_over
from tests.forgetting import SMALLER_TEXT, everything, make_tables

DAY_S = 86_400


class FakeObjects:
    """A bucket in memory; `before_call` may raise."""

    def __init__(self, before_call: Callable[[str], None] = lambda _: None) -> None:
        self.held: dict[str, bytes] = {}
        self.before_call = before_call

    def put(self, key: str, body: bytes) -> None:
        """Writes an object."""
        self.before_call("put_object")
        self.held[key] = body

    def get(self, key: str) -> bytes:
        """An object's content."""
        self.before_call("get_object")
        return self.held[key]

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with a prefix."""
        self.before_call("list_objects")
        return iter(sorted(key for key in self.held if key.startswith(prefix)))

    def delete_all(self, prefix: str) -> int:
        """Deletes what is under a prefix."""
        found = list(self.keys(prefix))
        for key in found:
            del self.held[key]
        return len(found)


@pytest.fixture
def clock() -> FakeClock:
    """A clock a hundred days after the messages."""
    return FakeClock(FIRST_US / 1e6 + 100 * DAY_S)


def stored(engine: OptimizedContextEngine, user: str = "ada") -> list[Message]:
    """All of a user's messages, oldest first."""
    pages = engine._parts.store.read_all(user, oldest_first=True)
    return [dataclasses.replace(m, expires_at=None) for p in pages for m in p.items]


def odd_messages() -> list[Message]:
    """Messages of one session that have something of everything."""
    deep = {"speaker": "Ada", "n": 3, "f": 0.25, "deep": {"list": [1, None, True, "é"]}}
    return [
        Message("ada", "odd", "o1", FIRST_US + 1, "human", "\x00\x1b[31m \u2028 😀", deep, 7),
        Message("ada", "odd", "o2", FIRST_US + 2, "user", SMALLER_TEXT),
        Message("ada", "odd", "o3", FIRST_US + 2, "user", "", {"undated": True}),
    ]


def archive(
    engine: OptimizedContextEngine, objects: FakeObjects, wish: Wish | None = None
) -> Archived:
    """Archives what is older than thirty days."""
    wished = wish or Wish("ada", 30)
    return engine._parts.archiver.run(Archives(objects), wished)


def imported(objects: FakeObjects, user: str = "ada") -> list[Message]:
    """The messages in all archives, as an import makes them."""
    found = [m for key in objects.held for m in unpacked(objects.held[key], user)]
    return sorted(found, key=lambda m: (m.timestamp_us, m.message_id))


STRIDES = pytest.mark.parametrize(
    "stride",
    [pytest.param(5, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.soak)],
    ids=["every fifth call", "every call"],
)


def test_old_sessions_move_and_come_back_the_same(clock: FakeClock) -> None:
    """Ids, times, roles, metadata and tokens are as they were; the tables hold none of them."""
    tables = make_tables()
    with engine_over(tables, clock=clock) as engine:
        engine.import_messages("ada", [*odd_messages(), *conversation("ada", 12, session_turns=4)])
        clock.advance(3600)
        before = sorted(stored(engine), key=lambda m: (m.timestamp_us, m.message_id))
        objects = FakeObjects()
        done = archive(engine, objects)
        assert (len(done.archives), done.messages, done.removed) == (4, 15, 15)
        assert done.left == ()
        assert imported(objects) == before
        assert stored(engine) == []
        assert engine.memory.get_user_stats("ada").messages == 0
        engine.import_messages("ada", imported(objects))
        clock.advance(3600)
        assert sorted(stored(engine), key=lambda m: (m.timestamp_us, m.message_id)) == before


def test_a_session_that_goes_on_is_left_whole(clock: FakeClock) -> None:
    """One young message keeps a session in the tables; another's sessions are not looked at."""
    with engine_over(make_tables(), clock=clock) as engine:
        messages = conversation("ada", 12, session_turns=4)
        young = dataclasses.replace(
            messages[5], message_id="young", timestamp_us=int((clock.time() - DAY_S) * 1e6)
        )
        engine.import_messages("ada", [*messages, young])
        engine.import_messages("bob", conversation("bob", 4))
        objects = FakeObjects()
        assert archive(engine, objects).removed == 8
        assert {m.session_id for m in stored(engine)} == {young.session_id}
        assert len(stored(engine)) == 5
        assert len(stored(engine, "bob")) == 4


def test_one_session_kept_and_only_looked_at(clock: FakeClock) -> None:
    """`session_id` names one; with `keep` it stays as well; a dry run writes nothing."""
    with engine_over(make_tables(), clock=clock) as engine:
        engine.import_messages("ada", conversation("ada", 12, session_turns=4))
        objects = FakeObjects()
        looked = archive(engine, objects, Wish("ada", 30, dry_run=True))
        assert (len(looked.archives), objects.held) == (3, {})
        kept = archive(engine, objects, Wish("ada", 30, "session-00001", keep=True))
        assert [a.key for a in kept.archives] == list(objects.held)
        assert [a.key for a in kept.archives] == [looked.archives[1].key]
        assert len(stored(engine)) == 12
        with pytest.raises(UsageError):
            archive(engine, objects, Wish("ada", -1))


def test_what_json_has_no_words_for_stays_in_the_tables(clock: FakeClock) -> None:
    """A session whose metadata would be changed by an archive is left, and that is told."""
    with engine_over(make_tables(), clock=clock) as engine:
        odd = dataclasses.replace(odd_messages()[0], metadata={"b": b"\xff"})
        exact = dataclasses.replace(
            odd, session_id="s2", message_id="e", metadata={"d": Decimal("1.10000000000000000001")}
        )
        engine.import_messages("ada", [odd, exact])
        objects = FakeObjects()
        done = archive(engine, objects)
        assert len(done.left) == 2
        assert (done.removed, objects.held, len(stored(engine))) == (0, {}, 2)


def test_an_archive_that_reads_back_otherwise_removes_nothing(clock: FakeClock) -> None:
    """The store is not believed: what it gives back is compared before anything is removed."""

    class Lying(FakeObjects):
        def get(self, key: str) -> bytes:
            return super().get(key)[:-9]

    with engine_over(make_tables(), clock=clock) as engine:
        engine.import_messages("ada", conversation("ada", 4))
        done = archive(engine, Lying())
        assert "is not what was written" in done.left[0]
        assert len(stored(engine)) == 4


@STRIDES
def test_killed_at_any_call_nothing_is_lost_or_doubled(clock: FakeClock, stride: int) -> None:
    """For each call: ended there and run again, each message is in one archive, and only there."""
    messages = [*conversation("ada", 6, session_turns=3), *odd_messages()]
    want = sorted(messages, key=lambda m: (m.timestamp_us, m.message_id))
    at, done = 0, False
    while not done:
        at += stride
        calls = Calls()
        tables, objects = make_tables(calls), FakeObjects(calls)
        with engine_over(tables, clock=clock) as engine:
            engine.import_messages("ada", messages)
            clock.advance(7200)
            calls.fail = _after(at)
            try:
                archive(engine, objects)
                done = True
            except EndpointUnreachableError:
                pass
            calls.fail = lambda _: None
        with engine_over(tables, clock=clock) as other:
            archive(other, objects)
            found = imported(objects)
            assert [m.message_id for m in found] == [m.message_id for m in want]
            assert stored(other) == []
            left = [text for text in everything(tables) if "content" in text]
            assert left == []
        assert at < 600


def _after(calls: int) -> Callable[[str], None]:
    left = [calls]

    def fail(_: str) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise EndpointUnreachableError("gone")

    return fail


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_no_users_archives_lie_under_anothers(one: str, other: str) -> None:
    """Prefixes of different users are never one within the other, and hold no odd characters."""
    try:
        first, second = user_prefix(one), user_prefix(other)
    except UnicodeEncodeError:
        return
    assert first.count("/") == 2
    assert ".." not in first
    assert (one == other) == (first == second)
    assert one == other or not first.startswith(second)


def test_a_very_long_name_still_has_a_key() -> None:
    """A key holds 1,024 bytes; a user id may have more."""
    message = Message("é" * 1000, "s" * 2000, "m", 1, "user", "text")
    assert len(key_of([message]).encode()) <= 1024


def test_the_same_messages_give_the_same_bytes() -> None:
    """No time of writing is in them."""
    assert packed(odd_messages()) == packed(odd_messages())


def test_an_archive_cut_short_is_damage_that_is_told() -> None:
    """Half an archive is an error, for the import too, and never fewer messages."""
    body = packed(conversation("ada", 300))
    with pytest.raises(DamagedError):
        list(unpacked(body[:-20], "ada"))
    cut = io.BytesIO(body[: len(body) // 2])
    with pytest.raises(DamagedError), open_source("-", cut) as source:
        source.stream.read()


def test_the_import_reads_gzip_whatever_it_is_called() -> None:
    """Told by its first bytes, from a stream as well."""
    with open_source("-", io.BytesIO(packed(odd_messages()))) as source:
        assert len(source.stream.readlines()) == 3
        assert source.head.startswith(b'{"role"')
    with pytest.raises(UsageError), open_source("-", io.BytesIO(packed([]))):
        pass


def test_no_table_is_read_for_a_user_without_messages(clock: FakeClock) -> None:
    """Nothing to archive is nothing done."""
    tables = make_tables()
    with engine_over(tables, clock=clock) as engine:
        done = archive(engine, FakeObjects())
        assert (done.archives, done.removed, done.left) == ((), 0, ())
        assert isinstance(tables.history, FakeTable)
