"""What the memory holds and hands out, as values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.aws.capacity import Consumed

SUMMARY_CHARS = 200
LINE_CHARS = 80


@dataclass(frozen=True)
class Message:
    """One message of a conversation.

    `message_id` names it for good: the same message sent twice stays one. `timestamp_us` is in
    microseconds since the epoch (UTC), `expires_at` in seconds (None: never). `extra` are further
    attributes of its item, which the memory carries along: known where the item was read whole.
    """

    user_id: str
    session_id: str
    message_id: str
    timestamp_us: int
    role: str
    content: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tokens: int | None = None
    embedding_id: str | None = None
    expires_at: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def speaker(self) -> str:
        """Who speaks: the name in the metadata, or the role."""
        return str(self.metadata.get("speaker") or self.role)


@dataclass(frozen=True)
class Appended:
    """A message that is stored now, under the sort key `place`; `new`: it was not there before."""

    message: Message
    new: bool
    consumed: Consumed
    place: str = ""


@dataclass(frozen=True)
class Messages:
    """What a read found. `complete` is False where a bound was met before the end."""

    items: tuple[Message, ...]
    consumed: Consumed
    complete: bool = True


@dataclass(frozen=True)
class Preview:
    """The beginning of a message as an index holds it; `cut`: there may be more of the text.

    `place` is the message's sort key. `message` is there where this process wrote it a moment ago.
    """

    place: str
    timestamp_us: int
    role: str
    text: str
    cut: bool
    expires_at: int | None
    message: Message | None = None


@dataclass(frozen=True)
class Previews:
    """What a read of previews found, newest first; `all`: the user has no others."""

    items: tuple[Preview, ...]
    consumed: Consumed
    all: bool


@dataclass(frozen=True)
class Placed:
    """Messages with their sort keys, in no order."""

    items: tuple[tuple[str, Message], ...]
    consumed: Consumed


def content_hash(content: str) -> str:
    """SHA-256 of a message's content, as hex."""
    return hashlib.sha256(content.encode()).hexdigest()


def shorten(content: str, limit: int) -> str:
    """At most `limit` characters, cut at a word where there is one."""
    if len(content) <= limit:
        return content
    cut = content[: limit - 1]
    words = cut.rsplit(None, 1) if any(c.isspace() for c in cut[limit // 2 :]) else [cut]
    return (words[0] if words else cut) + "…"


def summary_line(content: str) -> str:
    """A message in one line."""
    return shorten(" ".join(content[: LINE_CHARS * 8].split()), LINE_CHARS)
