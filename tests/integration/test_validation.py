"""Each way in which the data may be wrong: planted, found by name, and put right where promised."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from core.clock import SYSTEM_CLOCK
from core.memory import keys
from core.memory.chunks import user_chunks
from core.memory.index.partition import BEGUN, TERMS, partition_of
from core.memory.items import to_items
from core.memory.model import Message
from tests.engines import FIRST_US, Down, conversation
from tests.forgetting import SMALLER_TEXT
from tests.validated import Memory

Head = dict[str, Any]
Plant = Callable[[Memory, Head], Any]
DAY_US = 86_400_000_000


@pytest.fixture(scope="module")
def memory(endpoint_url: str, tmp_path_factory: pytest.TempPathFactory) -> Memory:
    """A filled memory, whole before each test and after it."""
    project = f"t-{uuid.uuid4().hex[:12]}"
    made = Memory.make(endpoint_url, project, tmp_path_factory.mktemp("validated"))
    made.fill()
    return made


@pytest.fixture
def head(memory: Memory) -> Head:
    """A message that nothing was done to yet."""
    return memory.heads()[-1]


def moved(memory: Memory, head: Head, **keys_: Any) -> None:
    """The message under other keys."""
    memory.history.put({**head, **keys_})
    memory.remove(memory.history, head)


def changed(memory: Memory, head: Head, **attributes: Any) -> None:
    """The message with other attributes; those that are None are taken away."""
    item = {**head, **attributes}
    memory.history.put({k: v for k, v in item.items() if v is not None})


def changed_vector(memory: Memory, head: Head, **attributes: Any) -> None:
    """The message's vector with other attributes."""
    item = {**memory.vector(head), **attributes}
    memory.embeddings.put({k: v for k, v in item.items() if v is not None})


def in_another_chunk(memory: Memory, head: Head) -> None:
    """The vector in a partition that is not its id's."""
    vector = memory.vector(head)
    other = next(c for c in user_chunks("ada") if c != vector["user_chunk"])
    memory.embeddings.put({**vector, "user_chunk": other})
    memory.remove(memory.embeddings, vector)


def entry(memory: Memory, begins: str, **attributes: Any) -> None:
    """An entry of a new user's index that begins so, with other attributes or gone."""
    user = f"u{uuid.uuid4().hex[:6]}"
    with memory.engine() as engine:
        engine.import_messages(user, conversation(user, 130))
    item = next(
        i
        for i in memory.items(memory.embeddings)
        if i["user_chunk"] == partition_of(user) and str(i["embedding_id"]).startswith(begins)
    )
    if not attributes:
        memory.remove(memory.embeddings, item)
        return
    cut = {n: item[n][:-3] if isinstance(item.get(n), bytes) else b"?" for n in attributes}
    memory.embeddings.put({**item, **cut})


def unindexed(memory: Memory, head: Head) -> None:
    """A message that was stored and never indexed."""
    with memory.parts() as parts:
        parts.store.append(
            Message("ada", "s", "new", int(head["timestamp"]) + 5, "user", "A new heron.")
        )


