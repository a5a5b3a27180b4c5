"""Messages as items of conversation-history-v2, and back.

A content that does not fit into one item is compressed; what still does not fit is split into
parts that stand in a partition of their own. The head is written last, so that a crash leaves
parts without a head, which nobody reads, and never a head without its parts. Before the parts a
note of them is written, so that parts which no head names are found by who deletes them.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.aws.capacity import item_size
from core.aws.codec import Item, encode_item
from core.errors import DamagedError, UsageError
from core.memory import keys
from core.memory.metadata import check_metadata
from core.memory.model import SUMMARY_CHARS, Message, content_hash, shorten, summary_line
from core.memory.tokens import estimate_tokens

PART_BYTES = 350 * 1024
"""DynamoDB's limit is 400 KB an item, names and keys counted in."""
CONTENT_BYTES = 64 * 1024 * 1024
READ_ATTRIBUTES = (
    "user_date",
    "timestamp_type",
    "user_id",
    "session_id",
    "message_id",
    "timestamp",
    "role",
    "content",
    "content_z",
    "content_parts",
    "content_hash",
    "tokens",
    "embedding_id",
    "ttl",
    "metadata",
)
LEAVING = "ialctl_leaving"
"""Marks an item that a migration is about to delete, so that the stream tells who did."""
OWN_ATTRIBUTES = frozenset((*READ_ATTRIBUTES, "content_summary", "summary", LEAVING))
"""What the memory itself writes into a head; other attributes are carried along."""
_HASH_CHARS = 16
_NOTE_OUTLIVES_S = 7 * 86_400


@dataclass(frozen=True)
class StoredMessage:
    """The items that make up a message: the head, whose sort key is still open, and its parts.

    `note` says that there are parts; None where there are none.
    """

    head: Item
    parts: tuple[Item, ...] = ()
    note: Item | None = None


def to_items(message: Message) -> StoredMessage:
    """The items of a message.

    Raises:
        UsageError: something about it is too large, or is not text.
    """
    keys.check_message(message)
    check_metadata(message.metadata)
    raw = _encoded(message)
    head = _head(message)
    whole = {**head, "content": message.content}
    if _fits(raw, whole):
        return StoredMessage(whole)
    packed = zlib.compress(raw, 6)
    room = PART_BYTES - item_size(encode_item(head))
    if room < 0:
        raise UsageError(
            f"The metadata of message '{message.message_id:.60}' are too large: "
            f"an item holds {PART_BYTES} bytes.",
            "Put what is large into the content.",
        )
    if len(packed) <= room:
        return StoredMessage({**head, "content_z": packed})
    parts = _parts(message, packed)
    return StoredMessage({**head, "content_parts": len(parts)}, parts, _note(message))


def from_item(item: Mapping[str, Any], parts: Sequence[bytes] = ()) -> Message:
    """The message of a head item and, for a large one, its parts in order.

    Raises:
        DamagedError: the parts are not those that the head was written with.
    """
    return Message(
        user_id=item["user_id"],
        session_id=item["session_id"],
        message_id=item.get("message_id") or item["timestamp_type"],
        timestamp_us=int(item["timestamp"]),
        role=item["role"],
        content=_content(item, parts),
        metadata=item.get("metadata") or {},
        tokens=item.get("tokens"),
        embedding_id=item.get("embedding_id"),
        expires_at=int(item["ttl"]) if item.get("ttl") is not None else None,
        extra=extra_of(item),
    )


def extra_of(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The attributes of a head that the memory only carries along."""
    return {name: value for name, value in item.items() if name not in OWN_ATTRIBUTES}


def part_prefix(item: Mapping[str, Any]) -> str:
    """What the sort keys of a head's parts begin with."""
    return f"{item['content_hash'][:_HASH_CHARS]}#"


def places_of_note(note: Mapping[str, Any]) -> tuple[str, ...]:
    """The sort keys that the head of the parts which a note tells of may stand at."""
    time, role, _ = str(note["timestamp_type"]).split("#", 2)
    return tuple(keys.places(f"{time}#{role}", str(note["message_id"])))


def _fits(raw: bytes, whole: Item) -> bool:
    # The exact size is worth computing only for the few that come near the limit.
    loose = {n: v for n, v in whole.items() if n == "metadata" or n not in OWN_ATTRIBUTES}
    rough = len(raw) + 4 * len(str(loose))
    return rough < PART_BYTES // 2 or (
        len(raw) < PART_BYTES and item_size(encode_item(whole)) <= PART_BYTES
    )


