"""Items of the legacy table as installations really have them, and those we write."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from core.aws.codec import decode_item, encode_item
from core.errors import UsageError
from core.memory.legacy_items import from_item, to_item
from core.memory.model import Message

NOON_US = int(datetime(2026, 5, 8, 12, tzinfo=UTC).timestamp()) * 1_000_000
ISO = "2026-05-08T12:00:00"


def item(sort_key: str = "k", **attributes: Any) -> dict[str, Any]:
    """An item as it comes back from a table."""
    return decode_item(encode_item({"user_id": "u", "sort_key": sort_key, **attributes}))


def message(**changes: Any) -> Message:
    """A message as it is written."""
    known = {"user_id": "u", "session_id": "s", "message_id": "k", "timestamp_us": NOON_US}
    return Message(**{**known, "role": "user", "content": "hello", **changes})


@pytest.mark.parametrize(
    ("stored", "later_us"),
    [
        (ISO, 0),
        (f"{ISO}.25", 250_000),
        (f"{ISO}.123456789", 123_456),
        (f"{ISO}Z", 0),
        (f"{ISO}+02:00", -2 * 3600 * 1_000_000),
        (f"{ISO}.5+00:00", 500_000),
        (NOON_US // 1_000_000, 0),
        (Decimal(NOON_US + 500_000) / 1_000_000, 500_000),
        (NOON_US // 1000 + 7, 7000),
        (str(NOON_US // 1_000_000), 0),
    ],
)
def test_every_way_to_write_a_time_is_read(stored: object, later_us: int) -> None:
    """ISO with and without zone and fraction, seconds and milliseconds mean the same instant."""
    assert from_item(item(timestamp=stored)).message.timestamp_us == NOON_US + later_us


@pytest.mark.parametrize("stored", [None, "", "yesterday", True, -5, 10**30, [1], "9999-99-99"])
def test_a_time_that_is_none_is_taken_from_the_sort_key(stored: object) -> None:
    """Where `timestamp` is no instant, the sort key's beginning is one, suffix or not."""
    for key in (ISO, f"{ISO}Z", f"{ISO}#a1b2", f"{ISO}.000_user", f"{NOON_US // 1000}#x"):
        assert from_item(item(key, timestamp=stored)).message.timestamp_us == NOON_US


@pytest.mark.parametrize("key", ["msg#17", "42", "1234567890abcdef", "2026-99-99T00:00:00"])
def test_a_message_without_any_time_stays_and_is_undated(key: str) -> None:
    """A numbering or an id is not taken for a time; the message is there all the same."""
    found = from_item(item(key, content="hello")).message
    assert (found.timestamp_us, found.content) == (0, "hello")
    assert found.metadata["undated"]


def test_an_item_with_nothing_but_its_key_is_a_message() -> None:
    """What is missing is left open; nothing raises."""
    found = from_item(item("k"))
    assert (found.message.role, found.message.content, found.message.session_id) == (
        *("unknown", ""),
        "",
    )
    assert found.embedding is None


def test_odd_values_drop_no_message() -> None:
    """Contents, metadata, tokens and times to live of unexpected kinds are still read."""
    found = from_item(
        item(content=[{"text": "a"}, "b"], metadata="note", tokens="17", ttl="2000000000", role=7)
    )
    assert found.message.content == "a\nb"
    assert (found.message.tokens, found.message.expires_at) == (17, 2_000_000_000)
    assert (found.message.role, found["metadata"]) == ("7", "note")
    assert from_item(item(content={"text": 5})).message.content == "{'text': 5}"


def test_an_inline_vector_is_read_and_what_is_none_is_not() -> None:
    """A list of numbers is a vector, whatever digits they are written with."""
    exact = [Decimal("0.1234567890123456789"), 1, -0.5]
    assert from_item(item(embedding=exact)).embedding == (0.12345678901234568, 1.0, -0.5)
    for other in ([], ["a"], [True, False], "0.1,0.2", {"a": 1}, None):
        assert from_item(item(embedding=other)).embedding is None


def test_what_is_written_is_read_back() -> None:
    """A message and its vector survive the table; attributes are those of the data model."""
    whole = message(metadata={"a": 1}, tokens=3, expires_at=2_000_000_000)
    stored = to_item(whole, [0.5, 0.25])
    found = from_item(decode_item(encode_item(stored)))
    assert (found.message, found.embedding) == (whole, (0.5, 0.25))
    assert set(stored) == {
        *("user_id", "sort_key", "timestamp", "session_id", "role", "content", "tokens"),
        *("metadata", "ttl", "embedding"),
    }
    assert found["content"] == "hello"
    assert found.get("nothing", 1) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": ""},
        {"user_id": "u" * 2049},
        {"user_id": "\ud800"},
        {"content": "\udfff"},
        {"role": "\ud800"},
        {"session_id": "\ud800"},
        {"content": "x" * 410_000},
        {"metadata": {"": 1}},
        {"metadata": {"x": float("nan")}},
    ],
)
def test_what_no_item_can_hold_is_refused(changes: dict[str, Any]) -> None:
    """One sentence before anything is written, and what to do."""
    with pytest.raises(UsageError) as caught:
        to_item(message(**changes))
    assert caught.value.cure
