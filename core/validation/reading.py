"""Items of both tables as validation sees them: what is wrong with each by itself. Pure.

What stands elsewhere too is kept as hashes of eight bytes, to be held against each other.
Attributes that the engine does not know are never looked at.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from core.errors import UsageError
from core.memory import keys
from core.memory.index.known import TEXT_CHARACTERS
from core.memory.items import CONTENT_BYTES
from core.memory.model import SUMMARY_CHARS, content_hash, shorten, summary_line

HASH_CHARS = 16
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"[0-9a-f]{16}#[0-9]{6}")
_NOTE = re.compile(r"[0-9]{16}#[^#]*#[0-9a-f]{16}")
MOST_SECONDS = 10**12
"""Times to live are seconds; what is larger is in another unit, or none."""

HEAD_ATTRIBUTES = frozenset(
    (
        *(
            "user_date",
            "timestamp_type",
            "user_id",
            "session_id",
            "message_id",
            "timestamp",
            "role",
        ),
        *("content", "content_z", "content_parts", "content_summary", "summary", "content_hash"),
        *("role", "tokens", "embedding_id", "ttl", "metadata", "part", "noted_at"),
    )
)


@dataclass(frozen=True)
class HeadSeen:
    """A message's item. `kinds` are wrong with it by itself.

    `about` is of its session, id, time and role, `text` of its content, both None where they
    can't be known. `large` is the id and the hash's beginning of a content in parts, `owner` whose
    parts those are: whatever else is wrong, they are needed.
    """

    user: str
    place: str
    kinds: frozenset[str]
    about: int | None = None
    text: int | None = None
    session: int = 0
    message: int = 0
    ttl: int = 0
    blank: bool = False
    large: tuple[str, str] | None = None
    owner: str = ""


@dataclass(frozen=True)
class PartSeen:
    """A part of a large message: whose, of which message, and how its content's hash begins."""

    user: str
    message_id: str
    digest: str


@dataclass(frozen=True)
class NoteSeen:
    """The note that says that a message has parts."""

    user: str
    message_id: str
    digest: str
    noted_at: float


@dataclass(frozen=True)
class Odd:
    """An item that is none of the memory's, or a damaged one of its helpers."""

    kind: str


HistorySeen = HeadSeen | PartSeen | NoteSeen | Odd


def hash63(*texts: str) -> int:
    """A hash that SQLite holds as a number."""
    joined = "\0".join(texts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(joined, digest_size=8).digest(), "big") >> 1


def text_hash(beginning: str, characters: int) -> int:
    """The hash of a text of which the beginning is kept, and the length."""
    return hash63(beginning, str(characters))


@lru_cache(maxsize=4096)
def key_user(name: str) -> str | None:
    """The user whom a partition's name begins with; None where nobody is encoded so."""
    user = keys.decoded(name)
    if keys.encoded(user) != name:
        return None
    try:
        keys.check_user(user)
    except UsageError:
        return None
    return user


def read_history(item: Mapping[str, Any]) -> HistorySeen:
    """What an item of the history is, whatever it holds."""
    partition, place = item.get("user_date"), item.get("timestamp_type")
    if not isinstance(partition, str) or not isinstance(place, str):
        return Odd("unknown_item")
    user_name, _, rest = partition.partition("#")
    user = key_user(user_name)
    if user is None or not rest:
        return Odd("unknown_item")
    if rest == "parts":
        return _note(user, place, item)
    if rest.startswith("parts#"):
        return _part(user, rest.removeprefix("parts#"), place, item)
    if not _DAY.fullmatch(rest) and "timestamp" not in item:
        return Odd("unknown_item")
    return _head(user, partition, place, item)


def is_seconds(value: Any) -> bool:
    """Whether a value is a time in seconds."""
    return type(value) is int and 0 < value < MOST_SECONDS


def _note(user: str, place: str, item: Mapping[str, Any]) -> NoteSeen | Odd:
    message_id, digest = item.get("message_id"), item.get("content_hash")
    if not (isinstance(message_id, str) and isinstance(digest, str) and _NOTE.fullmatch(place)):
        return Odd("wrong_type")
    noted_at = item.get("noted_at", 0)
    if type(noted_at) not in (int, float):
        return Odd("wrong_type")
    return NoteSeen(user, message_id, digest, float(noted_at))


def _part(user: str, message: str, place: str, item: Mapping[str, Any]) -> PartSeen | Odd:
    message_id = keys.decoded(message)
    if keys.encoded(message_id) != message or not _PART.fullmatch(place):
        return Odd("unknown_item")
    if not isinstance(item.get("part"), bytes):
        return Odd("wrong_type")
    return PartSeen(user, message_id, place[:HASH_CHARS])


def _head(user: str, partition: str, place: str, item: Mapping[str, Any]) -> HeadSeen:
    wrong = set(_wrong_types(item))
    content, trouble = content_of(item)
    if trouble:
        wrong.add(trouble)
    elif content is not None and not summaries_agree(item, content):
        wrong.add("wrong_summary")
    message_id = item.get("message_id") or place
    bare = HeadSeen(
        user,
        place,
        frozenset(wrong),
        message=hash63(str(message_id)),
        large=_large(str(message_id), item),
        owner=str(item.get("user_id") or user),
    )
    if "wrong_type" in wrong:
        return bare
    if item["user_id"] != user:
        return replace(bare, kinds=frozenset({*wrong, "foreign_message"}))
    if not _is_at_its_place(item, partition, place):
        return replace(bare, kinds=frozenset({*wrong, "misplaced_message"}))
    return _compared(bare, item, content)


