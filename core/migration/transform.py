"""A legacy item as a message of the optimized tables, and a message as a legacy item. Pure.

A message keeps its legacy sort key as its id, and carries it along, with whatever else the item
holds that the memory does not know. One that was born in the optimized tables gets a legacy sort
key that begins with its time, as the legacy engine's own do, and carries its id.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from core.aws.capacity import item_size
from core.aws.codec import Item, WireItem, decode_item, encode_item
from core.errors import UsageError
from core.llm.embedder import FloatArray
from core.memory import legacy_items
from core.memory.importing.records import UnusableError, parse_time
from core.memory.items import LEAVING, OWN_ATTRIBUTES, StoredMessage, to_items
from core.memory.keys import (
    PARTITION_KEY_BYTES,
    SORT_KEY_BYTES,
    encoded,
    parts_partition,
    sort_keys,
    user_date,
)
from core.memory.model import Message
from core.transfer.lines import item_digest

SORT_KEY = "sort_key"
MESSAGE_ID = "message_id"
NO_SESSION = "unknown"
"""The session of a message that names none."""
RENAMED = "legacy_"
"""Goes before the name of an attribute that the optimized layout uses otherwise."""
_SAID = frozenset(("timestamp", "session_id", "role", "content", "tokens", "metadata", "ttl"))
_PLACED = frozenset(
    ("user_date", "timestamp_type", "content", "content_z", "content_parts", LEAVING)
)
_TAKEN = OWN_ATTRIBUTES | _PLACED
_UNIX = re.compile(r"\d{1,20}(\.\d{1,6})?")
_UTC = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]00:?00)?)?")
_LARGEST = 3.0e38


class UnmappableError(Exception):
    """An item has no place in the other layout; stays within this package, where it is noted."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True)
class Mapped:
    """A legacy item as a message, its items, and its inline vector (None: it has none of use)."""

    message: Message
    stored: StoredMessage
    vector: FloatArray | None = None

    @property
    def digest(self) -> bytes:
        """As `digest` of the message."""
        return head_digest(encode_item(self.stored.head))

    @property
    def legacy_key(self) -> str:
        """The sort key that it has, or would have, in the legacy table."""
        return legacy_sort_key(self.message)


def mapped(wire: WireItem) -> Mapped:
    """The message of a legacy item, as DynamoDB writes it.

    Raises:
        UnmappableError: a user id, role, session or size that no item can be made for.
    """
    vector = _vector(wire.get("embedding"))
    left_out = {LEAVING} if vector is None else {LEAVING, "embedding"}
    item = decode_item({n: v for n, v in wire.items() if n not in left_out})
    plain = legacy_items.from_item(item).message
    message = replace(plain, session_id=plain.session_id or NO_SESSION)
    own_id = _own_id(item, plain)
    if own_id is not None:
        item = {n: v for n, v in item.items() if n not in (SORT_KEY, MESSAGE_ID)}
        kept = item.pop("embedding_id", None)
        message = replace(message, message_id=own_id, embedding_id=kept)
    else:
        message = replace(message, message_id=_id_of_key(plain.user_id, item[SORT_KEY]))
    message = replace(message, extra=_carried(item, plain))
    try:
        return Mapped(message, to_items(message), vector)
    except UsageError as error:
        raise UnmappableError(error.what) from error


def is_expired(wire: WireItem, now_s: float) -> bool:
    """Whether a legacy item's time to live has passed."""
    ttl = wire.get("ttl", {}).get("N")
    return ttl is not None and float(ttl) <= now_s


def legacy_sort_key(message: Message) -> str:
    """The key that a message has in the legacy table."""
    carried = message.extra.get(SORT_KEY)
    return carried if isinstance(carried, str) else _derived(message)


def legacy_item(message: Message, standing: Item | None) -> dict[str, Any]:
    """The legacy item of a message; of one that stands there, what did not change stays as it is.

    Raises:
        UnmappableError: it is larger than an item of the legacy table may be.
    """
    item = dict(standing or {})
    before = mapped(encode_item(item)).message if standing else None
    for name, value in _legacy_attributes(message).items():
        if before is not None and _legacy_attributes(before).get(name) == value:
            continue
        item[name] = value
    if before is not None:
        gone = _legacy_attributes(before).keys() - _legacy_attributes(message).keys()
        item = {name: value for name, value in item.items() if name not in gone}
        if before.content != message.content:
            item.pop("embedding", None)
    _check_legacy(item)
    return item


