"""The legacy memory: a user's messages in one partition of `conversation-history`.

Kept as it was, as the fallback and as what the optimized engine is compared with. It is slow by
design: every read drags whole items along, vectors included, and a session is found by reading
the user's messages until there are enough of it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from core.aws.capacity import NOTHING, Consumed
from core.aws.requests import Query
from core.aws.table import Page, Table
from core.clock import SYSTEM_CLOCK, Clock, Ids, new_id
from core.errors import UsageError
from core.memory.keys import MICROSECONDS
from core.memory.legacy_items import LegacyMessage, check_user, from_item, iso_text, to_item
from core.memory.model import Appended, Message
from core.memory.tokens import estimate_tokens

DEFAULT_LIMIT = 10
_NEXT_PAGE = 1000
_SEQUENCE = 10**8
_ID_CHARS = 8
_DAY_S = 86_400


@dataclass(frozen=True)
class LegacyMessages(Sequence[LegacyMessage]):
    """What a read found, in order of time, and what it consumed; a sequence of its messages."""

    items: tuple[LegacyMessage, ...]
    consumed: Consumed

    @overload
    def __getitem__(self, place: int) -> LegacyMessage: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[LegacyMessage]: ...
    def __getitem__(self, place: int | slice) -> LegacyMessage | Sequence[LegacyMessage]:
        return self.items[place]

    def __len__(self) -> int:
        return len(self.items)


class MemoryManager:
    """Saves and reads messages of the legacy table. Thread-safe; holds nothing of any user.

    A message is a plain put, under a key that no other message gets: its time, a number that
    counts this manager's messages, and a part of a random id. So nothing is overwritten, and a
    put that is tried again stays one message. It is *not* idempotent beyond that: saved twice,
    a text stands twice.

    Reads are eventually consistent, as they were. "Newest" is decided by the sort key, the only
    order that the table has: where it does not begin with a time in UTC, "newest" is the end of
    that order. What is read is then put in order of the messages' own times; what has none stands
    first. All operations raise what `Table` raises.
    """

    def __init__(
        self,
        history: Table,
        clock: Clock = SYSTEM_CLOCK,
        *,
        ids: Ids = new_id,
        keep_days: float | None = None,
    ) -> None:
        """Over the table `history`; messages expire after `keep_days` days (None: never)."""
        self._table = history
        self._clock = clock
        self._ids = ids
        self._keep_days = keep_days
        self._sequence = itertools.count()

    def save_message(
        self,
        user_id: str,
        session_id: str,
        role: str,
        content: str,
        metadata: Mapping[str, Any] | None = None,
        *,
        embedding: Sequence[float] | None = None,
    ) -> Appended:
        """Stores a message of now, with its vector inline if one is given.

        Raises:
            UsageError: something about it is no text, or too large for an item.
        """
        return self._put(self._draft(user_id, session_id, role, content, metadata), embedding)

    def save_exchange(
        self,
        user_id: str,
        session_id: str,
        texts: Sequence[tuple[str, str]],
        metadata: Mapping[str, Any] | None = None,
    ) -> tuple[Appended, ...]:
        """Stores messages of `(role, content)` one after the other, or none if one can't be.

        A failure of the table itself may leave the first of them stored.

        Raises:
            UsageError: something about one is no text, or too large for an item.
        """
        drafts = [self._draft(user_id, session_id, *text, metadata) for text in texts]
        for draft in drafts:
            to_item(draft)
        return tuple(self._put(draft) for draft in drafts)

    def get_recent_context(self, user_id: str, limit: int = DEFAULT_LIMIT) -> LegacyMessages:
        """The newest messages of a user, in order of time; those that have expired left out.

        Raises:
            UsageError: a user id that no message can have, or a limit below 1.
        """
        return self._newest(user_id, limit, Query(user_id, ascending=False, limit=limit))

    def get_session_history(
        self, user_id: str, session_id: str, limit: int = DEFAULT_LIMIT
    ) -> LegacyMessages:
        """The newest messages of a session of a user, in order of time.

        The table knows no sessions: this reads the user's messages, newest first, until there
        are enough, and all of them for a session that does not exist.

        Raises:
            UsageError: a user id that no message can have, or a limit below 1.
        """
        query = Query(user_id, ascending=False)
        return self._newest(user_id, limit, query, lambda m: m.session_id == session_id)

    def _draft(
        self,
        user_id: str,
        session_id: str,
        role: str,
        content: str,
        metadata: Mapping[str, Any] | None,
    ) -> Message:
        now_s = self._clock.time()
        when = round(now_s * MICROSECONDS)
        return Message(
            user_id=user_id,
            session_id=session_id,
            message_id=f"{iso_text(when)}#{self._suffix()}",
            timestamp_us=when,
            role=role,
            content=content,
            metadata=dict(metadata or {}),
            tokens=estimate_tokens(content),
            expires_at=None if self._keep_days is None else int(now_s + self._keep_days * _DAY_S),
        )

    def _suffix(self) -> str:
        # The number keeps what one process says in one microsecond in order, the random id keeps
        # processes apart.
        return f"{next(self._sequence) % _SEQUENCE:08d}-{self._ids()[-_ID_CHARS:]}"

    def _put(self, message: Message, embedding: Sequence[float] | None = None) -> Appended:
        written = self._table.put(to_item(message, embedding))
        return Appended(message, written.before is None, written.consumed)

    def _newest(
        self,
        user_id: str,
        limit: int,
        query: Query,
        wanted: Callable[[Message], bool] = lambda _: True,
    ) -> LegacyMessages:
        check_user(user_id)
        if limit < 1:
            raise UsageError(f"{limit} messages were asked for.", "Ask for one at least.")
        found: list[LegacyMessage] = []
        consumed = NOTHING
        for page in self._pages(query):
            consumed += page.consumed
            read = (from_item(item) for item in page.items)
            found += [m for m in read if wanted(m.message) and self._alive(m.message)]
            if len(found) >= limit:
                break
        newest = sorted(found[:limit], key=lambda m: (m.message.timestamp_us, m.message.message_id))
        return LegacyMessages(tuple(newest), consumed)

    def _pages(self, query: Query) -> Iterator[Page]:
        page = self._table.query(query)
        yield page
        while page.next_key is not None:
            if query.limit:
                # Many of the first page had expired; more of them may follow.
                query = dataclasses.replace(query, limit=max(query.limit, _NEXT_PAGE))
            page = self._table.query(query, page.next_key)
            yield page

    def _alive(self, message: Message) -> bool:
        return message.expires_at is None or message.expires_at > self._clock.time()