def _large(message_id: str, item: Mapping[str, Any]) -> tuple[str, str] | None:
    if "content_parts" not in item or "content" in item:
        return None
    return message_id, str(item.get("content_hash", ""))[:HASH_CHARS]


def _compared(bare: HeadSeen, item: Mapping[str, Any], content: str | None) -> HeadSeen:
    """With what its vector and its row must agree in."""
    kept = replace(bare, session=hash63(item["session_id"]), ttl=item.get("ttl") or 0)
    if bare.kinds & {"content_lost", "content_changed"}:
        return kept
    message_id, session = message_id_of(item), item["session_id"]
    about = about_hash(bare.user, session, message_id, item["timestamp"], item["role"])
    if content is None:
        return replace(kept, about=about)
    text = text_hash(content[:TEXT_CHARACTERS], len(content))
    return replace(kept, about=about, text=text, blank=not content.strip())


def about_hash(user: str, session: str, message_id: str, timestamp: int, role: str) -> int:
    """What a message and its vector must agree in."""
    return hash63(user, session, message_id, str(timestamp), role)


def message_id_of(head: Mapping[str, Any]) -> str:
    """A message's id, as the engine reads it."""
    return str(head.get("message_id") or head["timestamp_type"])


def content_of(item: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """A head's content, if it is in the head; and the kind of what is wrong with it."""
    if isinstance(item.get("content"), str):
        content = item["content"]
    elif isinstance(item.get("content_parts"), int) and "content" not in item:
        known = isinstance(item.get("content_hash"), str) and item["content_parts"] > 0
        return None, None if known else "content_lost"
    else:
        inflated = inflate(item.get("content_z"))
        if inflated is None:
            return None, "content_lost"
        content = inflated
    return content, content_trouble(item, content)


def content_trouble(item: Mapping[str, Any], content: str) -> str | None:
    """`content_changed` where the hash that a head has is not the content's."""
    stated = item.get("content_hash")
    changed = stated is not None and stated != content_hash(content)
    return "content_changed" if changed else None


def inflate(packed: Any) -> str | None:
    """A compressed content; None where it is none. Bounded: few bytes may inflate to much."""
    if not isinstance(packed, bytes):
        return None
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(packed, CONTENT_BYTES + 1)
        return raw.decode() if inflater.eof and not inflater.unused_data else None
    except (zlib.error, UnicodeDecodeError):
        return None


def derived(content: str) -> dict[str, str]:
    """The attributes of a head that follow from its content."""
    return {
        "content_summary": shorten(content, SUMMARY_CHARS),
        "summary": summary_line(content),
        "content_hash": content_hash(content),
    }


def summaries_agree(item: Mapping[str, Any], content: str) -> bool:
    """Whether what a head says of its content follows from it; the hash may not be missing."""
    return (
        item.get("content_summary") == shorten(content, SUMMARY_CHARS)
        and item.get("summary") == summary_line(content)
        and "content_hash" in item
    )


def _wrong_types(item: Mapping[str, Any]) -> set[str]:
    digest = item.get("content_hash")
    well = (
        all(isinstance(item.get(n), str) and item[n] for n in ("user_id", "session_id", "role"))
        and type(item.get("timestamp")) is int
        and 0 <= item["timestamp"] <= keys.LATEST_US
        and isinstance(item.get("message_id") or "", str)
        and (digest is None or (isinstance(digest, str) and bool(_DIGEST.fullmatch(digest))))
        and (item.get("ttl") is None or is_seconds(item["ttl"]))
        and type(item.get("tokens") or 0) in (int, float)
        and isinstance(item.get("metadata") or {}, dict)
        and isinstance(item.get("content", ""), str)
    )
    return set() if well else {"wrong_type"}


def _is_at_its_place(item: Mapping[str, Any], partition: str, place: str) -> bool:
    if partition != keys.user_date(item["user_id"], item["timestamp"]):
        return False
    plain = f"{item['timestamp']:016d}#{keys.encoded(item['role'])}"
    if place == plain:
        return True
    # Without an id there is nothing that a longer key could be made of.
    message_id = item.get("message_id")
    return bool(message_id) and place in keys.places(plain, str(message_id))


def places_of(item: Mapping[str, Any]) -> tuple[str, ...]:
    """The sort keys at which a readable head may stand, in order.

    Raises:
        UsageError: no key can be made of it.
    """
    keys.check_user(item["user_id"])
    keys.check_time(item["timestamp"])
    plain = f"{item['timestamp']:016d}#{keys.encoded(item['role'])}"
    message_id = item.get("message_id")
    if len(plain.encode()) + 65 > keys.SORT_KEY_BYTES:
        raise UsageError("The role is too long for a key.", "Shorten it.")
    return tuple(keys.places(plain, str(message_id))) if message_id else (plain,)
