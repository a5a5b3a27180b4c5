"""Indexing what stands in the history and not in the index, or there without a vector.

Messages come to stand so when a process was killed between the two, when the embedder was down,
when another program wrote them, or when a part of the index was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from core.aws.capacity import Consumed
from core.aws.table import batches
from core.memory.index.copies import Copies
from core.memory.index.reader import IndexReader
from core.memory.index.rows import Indexed
from core.memory.index.writer import IndexWriter
from core.memory.model import Appended
from core.memory.saving import Saver
from core.memory.store import ConversationStore

_AT_ONCE = 128


@dataclass(frozen=True)
class CaughtUp:
    """What was done: messages looked at, put into the index, and given a vector that lacked one.

    `missing` says in sentences what could not be done.
    """

    seen: int
    indexed: int
    embedded: int
    consumed: Consumed
    missing: tuple[str, ...] = ()

    def plus(self, other: CaughtUp) -> CaughtUp:
        """Both, one after the other."""
        return CaughtUp(
            self.seen + other.seen,
            self.indexed + other.indexed,
            self.embedded + other.embedded,
            self.consumed + other.consumed,
            tuple(dict.fromkeys((*self.missing, *other.missing))),
        )


def _quiet(_: int) -> None:
    pass


class Catching:
    """Brings users' indexes up to their histories. Thread-safe; may be killed and run again."""

    def __init__(
        self,
        store: ConversationStore,
        reader: IndexReader,
        writer: IndexWriter,
        copies: Copies,
        saver: Saver,
    ) -> None:
        self._store = store
        self._reader = reader
        self._writer = writer
        self._copies = copies
        self._saver = saver

    def catch_up(self, user_id: str, *, each: Callable[[int], None] = _quiet) -> CaughtUp:
        """Indexes all of a user's messages that are not, or not with a vector.

        Args:
            user_id: whose.
            each: told after each step how many messages were looked at since the last.

        Raises:
            UsageError: an id that no message can have.
        """
        index = self._copies.of(user_id)
        consumed = self._reader.load(index, again=True)
        total = CaughtUp(0, 0, 0, consumed)
        for places, cost in self._store.list_places(user_id):
            total = total.plus(CaughtUp(len(places), 0, 0, cost))
            with index.lock:
                due = [place for place in places if index.row_of(place) is None]
                bare = {place for place in places if index.lacks_vector(place)}
            for some in batches([*due, *bare], _AT_ONCE):
                total = total.plus(self._index(user_id, some, bare))
            each(len(places))
        return total.plus(CaughtUp(0, 0, 0, self._writer.seal(user_id)))

    def index_stored(
        self, user_id: str, appended: Sequence[Appended]
    ) -> tuple[Consumed, tuple[str, ...]]:
        """Indexes messages that were just stored; answers the cost, and what could not be done."""
        return self._saver.index_stored(user_id, appended)

    def make_up(self, user_id: str) -> tuple[Consumed, tuple[str, ...]]:
        """As `catch_up`, in the same words as `index_stored`."""
        done = self.catch_up(user_id)
        return done.consumed, done.missing

    def index_places(self, user_id: str, places: Sequence[str]) -> CaughtUp:
        """Indexes the messages at these sort keys, whatever stands of them already."""
        total = CaughtUp(0, 0, 0, Consumed())
        for some in batches(places, _AT_ONCE):
            total = total.plus(self._index(user_id, some, ()))
        return total.plus(CaughtUp(0, 0, 0, self._writer.seal(user_id)))

    def _index(self, user_id: str, places: Sequence[str], bare: Collection[str]) -> CaughtUp:
        read = self._store.read_places(user_id, places)
        messages = sorted(read.items, key=lambda pair: pair[1].timestamp_us)
        vectors = self._saver.embed([message for _, message in messages])
        made = [
            Indexed(message, place, vector)
            for (place, message), vector in zip(messages, vectors.vectors, strict=True)
        ]
        # Without a vector there is nothing new to say of what is indexed.
        due = [one for one in made if one.vector is not None or one.place not in bare]
        consumed = read.consumed + self._writer.add(user_id, due)
        embedded = sum(one.place in bare for one in due)
        missing = (vectors.missing,) if vectors.missing else ()
        return CaughtUp(0, len(due) - embedded, embedded, consumed, missing)
