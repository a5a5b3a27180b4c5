"""The keys of conversation-history-v2, and their limits. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

from core.errors import UsageError
from core.memory.model import Message

PARTITION_KEY_BYTES = 2048
SORT_KEY_BYTES = 1024
INDEX_KEY_BYTES = 2048
ROLE_BYTES = 64
# Sixteen digits of microseconds: what the sort key has room for.
LATEST_US = 10**16 - 1
MICROSECONDS = 1_000_000
_DATE_CHARS = len("#parts#") + len("2026-01-01")


def encoded(text: str) -> str:
    """A text that holds no `#`, so that it can't reach into another's keys."""
    return text.replace("%", "%25").replace("#", "%23")


def decoded(text: str) -> str:
    """The text that `encoded` was made from."""
    return text.replace("%23", "#").replace("%25", "%")


def day_of(timestamp_us: int) -> str:
    """The UTC date of an instant, `2026-01-31`."""
    return datetime.fromtimestamp(timestamp_us // MICROSECONDS, UTC).strftime("%Y-%m-%d")


def user_date(user_id: str, timestamp_us: int) -> str:
    """The partition of a user's day."""
    return f"{encoded(user_id)}#{day_of(timestamp_us)}"


def day_start_us(user_date: str) -> int:
    """The first microsecond of a partition's day."""
    day = datetime.strptime(user_date.rsplit("#", 1)[1], "%Y-%m-%d").replace(tzinfo=UTC)
    return int(day.timestamp()) * MICROSECONDS


def user_prefix(user_id: str) -> str:
    """What all of a user's partitions begin with, and nobody else's."""
    return f"{encoded(user_id)}#"


def parts_partition(user_id: str, message_id: str) -> str:
    """The partition of a large message's parts."""
    return f"{encoded(user_id)}#parts#{encoded(message_id)}"


def notes_partition(user_id: str) -> str:
    """The partition of the notes that say which messages of a user have parts."""
    return f"{encoded(user_id)}#parts"


def sort_keys(message: Message) -> Iterator[str]:
    """Where a message may stand, in order of preference; the same ones at every try."""
    yield from places(f"{message.timestamp_us:016d}#{encoded(message.role)}", message.message_id)


def places(plain: str, message_id: str) -> Iterator[str]:
    """As `sort_keys`, of the key that begins them all."""
    yield plain
    digest = hashlib.sha256(message_id.encode()).hexdigest()
    for length in (8, 16, 64):
        yield f"{plain}#{digest[:length]}"


def check_message(message: Message) -> None:
    """Refuses a message that no key can be made for.

    Raises:
        UsageError: an id, role or time is empty, too long or out of range.
    """
    check_user(message.user_id)
    check_session(message.session_id)
    check_message_id(message.message_id)
    _check_text("role", message.role, ROLE_BYTES)
    check_time(message.timestamp_us)
    parts = len(parts_partition(message.user_id, message.message_id).encode())
    if parts > PARTITION_KEY_BYTES:
        raise UsageError(
            f"User id and message id together take {parts} bytes of a key; "
            f"{PARTITION_KEY_BYTES} is the limit.",
            "Shorten one of them.",
        )


def check_user(user_id: str) -> None:
    """Refuses a user id that no partition can be named after.

    Raises:
        UsageError: it is empty, too long, or not text.
    """
    _check_text("user id", user_id, PARTITION_KEY_BYTES - _DATE_CHARS)


def check_session(session_id: str) -> None:
    """Refuses a session id that the index has no place for.

    Raises:
        UsageError: it is empty, too long, or not text.
    """
    _check_text("session id", session_id, INDEX_KEY_BYTES)


def check_message_id(message_id: str) -> None:
    """Refuses a message id that no key has room for.

    Raises:
        UsageError: it is empty, too long, or not text.
    """
    _check_text("message id", message_id, SORT_KEY_BYTES)


_YEAR_US = 31_556_952 * MICROSECONDS


def check_time(timestamp_us: int) -> None:
    """Refuses an instant that does not fit into a key.

    Raises:
        UsageError: it lies before 1970 or after November 2286.
    """
    if not 0 <= timestamp_us <= LATEST_US:
        raise UsageError(
            f"The time lies in the year {1970 + timestamp_us // _YEAR_US}, outside 1970 to 2286.",
            "Is it in another unit? Times are microseconds since 1970 (UTC).",
        )


def _check_text(what: str, text: str, limit: int) -> None:
    if not text:
        raise UsageError(f"The {what} is empty.", f"Name one of up to {limit} bytes.")
    try:
        size = len(encoded(text).encode())
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The {what} {text!r:.60} holds half of a surrogate pair, which is not text.",
            "Write it in proper Unicode.",
        ) from error
    if size > limit:
        raise UsageError(
            f"The {what} '{text:.40}…' takes {size} bytes in a key; {limit} is the limit.",
            "Choose a shorter one ('%' and '#' take three bytes each).",
        )
