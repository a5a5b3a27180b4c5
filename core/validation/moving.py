"""Messages' own items put right: summaries written anew, and what stands under wrong keys moved.

Every change is conditional on the item being what was looked at. A message that is moved stands
at both places for a moment, never at none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.aws.capacity import NOTHING, Consumed
from core.aws.requests import Change, Condition, Test
from core.aws.table import PutNew, Table
from core.clock import Clock
from core.errors import ConditionFailedError, UsageError
from core.memory import keys
from core.memory.items import to_items
from core.memory.model import Message
from core.memory.scope import time_of_place
from core.validation.ledger import Mark
from core.validation.looking import Item, Looker
from core.validation.reading import HeadSeen, content_of, derived, places_of, read_history
from core.validation.reading_vectors import place_is_sound

_CONTENT = ("content", "content_z", "content_parts", "content_hash")
_DAY_CHARS = len("2026-01-01")
_MOVABLE = frozenset({"misplaced_message", "wrong_summary"})


@dataclass(frozen=True)
class Moved:
    """What became of a message under wrong keys: the sort keys it had and has, or why not."""

    user: str
    before: str
    after: str | None
    why_not: str = ""


class Mover:
    """Puts messages right. Thread-safe."""

    def __init__(self, history: Table, looker: Looker, clock: Clock) -> None:
        self._history, self._looker, self._clock = history, looker, clock
        self.consumed: Consumed = NOTHING

    def rewrite(self, mark: Mark) -> bool:
        """Writes the summaries that a content has; False where it is not the same any more."""
        item = self._looker.item(mark.source, mark.partition, mark.sort)
        seen = None if item is None else read_history(item)
        if item is None or not isinstance(seen, HeadSeen):
            return False
        content, _ = content_of(item)
        if content is None and seen.large:
            content = self._looker.whole(item)
        if content is None:
            return False
        right = derived(content)
        if item.get("content_hash", right["content_hash"]) != right["content_hash"]:
            return False
        key = {"user_date": mark.partition, "timestamp_type": mark.sort}
        try:
            done = self._history.update(key, Change(set=right), unchanged(item, _CONTENT))
        except ConditionFailedError:
            return False
        self.consumed += done.consumed
        return True

    def move(self, mark: Mark) -> Moved | None:
        """Brings a message to its place; None where it is not out of place any more.

        Put there first unless something stands there, read again, and only then deleted here.
        """
        item = self._looker.item(mark.source, mark.partition, mark.sort)
        seen = None if item is None else read_history(item)
        if item is None or not isinstance(seen, HeadSeen) or "misplaced_message" not in seen.kinds:
            return None
        if not seen.kinds <= _MOVABLE:
            return self._left(seen, "it is damaged")
        agreed = agreed_time(item)
        if agreed is None:
            return self._left(seen, "its day, its sort key and its time are of three times")
        if agreed != item["timestamp"]:
            item = self._retimed(item, agreed)
            seen = None if item is None else read_history(item)
            if item is None or not isinstance(seen, HeadSeen):
                return None
            if "misplaced_message" not in seen.kinds:
                return Moved(seen.user, seen.place, seen.place)
        return self._moved(item, seen)

    def _moved(self, item: Item, seen: HeadSeen) -> Moved:
        try:
            self._note_parts(item, seen)
            place = self._put(item)
        except UsageError as error:
            return self._left(seen, error.what)
        if place is None:
            return self._left(seen, "another message stands at its place under the same id")
        self._delete(item)
        return Moved(seen.user, seen.place, place)

    def _retimed(self, item: Item, timestamp_us: int) -> Item | None:
        """The item with the time that its keys agree in; None where it was changed meanwhile."""
        key = {name: item[name] for name in ("user_date", "timestamp_type")}
        change = Change(set={"timestamp": timestamp_us})
        try:
            done = self._history.update(key, change, unchanged(item))
        except ConditionFailedError:
            return None
        self.consumed += done.consumed
        return done.after

    def _put(self, item: Item) -> str | None:
        """Where the same item stands now, by its right keys; None where another is in the way."""
        partition = keys.user_date(item["user_id"], item["timestamp"])
        for place in places_of(item):
            moved = {**item, "user_date": partition, "timestamp_type": place}
            put: PutNew = self._history.put_new(moved)
            self.consumed += put.consumed
            if put.new or put.existing == moved:
                standing = self._looker.item("history", partition, place)
                return place if standing == moved else None
            # The first try of one that was killed, or the message itself: never a second one.
            if put.existing and put.existing.get("message_id") == item.get("message_id"):
                return None
        return None

    def _note_parts(self, item: Item, seen: HeadSeen) -> None:
        """Notes the parts of a large message for its new time: or they would seem needless.

        Raises:
            UsageError: its content is not whole.
        """
        if seen.large is None:
            return
        content = self._looker.whole(item)
        if content is None:
            raise UsageError("its content is not whole")
        message = Message(
            item["user_id"],
            item["session_id"],
            seen.large[0],
            item["timestamp"],
            item["role"],
            content,
            expires_at=item.get("ttl"),
        )
        note = to_items(message).note
        if note is not None:
            written = self._history.put({**note, "noted_at": int(self._clock.time())})
            self.consumed += written.consumed

    def _delete(self, item: Item) -> None:
        key = {name: item[name] for name in ("user_date", "timestamp_type")}
        try:
            self.consumed += self._history.delete(key, unchanged(item)).consumed
        except ConditionFailedError:
            return  # somebody changed it: the next run looks at it anew

    def _left(self, seen: HeadSeen, why: str) -> Moved:
        return Moved(seen.user, seen.place, None, why)


def agreed_time(item: Item) -> int | None:
    """The time (µs) that two of a message's day, sort key and time agree in; None without any."""
    day, place, stated = (
        str(item["user_date"])[-_DAY_CHARS:],
        item["timestamp_type"],
        item["timestamp"],
    )
    in_key = time_of_place(place) if place_is_sound(place) else None
    if in_key is not None and keys.day_of(in_key) == day:
        return in_key
    return int(stated) if in_key == stated or keys.day_of(stated) == day else None


def unchanged(item: Mapping[str, Any], names: tuple[str, ...] = ()) -> Condition:
    """That an item is still what it was: in these attributes, absent ones included; or in all
    that can be compared at once."""
    if names:
        return Condition(tuple(_test(item, name) for name in names))
    plain = [name for name, value in item.items() if isinstance(value, str | int | bytes)]
    return Condition(tuple(_test(item, name) for name in sorted(plain)[:_MOST_TESTS]))


_MOST_TESTS = 60
"""An expression holds 4 KB."""


def _test(item: Mapping[str, Any], name: str) -> Test:
    return Test(name, "=", item[name]) if name in item else Test(name, "absent")
