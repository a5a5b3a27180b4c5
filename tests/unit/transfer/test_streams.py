"""Reading a stream of many shards between a position and a second, over a service made of words."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.aws.session import AwsSession
from core.errors import AwsError, InterruptedRunError, StorageError, UsageError
from core.testing.clock import FakeClock
from core.transfer.changes import Changes
from core.transfer.lines import Change
from core.transfer.streams import KEPT_S, Stream, StreamPosition

ARN = "arn:aws:dynamodb:eu-west-1:1:table/t/stream/1"
REMOTE = "https://dynamodb.example"
LOCAL = "http://127.0.0.1:4566"


@dataclass
class Shard:
    """A shard's records: each its number and what it says."""

    id: str
    parent: str | None = None
    records: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    is_closed: bool = False


class Streams:
    """The service: it divides shards, answers with empty pages, and lets iterators expire."""

    def __init__(self, clock: FakeClock, empty_pages: int = 0, page: int = 2) -> None:
        self.clock, self.empty_pages, self.page = clock, empty_pages, page
        self.shards = [Shard("shard-0")]
        self.status = "ENABLED"
        self.expired: set[str] = set()
        self.trimmed = False
        self.before_page: Callable[[], None] = lambda: None
        self.after_page: Callable[[], None] = lambda: None
        self._number = 0

    def write(self, key: str, value: str | None, shard: Shard | None = None) -> None:
        """A write of an item, or where the value is None its deletion."""
        self._number += 1
        shard = shard or self._open_shard(key)
        stamp = datetime.fromtimestamp(int(self.clock.time()), UTC)
        record: dict[str, Any] = {
            "Keys": {"pk": {"S": key}},
            "SequenceNumber": str(self._number),
            "ApproximateCreationDateTime": stamp,
        }
        if value is not None:
            record["NewImage"] = {"pk": {"S": key}, "value": {"S": value}}
        shard.records.append((self._number, record))

    def divide(self) -> None:
        """Every open shard ends in two."""
        for shard in [shard for shard in self.shards if not shard.is_closed]:
            shard.is_closed = True
            self.shards += [Shard(f"{shard.id}-{half}", shard.id) for half in "ab"]

    def _open_shard(self, key: str) -> Shard:
        still = [shard for shard in self.shards if not shard.is_closed]
        return still[sum(key.encode()) % len(still)]

    # The operations ---------------------------------------------------------------------------

    def describe_stream(self, **asked: Any) -> dict[str, Any]:
        """Two shards a page, children before parents."""
        shards = self.shards[::-1]
        names = [shard.id for shard in shards]
        start = names.index(asked["ExclusiveStartShardId"]) + 1 if len(asked) > 1 else 0
        shown = shards[start : start + 2]
        about: dict[str, Any] = {
            "StreamStatus": self.status,
            "Shards": [_told(shard) for shard in shown],
        }
        if start + 2 < len(shards):
            about["LastEvaluatedShardId"] = shown[-1].id
        return self._answer({"StreamDescription": about})

    def get_shard_iterator(self, **asked: Any) -> dict[str, Any]:
        """An iterator is a shard, the number after which it goes on, and how many are empty."""
        shard = self._shard(asked["ShardId"])
        kind = asked["ShardIteratorType"]
        after = {"TRIM_HORIZON": 0, "LATEST": self._number}.get(kind)
        after = int(asked["SequenceNumber"]) if after is None else after
        empty = 0 if kind == "LATEST" else self.empty_pages
        return {"ShardIterator": f"{shard.id}|{after}|{empty}"}

    def get_records(self, **asked: Any) -> dict[str, Any]:
        """Some pages hold nothing though there is more, as the service's documentation warns."""
        self.before_page()
        iterator = asked["ShardIterator"]
        if self.trimmed:
            raise AwsError("Trimmed.", code="TrimmedDataAccessException")
        if iterator in self.expired:
            self.expired.discard(iterator)
            raise AwsError("Expired.", code="ExpiredIteratorException")
        name, after, empty = iterator.split("|")
        shard = self._shard(name)
        rest = [record for record in shard.records if record[0] > int(after)]
        shown = [] if int(empty) else rest[: self.page]
        after = str(shown[-1][0]) if shown else after
        answer: dict[str, Any] = {"Records": [{"dynamodb": record} for _, record in shown]}
        if not (shard.is_closed and len(shown) == len(rest)):
            answer["NextShardIterator"] = f"{name}|{after}|{max(int(empty) - 1, 0)}"
        answer = self._answer(answer)
        self.after_page()
        return answer

    def _shard(self, name: str) -> Shard:
        return next(shard for shard in self.shards if shard.id == name)

    def _answer(self, answer: dict[str, Any]) -> dict[str, Any]:
        told = format_datetime(datetime.fromtimestamp(int(self.clock.time()), UTC), usegmt=True)
        return answer | {"ResponseMetadata": {"HTTPHeaders": {"date": told}}}


