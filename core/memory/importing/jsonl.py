"""JSON lines: one message a line, or a JSON array of such messages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

import orjson

from core.memory.importing.arrays import objects
from core.memory.importing.records import (
    Bad,
    Draft,
    UnusableError,
    as_object,
    optional_text,
    parse_time,
    required,
    text_of,
)

LINE_BYTES = 128 * 1024 * 1024
_MOST_TOKENS = 10**12
_TIMES = ("timestamp", "time", "created_at", "create_time", "date")
VERBATIM = "verbatim"
"""A member of a line whose role is to stay as it is, whatever other programs mean by it."""
_TAKEN = frozenset(
    (
        *("role", VERBATIM, "speaker", "content", "text", "message", "tokens", "metadata"),
        *("session_id", "session", "conversation_id", "message_id", "id"),
        *_TIMES,
    )
)
ROLE_NAMES: Mapping[str, str] = {"human": "user", "ai": "assistant", "bot": "assistant"}


def read_lines(stream: IO[bytes]) -> Iterator[Draft | Bad]:
    """Messages of a stream of lines; blank lines are passed over."""
    number = 0
    while line := stream.readline(LINE_BYTES + 1):
        number += 1
        if len(line) > LINE_BYTES:
            _skip_line(stream)
            yield Bad(number, f"the line is longer than {LINE_BYTES} bytes")
        elif line.strip():
            yield _from_line(number, line)


def read_array(stream: IO[bytes]) -> Iterator[Draft | Bad]:
    """Messages of a JSON array."""
    for number, value in objects(stream):
        yield value if isinstance(value, Bad) else _draft(number, value)


def parse_line(line: bytes) -> Any:
    """The JSON value of a line; raw control characters in its texts are taken as they are.

    Raises:
        UnusableError: it is not JSON, or not UTF-8.
    """
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(line.decode(), strict=False)
    except UnicodeDecodeError as error:
        raise UnusableError(f"byte {error.start + 1} is not UTF-8") from error
    except json.JSONDecodeError as error:
        cut = "" if line.endswith(b"\n") else "; the file ends in the middle of it"
        raise UnusableError(f"not JSON at column {error.colno}: {error.msg}{cut}") from error
    except (ValueError, RecursionError) as error:
        raise UnusableError(f"its JSON can't be taken: {error}") from error


def _from_line(number: int, line: bytes) -> Draft | Bad:
    try:
        return _draft(number, parse_line(line))
    except UnusableError as error:
        return Bad(number, str(error))


def _draft(number: int, value: Any) -> Draft | Bad:
    try:
        record = as_object(value)
        return _message(number, record)
    except UnusableError as error:
        return Bad(number, str(error))


def _message(number: int, record: Mapping[str, Any]) -> Draft:
    role, speaker = _who(record)
    when = next((record[name] for name in _TIMES if record.get(name) is not None), None)
    metadata = {**_metadata(record), **({"speaker": speaker} if speaker else {})}
    return Draft(
        number=number,
        role=role,
        content=text_of(required(record, "content", "text", "message")),
        session_id=optional_text(record, "session_id", "session", "conversation_id"),
        timestamp_us=None if when is None else parse_time(when),
        message_id=optional_text(record, "message_id", "id"),
        metadata=metadata,
        tokens=_tokens(record.get("tokens")),
    )


def _who(record: Mapping[str, Any]) -> tuple[str, str | None]:
    speaker = optional_text(record, "speaker")
    role = optional_text(record, "role") or speaker
    if not role:
        raise UnusableError("it has no 'role'")
    return (role if record.get(VERBATIM) is True else ROLE_NAMES.get(role, role)), speaker


def _metadata(record: Mapping[str, Any]) -> dict[str, Any]:
    given = record.get("metadata")
    if given is not None and not isinstance(given, Mapping):
        raise UnusableError("its 'metadata' is not an object")
    # What we have no name for is kept, not lost.
    others = {name: value for name, value in record.items() if name not in _TAKEN}
    return {**others, **(given or {})}


def _tokens(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS:
        return value
    raise UnusableError("its 'tokens' is not a whole number of tokens")


def _skip_line(stream: IO[bytes]) -> None:
    while (more := stream.readline(1024 * 1024)) and not more.endswith(b"\n"):
        pass
