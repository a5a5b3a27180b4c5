"""What of a backup is wanted: a user's items, a session's, those of a span of time.

The tables of the memory are known by their keys, or names; of any other, items are selected by
attributes called `user_id`, `session_id` and `timestamp`. Parts of a large message stand apart
from it and say nothing of its session: they go with the message, which is why `look` sees all
items first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from core.aws.codec import WireItem, WireValue, decode
from core.errors import UsageError
from core.memory import keys
from core.memory.importing.records import UnusableError, parse_time
from core.memory.legacy_items import from_item
from core.transfer.lines import Keys

_HISTORY, _EMBEDDINGS = "conversation-history-v2", "conversation-embeddings"
_LEGACY = "conversation-history"
# Nothing in their items tells whose they are.
_NOBODY_S = ("conversation-cache", "operations")
_BY_KEYS: Mapping[tuple[str, ...], str] = {
    ("user_date", "timestamp_type"): _HISTORY,
    ("user_chunk", "embedding_id"): _EMBEDDINGS,
    ("user_id", "sort_key"): _LEGACY,
    ("cache_key",): _NOBODY_S[0],
}
_UNDATED = ("user-sessions", "context-windows", "token-usage")


@dataclass(frozen=True)
class Selection:
    """Which items are wanted; all of them where nothing is named.

    Times are microseconds since the epoch; `to_us` is not included.
    """

    user: str | None = None
    session: str | None = None
    from_us: int | None = None
    to_us: int | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Selection()

    @property
    def whole_user(self) -> bool:
        """Whether all of a user is wanted."""
        return self.user is not None and self == Selection(user=self.user)

    @property
    def tag(self) -> str:
        """A short text that other selections do not have; empty for everything."""
        if self.everything:
            return ""
        fields = orjson.dumps([self.user, self.session, self.from_us, self.to_us])
        return hashlib.sha256(fields).hexdigest()[:12]

    def check(self) -> None:
        """Refuses what can select nothing.

        Raises:
            UsageError: an id is empty, or the span ends before it begins.
        """
        if "" in (self.user, self.session):
            raise UsageError("The user or session to restore has no name.", "Name one, or neither.")
        if self.from_us is not None and self.to_us is not None and self.from_us >= self.to_us:
            raise UsageError(
                "The time span to restore ends before it begins.", "`--after` is the earlier one."
            )

    def covers(self, user: object, session: object, at_us: int | None) -> bool:
        """Whether an item is meant; what it does not say matches no bound."""
        return (
            (self.user is None or user == self.user)
            and (self.session is None or session == self.session)
            and (self.from_us is None or (at_us is not None and at_us >= self.from_us))
            and (self.to_us is None or (at_us is not None and at_us < self.to_us))
        )

    @property
    def timed(self) -> bool:
        """Whether times matter."""
        return self.from_us is not None or self.to_us is not None


class Selector(Protocol):
    """Selects items of one table. For one thread."""

    def look(self, item: WireItem) -> None:
        """Sees an item; all are shown before any is asked for."""

    def wants(self, item: WireItem) -> bool:
        """Whether an item is meant."""


def selector(selection: Selection, table: str, shape: Keys) -> tuple[Selector | None, str]:
    """What selects the items of a table of these keys, and what a person should know of it.

    None where nothing in the table tells whose an item is, or when.
    """
    if selection.everything:
        return _Everything(), ""
    # A restored table has another name, and the keys still.
    kind = _BY_KEYS.get(tuple(name for name, _ in shape.attributes), table)
    if kind.endswith(_NOBODY_S):
        return None, f"Nothing in '{table}' tells whose it is: nothing of it is restored."
    if kind.endswith(_HISTORY):
        return _History(selection), ""
    if kind.endswith(_EMBEDDINGS):
        note = "" if selection.whole_user else _INDEX_NOTE
        return _Embeddings(selection), note
    if kind.endswith(_LEGACY):
        return _Legacy(selection), ""
    if selection.timed and table.endswith(_UNDATED):
        return None, f"Items of '{table}' have no time: nothing of it is restored."
    return _ByAttributes(selection), ""


_INDEX_NOTE = (
    "A user's index is restored with the whole user only: `ialctl index --user ID` makes it anew."
)


class _Everything:
    def look(self, item: WireItem) -> None:
        """Nothing to see."""

    def wants(self, item: WireItem) -> bool:
        """Always."""
        del item
        return True


class _ByAttributes:
    """By attributes of these names, whatever else there is."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def look(self, item: WireItem) -> None:
        """Nothing to see."""

    def wants(self, item: WireItem) -> bool:
        """Whether its attributes say so."""
        return self._selection.covers(
            _text(item, "user_id"), _text(item, "session_id"), self._time(item)
        )

    def _time(self, item: WireItem) -> int | None:
        return _instant(item.get("timestamp")) if self._selection.timed else None


