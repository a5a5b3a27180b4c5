"""The memory over a real endpoint: what the fake promises holds there too."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest

from core.aws.session import AwsSession
from core.memory.context import ContextBuilder
from core.memory.lexical import LexicalRetriever
from core.memory.model import Message
from core.memory.opening import open_store
from core.memory.schema import history_schema
from core.memory.store import ConversationStore
from tests.tables import create_table

NOON = 1_700_000_000_000_000
DAY = 86_400_000_000


def message(n: int, content: str = "", session: str = "s", user: str = "u") -> Message:
    """Message n, a second after the one before."""
    when = NOON + n * 1_000_000
    return Message(user, session, f"m{n}", when, "user", content or f"text {n}")


@pytest.fixture
def store(aws: AwsSession, project: str) -> Iterator[ConversationStore]:
    """A store over an empty table."""
    create_table(aws, history_schema(project), numbers=("timestamp",))
    with open_store(aws, project) as opened:
        yield opened


def test_five_megabytes_that_do_not_compress(
    store: ConversationStore, aws: AwsSession, project: str
) -> None:
    """A large content is split, joined, and whole for another process."""
    content = random.Random(1).randbytes(2_600_000).hex()[: 5 * 1024 * 1024]
    rng = random.Random(2)
    dense = "".join(chr(rng.randrange(0x4E00, 0x9FFF)) for _ in range(1_700_000))
    store.append_many([message(1, content), message(2, dense)])
    with open_store(aws, project) as other:
        found = other.read_recent("u", 2).items
    assert [m.content for m in found] == [dense, content]


def test_reads_agree_over_days_and_sessions(
    store: ConversationStore, aws: AwsSession, project: str
) -> None:
    """Recent, session and all give the same messages, each exactly once."""
    many = [
        Message("u", f"s{n % 3}", f"m{n}", NOON + n * DAY // 7, "user", f"text {n}")
        for n in range(120)
    ]
    store.append_many(many)
    with open_store(aws, project) as other:
        assert [m.message_id for m in other.read_recent("u", 30).items] == [
            f"m{n}" for n in range(119, 89, -1)
        ]
        assert [m.message_id for m in other.read_session("u", "s1", 10).items] == [
            f"m{n}" for n in range(118, 88, -3)
        ]
        everything = [m for page in other.read_all("u") for m in page.items]
    assert [m.message_id for m in everything] == [f"m{n}" for n in range(119, -1, -1)]


def test_many_writers_of_one_microsecond(aws: AwsSession, project: str) -> None:
    """Processes that write at the same instant keep all their messages, once each."""
    create_table(aws, history_schema(project), numbers=("timestamp",))
    many = [Message("u", "s", f"id{n}", NOON, "user", f"content {n}") for n in range(40)]

    def write() -> None:
        with open_store(aws, project) as mine:
            mine.append_many(many)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    with open_store(aws, project) as store:
        found = store.read_recent("u", 200).items
    assert sorted(m.message_id for m in found) == sorted(m.message_id for m in many)


def test_reading_the_last_twenty_costs_the_same_in_a_long_history(
    store: ConversationStore, aws: AwsSession, project: str
) -> None:
    """Requests, rounds and units don't grow with what was said before."""
    store.append_many([message(n) for n in range(40)])
    with open_store(aws, project) as other:
        short = other.read_recent("u", 20).consumed
    store.append_many([message(n) for n in range(40, 1040)])
    with open_store(aws, project) as other:
        long = other.read_recent("u", 20).consumed
    assert (long.requests, long.rounds) == (short.requests, short.rounds) == (2, 2)
    assert long.read_units <= short.read_units + 0.5 <= 4


def test_a_context_over_the_endpoint(store: ConversationStore) -> None:
    """A matching message is found among others and stands in the text."""
    store.append_many([message(n) for n in range(50)])
    store.append(message(60, "The otter is called Ludwig", session="other"))
    built = ContextBuilder(store, LexicalRetriever(store)).build(
        "What is the otter called?", "u", "s"
    )
    assert "Ludwig" in built.text
    assert {line.source for line in built.lines} == {"recent", "session"}