def digest(message: Message) -> bytes:
    """16 bytes that are the same for equal messages, wherever they stand."""
    return head_digest(encode_item(to_items(message).head))


def head_digest(head: WireItem) -> bytes:
    """As `digest`, of a head as it is stored; its content counts by its hash alone."""
    return item_digest({name: value for name, value in head.items() if name not in _PLACED})


def places_of(user_id: str, timestamp_us: int, role: str, message_id: str) -> tuple[str, list[str]]:
    """The partition and the sort keys at which a message may stand."""
    probe = Message(user_id, "", message_id, timestamp_us, role, "")
    return user_date(user_id, timestamp_us), list(sort_keys(probe))


def _derived(message: Message) -> str:
    return f"{legacy_items.iso_text(message.timestamp_us)}#{message.message_id}"


def _own_id(item: Mapping[str, Any], plain: Message) -> str | None:
    """The id of a message that was born in the optimized tables and copied from there."""
    own = item.get(MESSAGE_ID)
    if not isinstance(own, str) or not own:
        return None
    return own if _derived(replace(plain, message_id=own)) == item[SORT_KEY] else None


def _id_of_key(user_id: str, sort_key: str) -> str:
    parts = len(parts_partition(user_id, sort_key).encode())
    if len(encoded(sort_key).encode()) <= SORT_KEY_BYTES and parts <= PARTITION_KEY_BYTES:
        return sort_key
    # Its signs take too much room where they are encoded; the key itself is carried along.
    return hashlib.sha256(sort_key.encode()).hexdigest()


def _carried(item: Mapping[str, Any], plain: Message) -> dict[str, Any]:
    """What of an item its message does not say."""
    return {
        RENAMED + name if name in _TAKEN else name: value
        for name, value in item.items()
        if not _is_said(name, value, plain)
    }


def _is_said(name: str, value: object, plain: Message) -> bool:
    """Whether the message itself says all that an attribute does."""
    match name:
        case "user_id":
            return True
        case "session_id" | "role" | "content":
            return isinstance(value, str) or value is None
        case "timestamp":
            return value is None or _is_instant(value, plain.timestamp_us)
        case "tokens":
            return value is None or (_is_number(value) and value == plain.tokens)
        case "ttl":
            return value is None or (_is_number(value) and value == plain.expires_at)
        case "metadata":
            return value is None or isinstance(value, Mapping)
    return False


def _is_instant(value: object, timestamp_us: int) -> bool:
    """Whether this instant says all that the value does: no zone, nothing below a microsecond."""
    if not (_is_number(value) or isinstance(value, str)):
        return False
    if not (_UTC.fullmatch(str(value)) or _UNIX.fullmatch(str(value))):
        return False
    try:
        return parse_time(value) == timestamp_us
    except UnusableError:
        return False


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _vector(value: Mapping[str, Any] | None) -> FloatArray | None:
    members = (value or {}).get("L")
    if not members or any("N" not in member for member in members):
        return None
    vector = np.array([float(member["N"]) for member in members], np.float64)
    # Beyond, a number of four bytes would be infinite.
    return vector.astype(np.float32) if np.abs(vector).max() < _LARGEST else None


def _legacy_attributes(message: Message) -> dict[str, Any]:
    item: dict[str, Any] = {
        "user_id": message.user_id,
        SORT_KEY: legacy_sort_key(message),
        "timestamp": legacy_items.iso_text(message.timestamp_us),
        "session_id": message.session_id,
        "role": message.role,
        "content": message.content,
        "tokens": message.tokens,
        "metadata": _plain_metadata(message),
        "ttl": message.expires_at,
        "embedding_id": message.embedding_id,
        MESSAGE_ID: None if SORT_KEY in message.extra else message.message_id,
    }
    for name, value in message.extra.items():
        own = name.removeprefix(RENAMED)
        if own == name or own not in _TAKEN:
            item[name] = value
        elif own not in _SAID:
            item[own] = value
    return {name: value for name, value in item.items() if value is not None}


def _plain_metadata(message: Message) -> dict[str, Any] | None:
    held = {n: v for n, v in message.metadata.items() if n != "undated" or not _undated(message)}
    return held or None


def _undated(message: Message) -> bool:
    return message.timestamp_us == 0 and message.metadata.get("undated") is True


def _check_legacy(item: Item) -> None:
    size = item_size(encode_item(item))
    if size > legacy_items.ITEM_BYTES:
        raise UnmappableError(
            f"The message takes {size} bytes; an item of the legacy table holds "
            f"{legacy_items.ITEM_BYTES}: it stays in the optimized tables."
        )