def _told(shard: Shard) -> dict[str, Any]:
    numbers: dict[str, Any] = {"StartingSequenceNumber": "1"}
    if shard.is_closed:
        numbers["EndingSequenceNumber"] = str(shard.records[-1][0] if shard.records else 0)
    about: dict[str, Any] = {"ShardId": shard.id, "SequenceNumberRange": numbers}
    return about | ({"ParentShardId": shard.parent} if shard.parent else {})


@dataclass
class Session:
    """A session with that service alone."""

    service: Streams
    endpoint_url: str | None = REMOTE

    def client(self, _name: str) -> Streams:
        """The service."""
        return self.service


@pytest.fixture
def clock() -> FakeClock:
    """A clock at a whole second."""
    return FakeClock()


def stream_of(service: Streams, url: str | None = REMOTE, **more: Any) -> Stream:
    """A stream of the service, as a process that has just begun sees it."""
    return Stream(cast(AwsSession, Session(service, url)), ARN, service.clock, **more)


def state(stream: Stream, position: StreamPosition, until_s: int) -> dict[str, str | None]:
    """What became of each key that changed, in the order of its changes."""
    found: dict[str, str | None] = {}

    def fold(change: Change) -> None:
        new = change.new
        found[change.keys["pk"]["S"]] = new["value"]["S"] if new else None

    stream.read(position, until_s, fold)
    return found


def test_empty_pages_are_not_the_end(clock: FakeClock) -> None:
    """Records behind a few empty pages are read, of an open shard and of a closed one."""
    service = Streams(clock, empty_pages=5)
    position = stream_of(service).position()
    service.write("a", "1")
    service.divide()
    service.write("b", "2")
    until_s = stream_of(service).next_second()
    clock.advance(60)
    assert state(stream_of(service), position, until_s) == {"a": "1", "b": "2"}


def test_what_comes_while_the_second_ends_is_read(clock: FakeClock) -> None:
    """A write of the second's last moment, after the service answered, is in the next page."""
    service = Streams(clock)
    stream = stream_of(service, LOCAL)
    position, until_s = stream.position(), stream.next_second()
    clock.advance(0.9995)
    once = [True]

    def written() -> None:
        if once:
            once.clear()
            service.write("a", "1")
            clock.advance(0.2)

    service.after_page = written
    assert state(stream, position, until_s) == {"a": "1"}


def test_a_stream_without_shards_is_awaited(clock: FakeClock) -> None:
    """A stream that was just turned on has none yet; those that come before the second count."""
    service = Streams(clock)
    first, service.shards = service.shards, []
    stream = stream_of(service)
    position, until_s = stream.position(), stream.next_second()
    sleep = clock.sleep

    def begun(seconds: float) -> None:
        sleep(seconds)
        if not service.shards:
            service.shards = first
            service.write("a", "1")

    clock.sleep = begun  # type: ignore[method-assign]  # the moment between two looks
    assert state(stream, position, until_s) == {"a": "1"}