def _encoded(message: Message) -> bytes:
    try:
        raw = message.content.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The content of message '{message.message_id:.60}' holds half of a surrogate pair, "
            "which is not text.",
            "Write it in proper Unicode.",
        ) from error
    if len(raw) > CONTENT_BYTES:
        raise UsageError(
            f"The content of message '{message.message_id:.60}' has {len(raw)} bytes; "
            f"{CONTENT_BYTES} is the limit.",
            "Keep documents elsewhere and store a link.",
        )
    return raw


def _head(message: Message) -> dict[str, Any]:
    content = message.content
    tokens = message.tokens if message.tokens is not None else estimate_tokens(content)
    carried = {n: value for n, value in message.extra.items() if n not in OWN_ATTRIBUTES}
    head: dict[str, Any] = {
        **carried,
        "user_date": keys.user_date(message.user_id, message.timestamp_us),
        "user_id": message.user_id,
        "session_id": message.session_id,
        "message_id": message.message_id,
        "timestamp": message.timestamp_us,
        "role": message.role,
        "content_summary": shorten(content, SUMMARY_CHARS),
        "summary": summary_line(content),
        "content_hash": content_hash(content),
        "tokens": tokens,
    }
    optional = {"embedding_id": message.embedding_id, "ttl": message.expires_at}
    head |= {name: value for name, value in optional.items() if value is not None}
    if message.metadata:
        head["metadata"] = dict(message.metadata)
    return head


def _parts(message: Message, packed: bytes) -> tuple[Item, ...]:
    partition = keys.parts_partition(message.user_id, message.message_id)
    # The hash in the key: another content under the same id can't overwrite these parts.
    prefix = part_prefix({"content_hash": content_hash(message.content)})
    expiry = {} if message.expires_at is None else {"ttl": message.expires_at}
    return tuple(
        {
            "user_date": partition,
            "timestamp_type": f"{prefix}{number:06d}",
            "part": packed[begin : begin + PART_BYTES],
            **expiry,
        }
        for number, begin in enumerate(range(0, len(packed), PART_BYTES))
    )


def _note(message: Message) -> Item:
    # No attribute `timestamp`: the indexes of messages must not list it.
    digest = hashlib.sha256(message.message_id.encode()).hexdigest()[:_HASH_CHARS]
    note: dict[str, Any] = {
        "user_date": keys.notes_partition(message.user_id),
        "timestamp_type": f"{message.timestamp_us:016d}#{keys.encoded(message.role)}#{digest}",
        "message_id": message.message_id,
        "session_id": message.session_id,
        "content_hash": content_hash(message.content),
    }
    if message.expires_at is not None:
        # As long as a part may stand: DynamoDB deletes what has expired in no order.
        note["ttl"] = message.expires_at + _NOTE_OUTLIVES_S
    return note


def _content(item: Mapping[str, Any], parts: Sequence[bytes]) -> str:
    if "content" in item:
        return str(item["content"])
    packed = b"".join(parts) if "content_parts" in item else item.get("content_z", b"")
    try:
        content = zlib.decompress(packed).decode()
    except (zlib.error, UnicodeDecodeError):
        content = None
    if content is None or content_hash(content) != item["content_hash"]:
        raise DamagedError(
            f"The message '{item.get('message_id')}' of user '{item['user_id']}' is incomplete: "
            f"{len(parts)} of {item.get('content_parts', 1)} parts fit.",
            "Restore it from a backup: `ialctl restore`.",
            key=f"{item['user_date']}/{item['timestamp_type']}",
        )
    return content
