"""Search by vector over the packed segments: estimates first, exact cosines of the best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from core.aws.capacity import NOTHING, Consumed
from core.clock import Clock
from core.errors import UsageError
from core.llm.embedder import FloatArray
from core.memory.index.codes import spread
from core.memory.index.copies import Copies
from core.memory.index.copy import UserIndex
from core.memory.index.items import MessageItems
from core.memory.index.nearest import Nearest
from core.memory.index.reader import IndexReader
from core.memory.index.row_views import message_of
from core.memory.keys import MICROSECONDS, check_user
from core.memory.model import Message
from core.memory.vectors import checked_vector, unit

MOST_COMPARED = 256
CANDIDATES = 48
"""So many of the best estimates are compared exactly, at least."""
_SURE = 2.0
"""Standard deviations by which an estimate may be wrong: others are compared too if with so much
they could belong to the best. For a question like what stands there these are a few more, for one
about something else up to MOST_COMPARED."""


class SegmentSearch:
    """`VectorSearch` over users' segments. Thread-safe; raises what `Table` raises."""

    def __init__(
        self,
        reader: IndexReader,
        copies: Copies,
        items: MessageItems,
        model: tuple[str, int],
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._copies = copies
        self._items = items
        self._model = model
        self._clock = clock

    def nearest(self, user_id: str, vector: FloatArray, limit: int) -> Nearest:
        """The nearest messages of a user; see `VectorSearch.nearest`.

        The best MOST_COMPARED are compared exactly; more than that come by their estimates.

        Raises:
            UsageError: an id that no message can have, a limit below 1, a vector of another length
                than the model's or without a direction, or stored vectors of another model only.
        """
        check_user(user_id)
        query = self._checked(vector, limit)
        index = self._copies.of(user_id)
        if self._reader.current(index):
            consumed = self._reader.refresh(index)[1]
        else:
            consumed = self._reader.load(index)
        self._check_model(index)
        candidates = self._best(index, query, min(MOST_COMPARED, max(2 * limit, CANDIDATES)))
        consumed += self._learn(index, candidates)
        consumed += self._learn(index, self._doubtful(index, query, candidates, limit))
        rows = self._best(index, query, limit)
        with index.lock:
            cosines = index.cosines(query)[rows]
            exact = all(row in index.vectors for row in rows)
            return Nearest(tuple(map(index.place, rows)), cosines, consumed, exact)

    def texts(self, user_id: str, places: Sequence[str]) -> tuple[Mapping[str, Message], Consumed]:
        """These messages, their contents' beginnings; read where they are not at hand.

        Whoever searches elsewhere than here may know nothing of the user, or of these messages.
        """
        index = self._copies.of(user_id)
        now_s = self._clock.time()
        with index.lock:
            found = dict(self._at_hand(index, places, now_s))
        batch = self._items.fetch(user_id, [place for place in places if place not in found])
        with index.lock:
            for place, fetched in batch.messages.items():
                index.learn(place, fetched.text, fetched.vector)
                if not (fetched.message.expires_at or math.inf) <= now_s:
                    found[place] = fetched.message
        return found, batch.consumed

    def _at_hand(
        self, index: UserIndex, places: Sequence[str], now_s: float
    ) -> Iterator[tuple[str, Message]]:
        alive = index.alive(now_s)
        for place in places:
            row = index.row_of(place)
            text = None if row is None or not alive[row] else index.known.get(row)
            if row is not None and text is not None:
                yield place, message_of(index.user_id, index.view(row), text)

    def _best(self, index: UserIndex, vector: FloatArray, limit: int) -> list[int]:
        with index.lock:
            cosines = index.cosines(vector)
            cosines[~index.alive(self._clock.time())] = np.nan
            times = index.column("times")
        rows = np.flatnonzero(~np.isnan(cosines))
        # Of equal cosines the later message.
        order = np.lexsort((times[rows], cosines[rows]))[::-1][:limit]
        return [int(row) for row in rows[order]]

    def _doubtful(
        self, index: UserIndex, vector: FloatArray, compared: Sequence[int], limit: int
    ) -> list[int]:
        """Rows that were not compared and could belong to the best, judged by their estimates."""
        with index.lock:
            known = [row for row in compared if row in index.vectors]
            exact = np.sort(index.cosines(vector)[known])[-limit:]
            if len(exact) < limit:
                return []
            least = float(exact[0]) - _SURE * spread(len(vector))
            cosines = index.cosines(vector)
        best = self._best(index, vector, MOST_COMPARED)
        return [row for row in best if cosines[row] > least and row not in set(compared)]

    def _learn(self, index: UserIndex, rows: Sequence[int]) -> Consumed:
        with index.lock:
            places = [index.place(row) for row in rows if not index.exact(row)]
        if not places:
            return NOTHING
        batch = self._items.fetch(index.user_id, places)
        with index.lock:
            for place, fetched in batch.messages.items():
                index.learn(place, fetched.text, fetched.vector)
            index.lose(batch.missing, self._clock.time() * MICROSECONDS)
        return batch.consumed

    def _checked(self, vector: FloatArray, limit: int) -> FloatArray:
        if limit < 1:
            raise UsageError(f"{limit} messages were asked for.", "Ask for one at least.")
        clean = checked_vector(vector)
        if clean.shape != (self._model[1],):
            raise UsageError(
                f"The vector has {clean.size} dimensions; '{self._model[0]}' has {self._model[1]}.",
                "Make it with the embedder that the memory was opened with.",
            )
        return unit(clean)

    def _check_model(self, index: UserIndex) -> None:
        with index.lock:
            foreign = index.foreign_model
            if foreign is None or index.column("coded").any():
                return
        raise UsageError(
            f"The stored vectors are of '{foreign[0]}' with {foreign[1]} dimensions; "
            f"the question's is of '{self._model[0]}' with {self._model[1]}.",
            "Choose the embedder that made them, or embed the messages again: `ialctl index`.",
            stored_model=foreign[0],
            model=self._model[0],
        )
