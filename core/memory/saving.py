"""Saving messages: into the history first, which is the acknowledgement, then into the index."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from core.aws.capacity import NOTHING, Consumed, side_by_side
from core.aws.table import batches
from core.errors import EmbeddingError, IalError, UsageError
from core.llm.embedder import Embedder, FloatArray
from core.memory.index.rows import Indexed
from core.memory.index.writer import IndexWriter
from core.memory.model import Appended, Message
from core.memory.store import ConversationStore

EMBEDDED_CHARACTERS = 20_000
"""So much of a message is embedded; no model sees more."""
_OWED_MESSAGES = 10_000
_AT_ONCE = 384


@dataclass(frozen=True)
class Saved:
    """What was saved: `history` is what that cost in the history, `index` what the index cost.

    `missing` says in sentences what could not be done yet; the messages themselves are stored.
    """

    appended: tuple[Appended, ...]
    history: Consumed
    index: Consumed
    missing: tuple[str, ...] = ()

    def plus(self, other: Saved) -> Saved:
        """Both, one after the other."""
        return Saved(
            self.appended + other.appended,
            self.history + other.history,
            self.index + other.index,
            tuple(dict.fromkeys((*self.missing, *other.missing))),
        )


@dataclass(frozen=True)
class _Embedded:
    vectors: tuple[FloatArray | None, ...]
    missing: str | None = None


class Saver:
    """Saves messages. Thread-safe. Raises what appending to the history raises.

    A message that is in the history is saved: an embedder that is down, or an index that can't be
    written, is told in the answer, and made up for at the user's next save, or by `catch_up`.
    """

    def __init__(
        self,
        store: ConversationStore,
        writer: IndexWriter,
        embedder: Embedder,
        pool: Executor,
        invalidate: Callable[[str], None] = lambda _: None,
        take_out: Callable[[str, Sequence[str]], Consumed] = lambda *_: NOTHING,
    ) -> None:
        """`invalidate` is told whose messages were written, before that is acknowledged.

        `take_out` takes messages that say something else now out of the index's other generations.
        """
        self._store = store
        self._writer = writer
        self._embedder = embedder
        self._pool = pool
        self._invalidate = invalidate
        self._take_out = take_out
        self._lock = threading.Lock()
        self._owed: dict[str, list[Indexed]] = {}

    def save(self, user_id: str, messages: Sequence[Message]) -> Saved:
        """Stores messages of one user.

        Raises:
            UsageError: something about a message can't be stored.
        """
        embedding = self._pool.submit(self.embed, messages)
        try:
            appended = self._store.append_many(messages)
            index, missing = self._index(user_id, appended, embedding.result())
        finally:
            self._invalidate(user_id)
        history = side_by_side(a.consumed for a in appended)
        return Saved(tuple(appended), history, index, missing)

    def edit(self, place: str, message: Message) -> Saved:
        """Stores another content of the message at a sort key, and indexes it.

        Raises:
            UsageError: the content can't be stored.
            ConditionFailedError: nothing stands there any more.
        """
        try:
            history = self._store.replace(place, message)
            appended = Appended(message, False, history, place)
            index, missing = self._index(message.user_id, [appended], self.embed([message]))
            other, stale = self._taken_out(message.user_id, place)
            index, missing = index + other, (*missing, *stale)
        finally:
            self._invalidate(message.user_id)
        return Saved((appended,), history, index, missing)

    def _taken_out(self, user_id: str, place: str) -> tuple[Consumed, tuple[str, ...]]:
        try:
            return self._take_out(user_id, [place]), ()
        except IalError as error:
            note = f"Another generation of the index shows the message as it was: {error.what}"
            return NOTHING, (note,)

    def save_many(self, user_id: str, messages: Sequence[Message]) -> Saved:
        """Stores and indexes messages of one user, some hundreds at a time.

        Raises:
            UsageError: a message is another user's, or can't be stored.
        """
        if any(message.user_id != user_id for message in messages):
            raise UsageError(
                f"Some of the messages are not of user '{user_id:.60}'.",
                "Import each user's apart.",
            )
        total = Saved((), NOTHING, NOTHING)
        for some in batches(messages, _AT_ONCE):
            total = total.plus(self.save(user_id, some))
        return total

    def index_stored(
        self, user_id: str, appended: Sequence[Appended]
    ) -> tuple[Consumed, tuple[str, ...]]:
        """Embeds and indexes messages that stand in the history already."""
        indexed = self._index(user_id, appended, self.embed([a.message for a in appended]))
        self._invalidate(user_id)
        return indexed

    def _index(
        self, user_id: str, appended: Sequence[Appended], embedded: _Embedded
    ) -> tuple[Consumed, tuple[str, ...]]:
        fresh = [
            Indexed(a.message, a.place, vector)
            for a, vector in zip(appended, embedded.vectors, strict=True)
        ]
        consumed, trouble = self.index(user_id, fresh)
        return consumed, tuple(note for note in (embedded.missing, trouble) if note)

    def index(self, user_id: str, indexed: Iterable[Indexed]) -> tuple[Consumed, str | None]:
        """Puts stored messages into the index, with those that could not be put there before."""
        with self._lock:
            owed = self._owed.pop(user_id, [])
        fresh = list(indexed)
        due = [*owed, *fresh]
        if not due:
            return NOTHING, None
        try:
            # What waited may have been forgotten or edited meanwhile, by another process too.
            due = [*(one for one in owed if self._store.contains_as_is(one.message)), *fresh]
            consumed = self._writer.add(user_id, due)
        except IalError as error:
            with self._lock:
                if sum(map(len, self._owed.values())) < _OWED_MESSAGES:
                    self._owed.setdefault(user_id, []).extend(due)
            return NOTHING, f"{len(due)} messages are stored, but not indexed yet: {error.what}"
        try:
            return consumed + self._writer.seal(user_id), None
        except IalError as error:
            return consumed, f"The index waits to be packed by the next save: {error.what}"

    def forget(self, user_id: str, gone: Callable[[Indexed], bool] = lambda _: True) -> None:
        """Drops what is still to be indexed of a user: all of it, or what is gone."""
        with self._lock:
            kept = [one for one in self._owed.pop(user_id, ()) if not gone(one)]
            if kept:
                self._owed[user_id] = kept

    def embed(self, messages: Sequence[Message]) -> _Embedded:
        """The messages' vectors; None where there is no text, or no model to ask."""
        texts = [m.content[:EMBEDDED_CHARACTERS] for m in messages]
        written = [n for n, text in enumerate(texts) if text.strip()]
        if not written:
            return _Embedded((None,) * len(texts))
        try:
            rows = self._embedder.embed([texts[n] for n in written]).array
        except EmbeddingError as error:
            note = f"{len(written)} messages are stored without a vector: {error.what}"
            return _Embedded((None,) * len(texts), note)
        found = dict(zip(written, rows, strict=True))
        return _Embedded(tuple(found.get(n) for n in range(len(texts))))
