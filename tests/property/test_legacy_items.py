"""Whatever DynamoDB can hold under the legacy table's attributes is read as a message."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.aws.codec import decode_item, encode_item
from core.llm.hashing import HashingEmbedder
from core.memory.bedrock_embeddings import BedrockEmbeddings
from core.memory.context_engine import ContextEngine
from core.memory.keys import LATEST_US
from core.memory.legacy_items import from_item, iso_text, to_item
from core.memory.memory_manager import MemoryManager
from core.memory.model import Message
from core.memory.schema import legacy_history_schema
from core.testing.clock import FakeClock
from core.testing.table import FakeTable

TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
NUMBERS = st.one_of(
    st.integers(-(10**37), 10**37),
    st.decimals(-(10**20), 10**20, places=4),
    st.floats(1e-100, 1e100),
)
VALUES = st.recursive(
    st.one_of(TEXTS, NUMBERS, st.booleans(), st.none(), st.binary(max_size=9)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)
TIMES = st.one_of(
    VALUES,
    st.datetimes().map(lambda when: when.isoformat()),
    st.sampled_from(["9" * 5000, "2026-05-08", "2026-02-30T00:00:00", "0001-01-01T00:00:00+23:59"]),
)
ITEMS = st.fixed_dictionaries(
    {"sort_key": st.one_of(TEXTS, TIMES.filter(lambda t: isinstance(t, str)))},
    optional={
        "timestamp": TIMES,
        "ttl": TIMES,
        "tokens": TIMES,
        **dict.fromkeys(("session_id", "role", "content", "metadata"), VALUES),
        "embedding": st.one_of(VALUES, st.lists(NUMBERS, min_size=16, max_size=16)),
    },
)


@given(ITEMS)
def test_any_item_is_a_message_of_its_key(item: dict[str, Any]) -> None:
    """Nothing raises; the time fits where times go; the item stays at hand."""
    stored = decode_item(encode_item({"user_id": "u", **item}))
    found = from_item(stored)
    assert (found.message.user_id, found.message.message_id) == ("u", item["sort_key"])
    assert 0 <= found.message.timestamp_us <= LATEST_US
    assert found.item == stored


@given(st.lists(ITEMS, max_size=5, unique_by=lambda item: item["sort_key"]))
def test_any_items_make_a_context(items: list[dict[str, Any]]) -> None:
    """A context comes of whatever stands there; what has not expired was looked at."""
    clock = FakeClock()
    table = FakeTable(legacy_history_schema("t"))
    for item in items:
        table.put({"user_id": "u", **item})
    memory = MemoryManager(table, clock)
    engine = ContextEngine(memory, BedrockEmbeddings(HashingEmbedder(16)), clock)
    built = engine.build_context("anything", "u", "s")
    messages = [from_item(item).message for item in table.all_items()]
    alive = [m for m in messages if m.expires_at is None or m.expires_at > clock.time()]
    assert built.searched == len(alive)
    assert built.text.count("<stored_conversation>") == 1


@given(
    st.integers(1, LATEST_US),
    TEXTS,
    TEXTS,
    st.dictionaries(st.text(st.characters(codec="ascii"), min_size=1), TEXTS, max_size=3),
)
def test_what_is_written_is_read_back(
    when: int, session: str, content: str, metadata: dict[str, str]
) -> None:
    """A message of any time and texts survives the table to the microsecond."""
    whole = Message("u#%", session, f"{iso_text(when)}#1", when, "user", content, metadata)
    assert from_item(decode_item(encode_item(to_item(whole)))).message == whole


@given(st.lists(st.integers(1, LATEST_US), min_size=2, max_size=5))
def test_written_times_sort_as_text(times: list[int]) -> None:
    """The order of sort keys is that of the instants."""
    assert sorted(times) == [
        from_item({"user_id": "u", "sort_key": key}).message.timestamp_us
        for key in sorted(map(iso_text, times))
    ]