def test_a_stream_that_was_turned_off_is_refused(clock: FakeClock) -> None:
    """What changed since is in no record, so nothing is said of that second."""
    service = Streams(clock)
    stream = stream_of(service)
    position, until_s = stream.position(), stream.next_second()
    service.shards[0].is_closed, service.status = True, "DISABLED"
    with pytest.raises(UsageError, match="turned off"):
        state(stream, position, until_s)


def test_records_that_went_are_missed(clock: FakeClock) -> None:
    """A shard of which nothing was read yet loses its oldest records without a word."""
    service = Streams(clock)
    position = stream_of(service).position()
    clock.advance(KEPT_S + 60)
    stream = stream_of(service)
    with pytest.raises(UsageError, match="no longer holds"):
        state(stream, position, stream.next_second())


def test_trimmed_pages_are_told(clock: FakeClock) -> None:
    """The service may say so only at the page."""
    service = Streams(clock)
    stream = stream_of(service)
    position = stream.position()
    service.trimmed = True
    with pytest.raises(UsageError, match="no longer holds"):
        state(stream, position, stream.next_second())


def test_a_wish_to_stop_is_heard(clock: FakeClock) -> None:
    """Also while nothing comes."""
    service = Streams(clock)
    stream = stream_of(service, stop=lambda: True)
    with pytest.raises(InterruptedRunError):
        state(stream, stream.position(), stream.next_second())


def test_a_deletion_without_an_image_is_kept() -> None:
    """A stream of new images alone tells of a deletion by its keys."""
    with Changes() as changes:
        changes.fold(Change({"pk": {"S": "a"}}, None, None, 1))
        assert [(change.keys, change.new) for change in changes.all()] == [
            ({"pk": {"S": "a"}}, None)
        ]


def test_no_room_for_changes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Millions of changes lie in a temporary file, whose disk may be full."""
    connect = sqlite3.connect

    def small(*given: Any, **more: Any) -> sqlite3.Connection:
        database: sqlite3.Connection = connect(*given, **more)
        database.execute("PRAGMA max_page_count = 10")
        return database

    def fill() -> None:
        with Changes() as changes:
            for number in range(1000):
                changes.fold(Change({"pk": {"S": str(number)}}, None, {"v": {"S": "x" * 500}}, 1))

    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(StorageError, match="full"):
        fill()


_keys = st.sampled_from("abcdef")
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), _keys),
        st.tuples(st.just("delete"), _keys),
        st.tuples(st.just("divide"), st.none()),
        st.tuples(st.just("pass"), st.sampled_from([0.3, 1.0, 4.0])),
        st.tuples(st.just("read"), st.booleans()),
    ),
    max_size=40,
)


@given(steps=_steps, empty=st.integers(0, 3), url=st.sampled_from([REMOTE, LOCAL, None]))
def test_readings_one_after_the_other_lead_to_what_stands(
    steps: list[tuple[str, Any]], empty: int, url: str | None
) -> None:
    """However shards divide and iterators expire, each reading ends at the state of its second."""
    clock = FakeClock()
    service = Streams(clock, empty)
    log: list[tuple[float, str, str | None]] = []
    position = stream_of(service, url).position()
    held: dict[str, str | None] = {}
    for number, (what, about) in enumerate([*steps, ("read", True)]):
        if what in ("put", "delete"):
            value = str(number) if what == "put" else None
            service.write(about, value)
            log.append((clock.time(), about, value))
        elif what == "divide" and len(service.shards) < 20:
            service.divide()
        elif what == "pass":
            clock.advance(about)
        elif what == "read":
            service.expired = {"shard-0|0|0"} if about else set()
            stream = stream_of(service, url)
            until_s = stream.next_second()
            position = stream.read(
                position,
                until_s,
                lambda c: held.update({c.keys["pk"]["S"]: c.new and c.new["value"]["S"]}),
            )
            assert held == {key: value for at, key, value in log if at < until_s}
