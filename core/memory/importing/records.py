"""What a file's reader hands on: drafts of messages, and what can't be used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from core.memory.keys import MICROSECONDS


@dataclass(frozen=True)
class Draft:
    """A message as its file tells it; what is None is worked out later, always the same way."""

    number: int
    role: str
    content: str
    session_id: str | None = None
    timestamp_us: int | None = None
    message_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tokens: int | None = None


@dataclass(frozen=True)
class Bad:
    """A line or record that can't be used, and why."""

    number: int
    reason: str


class UnusableError(Exception):
    """A value of a record can't be used; stays within this package, where it becomes `Bad`."""


def parse_time(value: object) -> int:
    """Microseconds since the epoch of an ISO 8601 text or a number of seconds to nanoseconds.

    The unit of a number is told by its size; a text without a zone is UTC.

    Raises:
        UnusableError: it is neither.
    """
    if isinstance(value, str):
        return _parse_text(value.strip())
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _parse_number(Decimal(repr(value)) if isinstance(value, float) else Decimal(value))
    raise UnusableError(f"the time is {_kind(value)}, neither a text nor a number")


def _parse_text(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _parse_number_text(text)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        since = aware.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    except OverflowError as error:
        raise UnusableError(f"the time {text!r:.60} lies outside the calendar") from error
    return (since.days * 86400 + since.seconds) * MICROSECONDS + since.microseconds


def _parse_number_text(text: str) -> int:
    if text.replace(".", "", 1).isdecimal():
        return _parse_number(Decimal(text))
    raise UnusableError(f"the time {text!r:.60} is not ISO 8601, such as 2026-05-08T13:56:00Z")


def _parse_number(number: Decimal) -> int:
    if not number.is_finite() or abs(number) >= Decimal(10) ** 20:
        raise UnusableError(f"the time {number!s:.60} is not an instant")
    size = abs(number)
    for limit, per_unit in ((10**11, 10**6), (10**14, 10**3), (10**17, 1)):
        if size < limit:
            return math.floor(number * per_unit)
    return math.floor(number / 1000)


def text_of(content: object) -> str:
    """The text of a content: a text, or a list of parts as chat APIs write them.

    Raises:
        UnusableError: there is no text in it.
    """
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content:
        return "\n".join(_part_text(part) for part in content)
    raise UnusableError(f"the content is {_kind(content)}, not a text")


def _part_text(part: object) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping):
        text = part.get("text", part.get("content"))
        if isinstance(text, str):
            return text
        kind = part.get("type", part.get("content_type", "part"))
        return f"[{kind}]"
    raise UnusableError(f"the content has a part that is {_kind(part)}, not a text")


def required(record: Mapping[str, Any], *names: str) -> Any:
    """The first of these members that there is.

    Raises:
        UnusableError: there is none of them.
    """
    for name in names:
        if record.get(name) is not None:
            return record[name]
    raise UnusableError(f"it has no '{names[0]}'")


def optional_text(record: Mapping[str, Any], *names: str) -> str | None:
    """The first of these members that there is, as text; None if there is none.

    Raises:
        UnusableError: it is something else than text or a number.
    """
    for name in names:
        value = record.get(name)
        if value is None:
            continue
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            return str(value)
        raise UnusableError(f"its '{name}' is {_kind(value)}, not a text")
    return None


def as_object(value: object) -> Mapping[str, Any]:
    """`value`, if it is a JSON object.

    Raises:
        UnusableError: it is something else.
    """
    if isinstance(value, Mapping):
        return value
    raise UnusableError(f"it is {_kind(value)}, not an object")


def _kind(value: object) -> str:
    kinds = {list: "a list", dict: "an object", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a text" if isinstance(value, str) else "a number")