REPAIRED: dict[str, tuple[Plant, dict[str, int]]] = {
    "another day": (
        lambda m, h: moved(m, h, user_date=keys.user_date("ada", h["timestamp"] + DAY_US)),
        {"misplaced_message": 1},
    ),
    "another sort key": (
        lambda m, h: moved(m, h, timestamp_type=f"{h['timestamp'] + 9:016d}#user"),
        {"misplaced_message": 1, "vector_without_message": 1, "row_without_message": 1},
    ),
    "another time": (
        lambda m, h: changed(m, h, timestamp=h["timestamp"] + DAY_US),
        {"misplaced_message": 1},
    ),
    "seconds in place of microseconds": (
        lambda m, h: changed(m, h, timestamp=h["timestamp"] // 1_000_000),
        {"misplaced_message": 1},
    ),
    "another role": (lambda m, h: changed(m, h, role="tool#1"), {"misplaced_message": 1}),
    "a vector that names another user": (
        lambda m, h: changed_vector(m, h, user_id="eve"),
        {"foreign_vector": 1},
    ),
    "a vector in another chunk": (
        in_another_chunk,
        {"misplaced_vector": 1, "row_without_item": 1},
    ),
    "a message that is gone": (
        lambda m, h: m.remove(m.history, h),
        {"vector_without_message": 1, "row_without_message": 1},
    ),
    "a vector of another session": (
        lambda m, h: changed_vector(m, h, session_id="other"),
        {"vector_disagrees": 1},
    ),
    "another session": (
        lambda m, h: changed(m, h, session_id="other"),
        {"vector_disagrees": 1, "row_disagrees": 1},
    ),
    "a vector of another text": (
        lambda m, h: changed_vector(m, h, content="Other words."),
        {"stale_vector": 1},
    ),
    "a cut vector": (
        lambda m, h: changed_vector(m, h, vector_compressed=b"\xea\x56short"),
        {"damaged_vector": 1},
    ),
    "a vector of other dimensions": (
        lambda m, h: changed_vector(m, h, dimensions=7),
        {"damaged_vector": 1},
    ),
    "a vector whose ttl is text": (
        lambda m, h: changed_vector(m, h, ttl="soon"),
        {"damaged_vector": 1},
    ),
    "a lost vector": (
        lambda m, h: m.remove(m.embeddings, m.vector(h)),
        {"row_without_item": 1},
    ),
    "a message not indexed": (unindexed, {"unindexed": 1}),
    "cut words": (lambda m, h: entry(m, TERMS, terms=b""), {"damaged_entry": 1}),
    "lost words": (lambda m, h: entry(m, TERMS), {"damaged_entry": 1}),
    "a damaged token": (lambda m, h: entry(m, BEGUN, token=""), {"damaged_entry": 1}),
    "a vector that expires": (
        lambda m, h: changed_vector(m, h, ttl=int(SYSTEM_CLOCK.time()) + 9999),
        {"expiry_disagrees": 1},
    ),
    "a message that expires": (
        lambda m, h: changed(m, h, ttl=int(SYSTEM_CLOCK.time()) + 9999),
        {"expiry_disagrees": 1},
    ),
    "a message that has expired": (
        lambda m, h: changed(m, h, ttl=int(SYSTEM_CLOCK.time()) - 10),
        {"expired_indexed": 1, "expiry_disagrees": 1},
    ),
    "another summary": (lambda m, h: changed(m, h, summary="?"), {"wrong_summary": 1}),
    "no hash": (lambda m, h: changed(m, h, content_hash=None), {"wrong_summary": 1}),
}


def test_what_is_repaired(memory: Memory) -> None:
    """All of it at once: each is found under its name, and a repair leaves nothing of it, and
    loses no message."""
    heads = memory.heads()
    expected: Counter[str] = Counter()
    for number, (plant, kinds) in enumerate(REPAIRED.values()):
        plant(memory, heads[4 * number])
        expected.update(kinds)
    with memory.validator() as validator, memory.parts() as parts:
        found = {f.kind: f.count for f in validator.run().findings}
        assert found == expected
        done = validator.repair(parts)
    assert done.left == ()
    assert sum(done.done.values()) == sum(expected.values())
    assert memory.found() == {}
    lost = heads[4 * list(REPAIRED).index("a message that is gone")]
    ids = {str(h["message_id"]) for h in memory.heads()}
    assert {str(h["message_id"]) for h in heads} - ids == {lost["message_id"]}


def test_three_times_of_one_message(memory: Memory, head: Head) -> None:
    """Which one holds can't be known: the message is left as it is, and that is said."""
    later = head["timestamp"] + 3 * DAY_US
    moved(memory, head, user_date="ada#2020-02-02", timestamp=later)
    assert memory.found()["misplaced_message"] == 1
    (left,) = memory.repair().left
    assert "three times" in left
    odd = {**head, "user_date": "ada#2020-02-02"}
    memory.remove(memory.history, odd)
    memory.history.put(head)
    memory.repair()
    assert memory.found() == {}


LEFT: dict[str, tuple[dict[str, Any], str]] = {
    "a message that names another user": ({"user_id": "eve"}, "foreign_message"),
    "another text": ({"content": "Forged."}, "content_changed"),
    "no text": ({"content": None}, "content_lost"),
    "rubbish in place of a text": ({"content": None, "content_z": b"rubbish"}, "content_lost"),
    "a role of another type": ({"role": 7}, "wrong_type"),
    "metadata of another type": ({"metadata": "x"}, "wrong_type"),
    "a ttl in milliseconds": ({"ttl": 1_800_000_000_000}, "wrong_type"),
}


def test_what_is_left(memory: Memory) -> None:
    """What can't be known is not guessed: it is found, told with its cure, and left as it is."""
    heads = memory.heads()[: len(LEFT)]
    for head, (attributes, _) in zip(heads, LEFT.values(), strict=True):
        changed(memory, head, **attributes)
    expected = Counter(kind for _, kind in LEFT.values())
    with memory.validator() as validator, memory.parts() as parts:
        found = validator.run()
        assert {f.kind: f.count for f in found.findings} == expected
        assert found.repairable == 0
        assert not any(f.about.repaired for f in found.findings)
        told = {example for f in found.findings for example in f.examples}
        assert told == {f"{h['user_date']} / {h['timestamp_type']}" for h in heads}
        assert validator.repair(parts).done == {}
    assert memory.found() == expected
    memory.history.batch_write(heads)
    assert memory.found() == {}


def test_a_segment_that_can_not_be_read(memory: Memory, head: Head) -> None:
    """Its messages are found as not indexed, and are all in the index again after a repair."""
    entry(memory, "L#", rows=b"")
    found = memory.found()
    assert (found["damaged_entry"], set(found)) == (1, {"damaged_entry", "unindexed"})
    assert found["unindexed"] > 1
    # The lost rows are indexed anew with the vectors that they have: no model is asked.
    down = Down()
    down.up = False
    assert memory.repair(embedder=down).left == ()


def test_a_lost_part_is_lost_content(memory: Memory, head: Head) -> None:
    """A message in parts is put together; its parts are never taken for orphans."""
    part = next(i for i in memory.items(memory.history) if "part" in i)
    memory.remove(memory.history, part)
    assert memory.found() == {"content_lost": 1}
    memory.repair()
    assert memory.found() == {"content_lost": 1}
    memory.history.put({**part, "part": part["part"][:-1] + b"?"})
    assert set(memory.found()) <= {"content_lost", "content_changed"}
    memory.history.put(part)


def test_a_large_message_is_moved_with_its_parts(memory: Memory, head: Head) -> None:
    """Its role was changed: it is moved, and an hour later its parts are still needed."""
    large = next(i for i in memory.items(memory.history) if "content_parts" in i)
    changed(memory, large, role="tool")
    assert memory.found() == {"misplaced_message": 1}
    assert memory.repair().done == {"misplaced_message": 1}
    with memory.parts() as parts:
        assert parts.auditor.repair("ada").found.orphaned_parts == 0
        found = parts.store.read_session("ada", "big", 9)
    assert SMALLER_TEXT in {message.content for message in found.items}


def test_parts_that_nobody_needs_are_removed_after_an_hour(memory: Memory, head: Head) -> None:
    """Young ones may still get their message."""
    stored = to_items(Message("ada", "s", "never", FIRST_US + 77, "user", SMALLER_TEXT))
    assert stored.note is not None
    now_s = int(SYSTEM_CLOCK.time())
    memory.history.batch_write([*stored.parts, {**stored.note, "noted_at": now_s}])
    assert memory.found() == {"unfinished_parts": 1}
    assert memory.validate().clean
    memory.history.put({**stored.note, "noted_at": now_s - 7200})
    assert memory.found() == {"orphaned_parts": 1}
    assert memory.repair().done == {"orphaned_parts": 1}
    assert not any("never" in str(i["user_date"]) for i in memory.items(memory.history))
    memory.history.batch_write(stored.parts)
    assert memory.found() == {"orphaned_parts": 1}
    memory.repair()


def test_items_that_are_none_of_the_memorys(memory: Memory, head: Head) -> None:
    """They are named, and nothing is done to them."""
    strange: list[Head] = [
        {"user_date": "nonsense", "timestamp_type": "x"},
        {"user_date": "a%#2026-01-01", "timestamp_type": "x", "timestamp": 5},
        {"user_date": "ada#parts", "timestamp_type": "x"},
    ]
    others: list[Head] = [
        {"user_chunk": "ada", "embedding_id": "x"},
        {"user_chunk": partition_of("ada"), "embedding_id": "Z#1"},
    ]
    for item in strange:
        memory.history.put(item)
    for item in others:
        memory.embeddings.put(item)
    assert memory.found() == {"unknown_item": 4, "wrong_type": 1}
    memory.repair()
    assert memory.found() == {"unknown_item": 4, "wrong_type": 1}
    for item in strange:
        memory.remove(memory.history, item)
    for item in others:
        memory.remove(memory.embeddings, item)


def test_what_the_engine_does_not_know_is_no_violation(memory: Memory, head: Head) -> None:
    """A migration carries attributes along that are the legacy table's."""
    changed(memory, head, sort_key="2026-01-01T00:00:00", archived="no", marks={"a", "b"})
    assert memory.found() == {}
    changed(memory, head, sort_key="2026-01-01T00:00:00", summary="?")
    assert memory.repair().done == {"wrong_summary": 1}
    kept = next(h for h in memory.heads() if h["timestamp_type"] == head["timestamp_type"])
    assert kept["sort_key"] == "2026-01-01T00:00:00"
