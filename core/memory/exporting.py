"""Messages as JSON lines, in the form that the import reads: nothing but what expires is lost."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from core.memory.importing.jsonl import ROLE_NAMES, VERBATIM
from core.memory.model import Message

_EPOCH = datetime.fromtimestamp(0, UTC)


def to_lines(messages: Iterable[Message]) -> Iterator[bytes]:
    """A JSON line a message, with its line end."""
    for message in messages:
        yield orjson.dumps(record(message), default=_plain, option=orjson.OPT_APPEND_NEWLINE)


def record(message: Message) -> dict[str, Any]:
    """A message as the members of a JSON line; its time in ISO 8601 to the microsecond."""
    when = (_EPOCH + timedelta(microseconds=message.timestamp_us)).isoformat()
    found = {
        "role": message.role,
        "content": message.content,
        "timestamp": when.replace("+00:00", "Z"),
        "session_id": message.session_id,
        "message_id": message.message_id,
        "tokens": message.tokens,
        "metadata": dict(message.metadata) or None,
        VERBATIM: message.role in ROLE_NAMES or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _plain(value: object) -> object:
    """What DynamoDB holds and JSON does not: exact numbers as they are written, sets as lists."""
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    raise TypeError(type(value).__name__)
