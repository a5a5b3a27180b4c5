"""Messages saved and read back: what an agent's developer calls the memory."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from core.aws.capacity import NOTHING, Consumed
from core.clock import Clock, Ids
from core.errors import UsageError
from core.memory.asynchronous import in_thread
from core.memory.index.copies import Copies
from core.memory.index.copy import UserIndex
from core.memory.index.reader import IndexReader
from core.memory.keys import MICROSECONDS, check_session, check_user
from core.memory.metrics import Totals
from core.memory.model import Message, Messages, Preview
from core.memory.saving import Saved, Saver
from core.memory.store import ConversationStore

Said: TypeAlias = tuple[str, str] | Mapping[str, Any]
"""A message as callers give it: `(role, content)`, or a mapping with these two."""

DEFAULT_LIMIT = 20
_DAY_S = 86_400


@dataclass(frozen=True)
class RecentMessage:
    """A recent message. `content` is whole unless `cut`: then it ends after 200 characters."""

    role: str
    content: str
    timestamp_us: int
    cut: bool
    place: str


@dataclass(frozen=True)
class Recent:
    """Recent messages in order of time, and what reading them cost."""

    items: tuple[RecentMessage, ...]
    consumed: Consumed


@dataclass(frozen=True)
class UserStats:
    """What stands of a user: counts, the first and last time in microseconds (None: no message).

    `with_vectors` messages are found by meaning; `unsealed` ones wait to be packed; `bytes` is
    what this process holds of them in memory.
    """

    messages: int
    sessions: int
    with_vectors: int
    unsealed: int
    first_us: int | None
    last_us: int | None
    bytes: int
    consumed: Consumed


class OptimizedMemoryManager:
    """Saves and reads users' messages. Thread-safe; holds nothing of any user but copies.

    Every operation raises `UsageError` for an id that no message can have, and what `Table` raises.
    """

    def __init__(
        self,
        store: ConversationStore,
        saver: Saver,
        reader: IndexReader,
        copies: Copies,
        clock: Clock,
        ids: Ids,
        totals: Totals,
        keep_days: float | None = None,
    ) -> None:
        """Messages expire `keep_days` days after they were saved (None: never)."""
        self._store = store
        self._saver = saver
        self._reader = reader
        self._copies = copies
        self._clock = clock
        self._ids = ids
        self._totals = totals
        self._keep_days = keep_days
        self._lock = threading.Lock()
        self._last_us = 0

    def save_conversation_optimized(
        self,
        user_id: str,
        session_id: str,
        messages: Sequence[Said],
        metadata: Mapping[str, Any] | None = None,
    ) -> Saved:
        """Stores messages said now one after the other, and indexes them.

        Each is `(role, content)`, or a mapping with these two, as chat models take them.
        Acknowledged is what this returns for: found by every way of reading from then on. `speaker`
        in the metadata is the name that stands for whoever speaks.

        Raises:
            UsageError: something about a message can't be stored; then none of them is.
        """
        check_user(user_id)
        check_session(session_id)
        if not messages:
            return Saved((), NOTHING, NOTHING)
        said = [_role_and_content(message) for message in messages]
        drafts = [self._draft(user_id, session_id, r, c, metadata) for r, c in said]
        return self._totals.saved(self._saver.save(user_id, drafts))

    def get_recent_context_optimized(
        self, user_id: str, limit: int = DEFAULT_LIMIT, *, whole: bool = False
    ) -> Recent:
        """The newest messages of a user, in order of time: one request, however long the history.

        Contents of more than 200 characters are cut, and say so, unless this process knows them;
        with `whole` they are read as well, in a second round.

        Raises:
            UsageError: a limit below 1.
        """
        _check_limit(limit)
        previews = self._store.read_latest(user_id, limit)
        found = [self._recent(user_id, preview) for preview in previews.items[::-1]]
        if not whole or not any(message.cut for message in found):
            return Recent(tuple(found), previews.consumed)
        read = self._store.read_places(user_id, [m.place for m in found if m.cut])
        texts = {place: message.content for place, message in read.items}
        whole_ones = [
            RecentMessage(m.role, texts.get(m.place, m.content), m.timestamp_us, False, m.place)
            for m in found
            if not m.cut or m.place in texts
        ]
        return Recent(tuple(whole_ones), previews.consumed + read.consumed)

    async def get_recent_context_optimized_async(
        self, user_id: str, limit: int = DEFAULT_LIMIT, *, whole: bool = False
    ) -> Recent:
        """As `get_recent_context_optimized`, without blocking the event loop."""
        return await in_thread(
            lambda: self.get_recent_context_optimized(user_id, limit, whole=whole)
        )

    def get_session_context_optimized(
        self, user_id: str, session_id: str, limit: int = DEFAULT_LIMIT
    ) -> Messages:
        """The newest messages of one session of a user, whole, in order of time.

        Raises:
            UsageError: a limit below 1.
        """
        _check_limit(limit)
        read = self._store.read_session(user_id, session_id, limit)
        return Messages(read.items[::-1], read.consumed, read.complete)

    async def get_session_context_optimized_async(
        self, user_id: str, session_id: str, limit: int = DEFAULT_LIMIT
    ) -> Messages:
        """As `get_session_context_optimized`, without blocking the event loop."""
        return await in_thread(
            lambda: self.get_session_context_optimized(user_id, session_id, limit)
        )

    async def save_conversation_optimized_async(
        self,
        user_id: str,
        session_id: str,
        messages: Sequence[Said],
        metadata: Mapping[str, Any] | None = None,
    ) -> Saved:
        """As `save_conversation_optimized`, without blocking the event loop."""
        return await in_thread(
            lambda: self.save_conversation_optimized(user_id, session_id, messages, metadata)
        )

    def edit_message_optimized(self, user_id: str, place: str, content: str) -> Saved:
        """Replaces the content of the message at a sort key; its id, time, role and session stay.

        Raises:
            UsageError: there is no such message, or the content can't be stored.
        """
        read = self._store.read_places(user_id, [place])
        if not read.items:
            raise UsageError(
                f"The user has no message at '{place:.60}'.",
                "Take `place` from what a search or a read answered.",
            )
        message = dataclasses.replace(read.items[0][1], content=content, tokens=None)
        return self._totals.saved(self._saver.edit(place, message))

    async def edit_message_optimized_async(self, user_id: str, place: str, content: str) -> Saved:
        """As `edit_message_optimized`, without blocking the event loop."""
        return await in_thread(lambda: self.edit_message_optimized(user_id, place, content))

    def get_user_stats(self, user_id: str) -> UserStats:
        """What stands of a user, by the index; read as a whole where this process has no copy."""
        check_user(user_id)
        index = self._copies.of(user_id)
        consumed = self._refreshed(index)
        with index.lock:
            alive = index.alive(self._clock.time())
            times = index.column("times")[alive]
            return UserStats(
                messages=int(alive.sum()),
                sessions=len(np.unique(index.column("session_of")[alive])),
                with_vectors=int(index.column("coded")[alive].sum()),
                unsealed=sum(map(len, index.unsealed.values())),
                first_us=int(times.min()) if len(times) else None,
                last_us=int(times.max()) if len(times) else None,
                bytes=index.bytes,
                consumed=consumed,
            )

    async def get_user_stats_async(self, user_id: str) -> UserStats:
        """As `get_user_stats`, without blocking the event loop."""
        return await in_thread(lambda: self.get_user_stats(user_id))

    def _refreshed(self, index: UserIndex) -> Consumed:
        if self._reader.current(index):
            return self._reader.refresh(index)[1]
        return self._reader.load(index)

    def _recent(self, user_id: str, preview: Preview) -> RecentMessage:
        text, cut = preview.text, preview.cut
        if cut:
            index = self._copies.of(user_id)
            with index.lock:
                row = index.row_of(preview.place)
                known = None if row is None else index.known.get(row)
            if known is not None and known.whole:
                text, cut = known.content, False
        return RecentMessage(preview.role, text, preview.timestamp_us, cut, preview.place)

    def _draft(
        self,
        user_id: str,
        session_id: str,
        role: str,
        content: str,
        metadata: Mapping[str, Any] | None,
    ) -> Message:
        when_us = self._now_us()
        keep = self._keep_days
        return Message(
            user_id=user_id,
            session_id=session_id,
            message_id=self._ids(),
            timestamp_us=when_us,
            role=role,
            content=content,
            metadata=dict(metadata or {}),
            expires_at=None if keep is None else int(self._clock.time() + keep * _DAY_S),
        )

    def _now_us(self) -> int:
        """A microsecond that this manager gave to no message before, nor an earlier one."""
        with self._lock:
            self._last_us = max(int(self._clock.time() * MICROSECONDS), self._last_us + 1)
            return self._last_us


def _role_and_content(said: Said) -> tuple[str, str]:
    match said:
        case {"role": str(role), "content": str(content)} | (str(role), str(content)):
            return role, content
    raise UsageError(
        "A message has no text as its 'role' and its 'content'.",
        "Give both: {'role': 'user', 'content': 'Hello!'}.",
    )


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise UsageError(f"{limit} messages were asked for.", "Ask for one at least.")
