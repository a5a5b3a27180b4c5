"""conversation-history-v2: messages appended, and read back by time or session."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from core.aws.capacity import NOTHING, Consumed
from core.aws.codec import Item
from core.aws.requests import Condition, Key, Query, equals
from core.aws.table import Page, Table, query_pages
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import ConditionFailedError, UsageError
from core.memory import keys
from core.memory.days import Days, in_order
from core.memory.fetching import Fetching
from core.memory.items import READ_ATTRIBUTES, StoredMessage, extra_of, part_prefix, to_items
from core.memory.model import Appended, Message, Messages, Placed, Preview, Previews, content_hash
from core.memory.recent import RecentWrites
from core.memory.schema import SESSION_INDEX, USER_TIME_INDEX
from core.memory.workers import Workers

WORKERS = 16
MAX_PAGES = 50
"""Index pages that one read follows before it says that it is not complete."""
_PLACE = re.compile(r"[0-9]{16}#")
# An index page holds other tenants' entries and expired ones too: ask for a few more.
_SPARE = 5

T = TypeVar("T")
R = TypeVar("R")


class ConversationStore(AbstractContextManager["ConversationStore"]):
    """A user's messages in conversation-history-v2. Thread-safe; close it when done.

    Appending is idempotent by message id, time and role: the same `Message` sent again is found,
    not written twice. Reads drop what has expired, and see what this process wrote even where an
    index does not yet. All operations raise what `Table` raises.
    """

    def __init__(
        self, history: Table, clock: Clock = SYSTEM_CLOCK, *, workers: int = WORKERS
    ) -> None:
        self._table = history
        self._clock = clock
        self._pool = Workers(workers, thread_name_prefix="history")
        self._recent = RecentWrites(clock)
        self._fetching = Fetching(history, self._pool, clock)
        self._days = Days(history, self._fetching, self._pool)

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def append(self, message: Message) -> Appended:
        """Stores a message unless it is there already.

        Raises:
            UsageError: an id, role, time or size that can't be stored, or another content under
                the same id, time and role.
            ConditionFailedError: all places for a message of that time and role are taken.
        """
        return self._append(message, to_items(message))

    def _append(self, message: Message, stored: StoredMessage) -> Appended:
        consumed = NOTHING
        if stored.parts:
            standing, consumed = self._standing(message)
            if standing is not None:
                # Its parts stay as they are: written again they would expire with this message.
                return self._found(message, standing, consumed)
            # A head stands for complete parts: they go first, and the note of them before.
            if stored.note is not None:
                note = {**stored.note, "noted_at": int(self._clock.time())}
                consumed += self._table.put(note).consumed
            consumed += self._table.batch_write(stored.parts)
        for sort_key in keys.sort_keys(message):
            put = self._table.put_new({**stored.head, "timestamp_type": sort_key})
            consumed += put.consumed
            if put.new:
                self._recent.add(message, sort_key)
                return Appended(message, True, consumed, sort_key)
            if put.existing is not None and _same(put.existing, message):
                return self._found(message, put.existing, consumed)
        raise ConditionFailedError(
            f"The message '{message.message_id}' finds every key of its time and role taken.",
            "Give it another time, a microsecond later.",
        )

    def append_many(self, messages: Iterable[Message]) -> list[Appended]:
        """Stores messages side by side; answers in their order. Raises the first error.

        Raises:
            UsageError: as `append`; where one can't be stored whatever stands, none is.
        """
        checked = [(message, to_items(message)) for message in messages]
        return list(self._pool.map(lambda pair: self._append(*pair), checked))

    def each(self, function: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
        """Runs `function` over `things` on the store's threads; yields answers in their order.

        `function` must not read from this store: reads wait for the same threads.
        """
        return self._pool.map(function, things)

    def forget(self, gone: Callable[[Message], bool]) -> None:
        """Drops what this process still knows of messages that were deleted from the table."""
        self._recent.forget(gone)

    def own_places(self, user_id: str) -> list[tuple[Message, str]]:
        """What this process wrote of a user a moment ago, each with its sort key."""
        return self._recent.placed(lambda m: m.user_id == user_id)

    def replace(
        self,
        place: str,
        message: Message,
        *,
        carried: Mapping[str, Any] | None = None,
        over: str | None = None,
    ) -> Consumed:
        """Writes another content for the message at a sort key; its time and role stay.

        So does what its item carries along, unless other attributes are given with `carried`.
        `over` is the hash of the content that is replaced (None: of whichever there is).

        Raises:
            UsageError: the message can't be stored, or is not of this time.
            ConditionFailedError: nothing stands there any more, or another content.
        """
        if not place.startswith(f"{message.timestamp_us:016d}#{keys.encoded(message.role)}"):
            raise UsageError("A message keeps its time and role.", "Change its content only.")
        place_key = {"user_date": keys.user_date(message.user_id, message.timestamp_us)}
        place_key["timestamp_type"] = place
        consumed = NOTHING
        if carried is None:
            got = self._table.get(place_key, consistent=True)
            carried, consumed = extra_of(got.item or {}), got.consumed
        stored = to_items(dataclasses.replace(message, extra=carried))
        if stored.parts:
            consumed += self._table.batch_write(stored.parts)
        head = {**stored.head, "timestamp_type": place}
        tests = equals("message_id", message.message_id).tests
        tests += () if over is None else equals("content_hash", over).tests
        written = self._table.put(head, condition=Condition(tests))
        before = written.before or {}
        self._recent.add(message, place)
        return consumed + written.consumed + self._drop_parts(before, stored.head)

    def _drop_parts(self, before: Item, after: Item) -> Consumed:
        """Deletes the parts of a content that another one replaced."""
        if "content_parts" not in before or before["content_hash"] == after["content_hash"]:
            return NOTHING
        partition = keys.parts_partition(before["user_id"], before["message_id"])
        gone = [
            {"user_date": partition, "timestamp_type": f"{part_prefix(before)}{number:06d}"}
            for number in range(int(before["content_parts"]))
        ]
        return self._table.batch_write((), gone)

    def contains(self, message: Message) -> bool:
        """Whether a message of this id stands at this time in this role."""
        return self._standing(message)[0] is not None

    def contains_as_is(self, message: Message) -> bool:
        """As `contains`, and whether it has this content still."""
        standing, _ = self._standing(message)
        return standing is not None and standing["content_hash"] == content_hash(message.content)

    def _standing(self, message: Message) -> tuple[Item | None, Consumed]:
        partition = keys.user_date(message.user_id, message.timestamp_us)
        consumed = NOTHING
        for sort_key in keys.sort_keys(message):
            place = {"user_date": partition, "timestamp_type": sort_key}
            got = self._table.get(place, consistent=True)
            consumed += got.consumed
            if got.item is not None and _same(got.item, message):
                return got.item, consumed
        return None, consumed

    def _found(self, message: Message, standing: Item, consumed: Consumed) -> Appended:
        if standing.get("content_hash") != content_hash(message.content):
            raise UsageError(
                f"Under the message id '{message.message_id:.60}' another content stands already, "
                "of the same time and role.",
                "Give it an id of its own.",
            )
        if standing.get("ttl") == message.expires_at:
            # It may well be what this process wrote a moment ago, the answer lost on its way.
            self._recent.add(message, str(standing["timestamp_type"]))
        return Appended(message, False, consumed, str(standing["timestamp_type"]))

    def read_recent(self, user_id: str, limit: int) -> Messages:
        """The newest messages of a user, newest first.

        Raises:
            UsageError: a user id that no message can have.
        """
        keys.check_user(user_id)
        mine = self._recent.of(lambda m: m.user_id == user_id)
        query = Query(
            user_id,
            index=USER_TIME_INDEX,
            ascending=False,
            limit=limit + _SPARE,
            attributes=("user_date", "timestamp_type"),
        )
        return self._newest(query, lambda _: True, mine, limit, self._fetching.by_day)

    def read_latest(self, user_id: str, limit: int) -> Previews:
        """The newest messages of a user as one request to an index brings them, newest first.

        The texts end after SUMMARY_CHARS characters, but for those that this process just wrote.

        Raises:
            UsageError: a user id that no message can have.
        """
        keys.check_user(user_id)
        mine = self._recent.placed(lambda m: m.user_id == user_id)
        query = Query(
            user_id,
            index=USER_TIME_INDEX,
            ascending=False,
            limit=limit,
            attributes=("timestamp_type", "role", "content_summary", "ttl"),
        )
        found: dict[str, Preview] = {}
        consumed = NOTHING
        # One page but for a limit beyond its size, and where what is newest has expired.
        for page in self._some_pages(query):
            previews = map(_preview, page.items)
            found |= {p.place: p for p in previews if not self._expired(p.expires_at)}
            consumed += page.consumed
            if len(found) >= limit or page.next_key is None:
                break
        found |= {place: _own(m, place) for m, place in mine if self._alive(m)}
        newest = sorted(found.values(), key=lambda p: p.place, reverse=True)[:limit]
        everything = page.next_key is None and len(newest) == len(found)
        return Previews(tuple(newest), consumed, everything)

    def list_places(self, user_id: str) -> Iterator[tuple[tuple[str, ...], Consumed]]:
        """The sort keys of all of a user's messages, newest first, a page at a time.

        Messages that have expired, or that the index does not show yet, may be among them or not.

        Raises:
            UsageError: a user id that no message can have.
        """
        keys.check_user(user_id)
        mine = self._recent.placed(lambda m: m.user_id == user_id)
        if mine:
            yield tuple(place for _, place in mine), NOTHING
        query = Query(
            user_id, index=USER_TIME_INDEX, ascending=False, attributes=("timestamp_type",)
        )
        for page in query_pages(self._table, query):
            yield tuple(str(entry["timestamp_type"]) for entry in page.items), page.consumed

    def read_places(self, user_id: str, places: Sequence[str]) -> Placed:
        """The messages at these sort keys, whole; those that are gone or expired left out, and
        what is no sort key of a message.

        Raises:
            UsageError: a user id that no message can have.
        """
        keys.check_user(user_id)
        entries = [
            {"user_date": keys.user_date(user_id, int(place[:16])), "timestamp_type": place}
            for place in dict.fromkeys(places)
            if _PLACE.match(place)
        ]
        if not entries:
            return Placed((), NOTHING)
        page = self._table.batch_get(entries, attributes=READ_ATTRIBUTES)
        living = [item for item in page.items if not self._expired(item.get("ttl"))]
        messages, consumed = self._fetching.whole(living, page.consumed)
        standing = (str(item["timestamp_type"]) for item in living)
        return Placed(tuple(zip(standing, messages, strict=True)), consumed)

    def read_session(self, user_id: str, session_id: str, limit: int) -> Messages:
        """The newest messages of one session of a user, newest first.

        The index knows sessions by their id alone, so another user's session of the same name
        stands in it too; what is not this user's is left out.

        Raises:
            UsageError: a user or session id that no message can have.
        """
        keys.check_user(user_id)
        keys.check_session(session_id)
        prefix = keys.user_prefix(user_id)
        mine = self._recent.of(lambda m: (m.user_id, m.session_id) == (user_id, session_id))
        query = Query(
            session_id,
            index=SESSION_INDEX,
            ascending=False,
            limit=limit + _SPARE,
            attributes=("user_date", "timestamp_type"),
        )
        return self._newest(
            query, lambda e: e["user_date"].startswith(prefix), mine, limit, self._fetching.dense
        )

    def read_all(self, user_id: str, *, oldest_first: bool = False) -> Iterator[Messages]:
        """All messages of a user, newest first, a page at a time; stop taking to stop reading.

        What this process wrote last comes at the newest end, whatever its time. With
        `oldest_first` the order is the other way, and the days are all looked up beforehand.

        Raises:
            UsageError: a user id that no message can have.
        """
        keys.check_user(user_id)
        mine = self._recent.of(lambda m: m.user_id == user_id and self._alive(m))
        seen = {_identity(message) for message in mine}
        own = Messages(tuple(in_order(mine, oldest_first=oldest_first)), NOTHING)
        if mine and not oldest_first:
            yield own
        for messages, cost in self._days.messages(user_id, oldest_first=oldest_first):
            fresh = (m for m in messages if self._alive(m) and _identity(m) not in seen)
            yield Messages(tuple(in_order(fresh, oldest_first=oldest_first)), cost)
        if mine and oldest_first:
            yield own

    def _newest(
        self,
        query: Query,
        wanted: Callable[[Item], bool],
        mine: list[Message],
        limit: int,
        fetch: Callable[[Sequence[Key]], tuple[list[Message], Consumed]],
    ) -> Messages:
        found = {_identity(m): m for m in mine if self._alive(m)}
        consumed = NOTHING
        live = 0
        complete = False
        for page in self._some_pages(query):
            entries = [entry for entry in page.items if wanted(entry)]
            messages, cost = fetch(entries)
            consumed += page.consumed + cost
            alive = [m for m in messages if self._alive(m)]
            found |= {_identity(m): m for m in alive}
            live += len(alive)
            complete = live >= limit or page.next_key is None
            if complete:
                break
        return Messages(tuple(in_order(found.values())[:limit]), consumed, complete)

    def _some_pages(self, query: Query) -> Iterator[Page]:
        page = self._table.query(query)
        yield page
        for _ in range(MAX_PAGES - 1):
            if page.next_key is None:
                return
            # Whoever needs a second page needs many: what stands first is not this user's.
            page = self._table.query(dataclasses.replace(query, limit=1000), page.next_key)
            yield page

    def _alive(self, message: Message) -> bool:
        return not self._expired(message.expires_at)

    def _expired(self, expires_at: int | None) -> bool:
        return self._fetching.expired(expires_at)


def _preview(entry: Mapping[str, Any]) -> Preview:
    place, text = str(entry["timestamp_type"]), str(entry.get("content_summary", ""))
    expiry = entry.get("ttl")
    return Preview(
        place,
        # Another program's item may stand anywhere.
        int(place[:16]) if _PLACE.match(place) else 0,
        str(entry.get("role", "")),
        text,
        text.endswith("…"),
        None if expiry is None else int(expiry),
    )


def _own(message: Message, place: str) -> Preview:
    m = message
    return Preview(place, m.timestamp_us, m.role, m.content, False, m.expires_at, m)


def _same(existing: Mapping[str, Any], message: Message) -> bool:
    return bool(existing.get("message_id") == message.message_id)


def _identity(message: Message) -> tuple[str, int, str]:
    return message.message_id, message.timestamp_us, message.role