class _Legacy(_ByAttributes):
    def _time(self, item: WireItem) -> int | None:
        if not self._selection.timed:
            return None
        # Whatever the installation wrote: the legacy engine's own reader understands it.
        names = ("user_id", "sort_key", "timestamp", "session_id", "metadata")
        plain = {name: decode(item[name]) for name in names if name in item}
        if "user_id" not in plain or "sort_key" not in plain:
            return super()._time(item)
        found = from_item(plain).message
        return None if found.metadata.get("undated") else found.timestamp_us


class _History:
    """Messages by their attributes, their notes likewise, their parts by the messages."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._parts: set[tuple[str, str]] = set()

    def look(self, item: WireItem) -> None:
        """Notes where the parts of a message lie that is meant."""
        if "content_parts" in item and self.wants(item):
            self._parts.add(_parts_of(item))

    def wants(self, item: WireItem) -> bool:
        """Whether the item, or the message that it is a part of, is meant."""
        partition, selection = _text(item, "user_date") or "", self._selection
        user, *kind = partition.split("#")
        if selection.user is not None and user != keys.encoded(selection.user):
            return False
        if selection.whole_user:
            return True
        place = _text(item, "timestamp_type") or ""
        if kind[:1] == ["parts"] and len(kind) == 2:
            return (partition, place.split("#", 1)[0]) in self._parts
        at_us = _leading_time(place)
        return selection.covers(keys.decoded(user), _text(item, "session_id"), at_us)


class _Embeddings:
    """Vectors by the attributes of their messages; the packed index with the whole user only."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def look(self, item: WireItem) -> None:
        """Nothing to see."""

    def wants(self, item: WireItem) -> bool:
        """Whether the message of a vector is meant."""
        user, _, chunk = (_text(item, "user_chunk") or "").partition("#")
        if self._selection.user is not None and user != keys.encoded(self._selection.user):
            return False
        if self._selection.whole_user:
            return True
        if chunk.partition("~")[0] == "segments":
            return False
        # The id says the unit; of a number alone it is guessed by its size.
        at_us = _leading_time(_text(item, "embedding_id") or "")
        if at_us is None:
            at_us = _instant(item.get("timestamp"))
        return self._selection.covers(keys.decoded(user), _text(item, "session_id"), at_us)


def _parts_of(head: Mapping[str, Any]) -> tuple[str, str]:
    """Partition of a message's parts, and what their sort keys begin with."""
    user, message = _text(head, "user_id") or "", _text(head, "message_id") or ""
    digest = (_text(head, "content_hash") or "")[:16]
    return keys.parts_partition(user, message), digest


def _text(item: WireItem, name: str) -> str | None:
    held = item.get(name, {}).get("S")
    return held if isinstance(held, str) else None


def _leading_time(place: str) -> int | None:
    time = place.split("#", 1)[0]
    return int(time) if time.isascii() and time.isdecimal() and len(time) == 16 else None


def _instant(value: WireValue | None) -> int | None:
    if value is None or not value.keys() & {"S", "N"}:
        return None
    try:
        return parse_time(decode(value))
    except UnusableError:
        return None
