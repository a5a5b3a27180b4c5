"""Messages as items of the legacy `conversation-history`, and back. Pure.

Installations differ: `timestamp` is ISO 8601 with or without zone and fraction, or a number of
seconds or milliseconds, or not there; `sort_key` may carry a suffix, or be something else
altogether; `embedding` is a list of numbers, or not there. Whatever an item looks like, it is a
message: what can't be read of it is left open, and the item itself stays at hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from core.aws.capacity import item_size
from core.aws.codec import MAX_DIGITS, Item, encode_item
from core.errors import UsageError
from core.memory.importing.records import UnusableError, parse_time, text_of
from core.memory.keys import LATEST_US
from core.memory.metadata import check_metadata
from core.memory.model import Message

ITEM_BYTES = 400 * 1024
KEY_BYTES = 2048
UNKNOWN_ROLE = "unknown"
_EPOCH = datetime.fromtimestamp(0, UTC)
# The instant that a sort key begins with, whatever suffix follows. Fewer than ten digits are
# somebody's numbering.
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|\d{10,}(?:\.\d+)?(?![0-9A-Za-z])"
)


@dataclass(frozen=True)
class LegacyMessage:
    """A message of the legacy table.

    `embedding` is the vector stored inline, if any; `item` is all that is stored, as it is
    stored. `message["content"]` and `message.get("tokens")` read the item, for callers who know
    these messages as dicts.
    """

    message: Message
    embedding: tuple[float, ...] | None
    item: Item

    def __getitem__(self, attribute: str) -> Any:
        return self.item[attribute]

    def get(self, attribute: str, default: Any = None) -> Any:
        """An attribute as it is stored, or `default`."""
        return self.item.get(attribute, default)


def iso_text(timestamp_us: int) -> str:
    """An instant as the legacy table has it, always with six digits, so that texts sort."""
    return (_EPOCH + timedelta(microseconds=timestamp_us)).isoformat(timespec="microseconds")


def to_item(message: Message, embedding: Sequence[float] | None = None) -> dict[str, Any]:
    """The item of a message; its id is its sort key.

    Raises:
        UsageError: something about it is no text, no finite number, or too large for an item.
    """
    check_user(message.user_id)
    check_metadata(message.metadata)
    for what in ("content", "role", "session_id"):
        _size(getattr(message, what), what)
    item: dict[str, Any] = {
        "user_id": message.user_id,
        "sort_key": message.message_id,
        "timestamp": iso_text(message.timestamp_us),
        "session_id": message.session_id,
        "role": message.role,
        "content": message.content,
        "tokens": message.tokens,
        "metadata": dict(message.metadata) or None,
        "ttl": message.expires_at,
        "embedding": [float(number) for number in embedding] if embedding is not None else None,
    }
    stored = {name: value for name, value in item.items() if value is not None}
    _check_size(stored)
    return stored


def from_item(item: Mapping[str, Any]) -> LegacyMessage:
    """The message of an item; never raises, whatever variety of the table it is."""
    when = _time(item)
    metadata = item.get("metadata")
    known = dict(metadata) if isinstance(metadata, Mapping) else {}
    message = Message(
        user_id=item["user_id"],
        session_id="" if item.get("session_id") is None else str(item["session_id"]),
        message_id=item["sort_key"],
        timestamp_us=when or 0,
        role=str(item.get("role") or UNKNOWN_ROLE),
        content=_content(item.get("content")),
        metadata=known if when is not None else {**known, "undated": True},
        tokens=_whole(item.get("tokens")),
        expires_at=_whole(item.get("ttl")),
    )
    return LegacyMessage(message, _embedding(item.get("embedding")), item)


def check_user(user_id: str) -> None:
    """Refuses a user id that can be no partition key; `#` and `%` are like any other character.

    Raises:
        UsageError: it is empty, too long, or not text.
    """
    if 0 < _size(user_id, "user id") <= KEY_BYTES:
        return
    raise UsageError(
        f"The user id '{user_id:.40}' is empty or longer than {KEY_BYTES} bytes.",
        "Name another.",
    )


def _check_size(stored: Item) -> None:
    size = item_size(encode_item(stored))
    if size > ITEM_BYTES:
        raise UsageError(
            f"The message takes {size} bytes; an item of the legacy table holds {ITEM_BYTES}.",
            "Shorten it, or use the optimized engine, which splits long messages.",
        )


def _size(text: str, what: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The {what} {text!r:.60} holds half of a surrogate pair, which is not text.",
            "Write it in proper Unicode.",
        ) from error


def _time(item: Mapping[str, Any]) -> int | None:
    found = _instant(item.get("timestamp"))
    if found is None:
        # What stands there is no instant: the sort key usually is one.
        begins = _INSTANT.match(item["sort_key"])
        found = _instant(begins.group()) if begins else None
    return found


def _instant(value: object) -> int | None:
    try:
        found = parse_time(value)
    except UnusableError:
        return None
    return found if 0 < found <= LATEST_US else None


def _content(value: object) -> str:
    try:
        return "" if value is None else text_of(value)
    except UnusableError:
        return str(value)


def _whole(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) <= MAX_DIGITS:
        return int(value)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return int(value)
    return None


def _embedding(value: object) -> tuple[float, ...] | None:
    if not isinstance(value, list) or not value:
        return None
    if any(isinstance(n, bool) or not isinstance(n, int | float | Decimal) for n in value):
        return None
    return tuple(map(float, value))
