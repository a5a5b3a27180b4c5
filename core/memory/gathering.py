"""Gathering what may go into a context: one round of reads where this process knows the user.

Warm, the candidates follow from the copy of the user's index in memory; what is new in the index,
what is newest in the history, and the texts that are not known here yet are read side by side.
Cold, the index comes first and the texts second.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np

from core.aws.capacity import Consumed
from core.clock import Clock
from core.memory.context import Candidates
from core.memory.index.copies import Copies
from core.memory.index.copy import LAG_US, UserIndex
from core.memory.index.fusion import Ranking, weights_for
from core.memory.index.items import Batch, MessageItems
from core.memory.index.partition import read_terms
from core.memory.index.query import QueryVector, QueryVectors
from core.memory.index.ranking import rank
from core.memory.index.reader import IndexReader
from core.memory.keys import MICROSECONDS
from core.memory.model import Previews
from core.memory.selecting import Scored, Selection, candidates_of, scored, wanted_rows
from core.memory.store import ConversationStore
from core.memory.timing import Timer

RECENT_MESSAGES = 20
HITS = 50
COLD_FETCHED, WARM_FETCHED = 24, 17
"""Items that a context fetches at most, half a read unit each."""


@dataclass(frozen=True)
class Gathered:
    """What was found; `missing` in sentences. `searched` messages were ranked.

    `indexed` is False where the user has messages, and none of them is in the index.
    """

    candidates: Candidates
    consumed: Consumed
    searched: int
    complete: bool
    missing: tuple[str, ...]
    embeddings_made: int
    timings_ms: Mapping[str, float]
    indexed: bool
    ranked: tuple[tuple[str, Scored], ...] = ()


@dataclass(frozen=True)
class Question:
    """What is asked, of whose messages."""

    text: str
    user_id: str
    session_id: str | None = None
    hits: int = HITS


class Gatherer:
    """Gathers candidates for contexts. Thread-safe; raises what `Table` raises."""

    def __init__(
        self,
        store: ConversationStore,
        reader: IndexReader,
        copies: Copies,
        items: MessageItems,
        vectors: QueryVectors,
        model: str,
        pool: Executor,
        clock: Clock,
    ) -> None:
        self._store = store
        self._reader = reader
        self._copies = copies
        self._items = items
        self._vectors = vectors
        self._weights = weights_for(model)
        self._pool = pool
        self._clock = clock

    def gather(self, question: Question) -> Gathered:
        """What may go into the context of a question.

        Raises:
            UsageError: an id that no message can have.
        """
        index = self._copies.of(question.user_id)
        timer = Timer(self._clock)
        recent = self._pool.submit(self._store.read_latest, question.user_id, RECENT_MESSAGES)
        if self._reader.current(index):
            return self._warm(index, question, recent, timer)
        return self._cold(index, question, recent, timer)

    def _warm(
        self, index: UserIndex, question: Question, recent: Future[Previews], timer: Timer
    ) -> Gathered:
        news = self._pool.submit(self._reader.refresh, index)
        asked = self._asked(index, question, timer)
        ranking = self._ranked(index, question, asked, timer)
        batch = self._fetch(index, question, ranking, None, WARM_FETCHED)
        with timer.part("read"):
            previews = recent.result()
            changed, cost = news.result()
        consumed = previews.consumed.beside(cost).beside(batch.consumed)
        news_of = (changed, self._take(index, batch), self._reconcile(index, previews))
        if any(news_of):
            ranking = self._ranked(index, question, asked, timer)
        return self._gathered(index, question, ranking, previews, asked, consumed, timer)

    def _cold(
        self, index: UserIndex, question: Question, recent: Future[Previews], timer: Timer
    ) -> Gathered:
        with timer.part("read"):
            loaded = self._reader.load(index)
            previews = recent.result()
        self._reconcile(index, previews)
        asked = self._asked(index, question, timer)
        ranking = self._ranked(index, question, asked, timer)
        with timer.part("fetch"):
            batch = self._fetch(index, question, ranking, previews, COLD_FETCHED)
        if self._take(index, batch):
            ranking = self._ranked(index, question, asked, timer)
        consumed = previews.consumed.beside(loaded) + batch.consumed
        return self._gathered(index, question, ranking, previews, asked, consumed, timer)

    def _asked(self, index: UserIndex, question: Question, timer: Timer) -> QueryVector:
        with index.lock:
            names = {voice.speaker for voice in index.voices}
        with timer.part("embedding"):
            return self._vectors.of(question.text, names)

    def _ranked(
        self, index: UserIndex, question: Question, asked: QueryVector, timer: Timer
    ) -> Ranking:
        with timer.part("search"), index.lock:
            corpus = index.corpus(self._clock.time())
            cosines = None if asked.vector is None else index.cosines(asked.vector)
            return rank(corpus, question.text, cosines, self._weights)

    def _fetch(
        self,
        index: UserIndex,
        question: Question,
        ranking: Ranking,
        previews: Previews | None,
        most: int,
    ) -> Batch:
        with index.lock:
            rows = wanted_rows(
                index, ranking.best(question.hits), question.session_id, previews, most
            )
            places = [index.place(row) for row in rows]
            # The terms of a segment take a read unit or so: two items' worth.
            spare = (most - len(places)) // 2
            segments = sorted(index.terms_missing, reverse=True)[:spare]
        return self._items.fetch(question.user_id, places, segments)

    def _take(self, index: UserIndex, batch: Batch) -> bool:
        """Takes over what was fetched; says whether the ranking may have changed."""
        terms = read_terms(batch.terms, batch.consumed)
        with index.lock:
            self._reader.take_terms(index, terms)
            for place, fetched in batch.messages.items():
                index.learn(place, fetched.text, fetched.vector)
            index.lose(batch.missing, self._clock.time() * MICROSECONDS)
            damaged = [f"{p}: {f.damaged}" for p, f in batch.messages.items() if f.damaged]
            index.damaged = tuple(dict.fromkeys((*index.damaged, *damaged, *terms.damaged)))
        return bool(batch.messages or batch.missing or terms.by_key)

    def _reconcile(self, index: UserIndex, previews: Previews) -> bool:
        """Where all of a user's messages were listed, drops rows of what is not among them."""
        if not previews.all:
            return False
        listed = {preview.place for preview in previews.items}
        before_us = self._clock.time() * MICROSECONDS - LAG_US
        with index.lock:
            alive = index.alive(self._clock.time()) & (index.column("stamps") < before_us)
            gone = [row for row in np.nonzero(alive)[0] if index.place(int(row)) not in listed]
            for row in gone:
                index.drop(int(row))
        return bool(gone)

    def _gathered(
        self,
        index: UserIndex,
        question: Question,
        ranking: Ranking,
        previews: Previews,
        asked: QueryVector,
        consumed: Consumed,
        timer: Timer,
    ) -> Gathered:
        with index.lock, timer.part("selection"):
            best = ranking.best(question.hits)
            selection = Selection(ranking, best, previews, question.session_id)
            found = candidates_of(index, question.user_id, selection)
            searched = int(ranking.alive.sum())
            missing = self._missing(index, previews, asked)
            complete = index.complete and not index.damaged and not index.terms_missing
            ranked = tuple((index.place(row), scored(ranking, row)) for row in map(int, best))
        return Gathered(
            found,
            consumed,
            searched,
            complete,
            missing,
            asked.made,
            timer.timings_ms(),
            indexed=searched > 0 or not previews.items,
            ranked=ranked,
        )

    def _missing(self, index: UserIndex, previews: Previews, asked: QueryVector) -> tuple[str, ...]:
        notes = [asked.missing] if asked.missing else []
        if index.foreign_model is not None:
            notes.append(
                f"Some messages have vectors of '{index.foreign_model}', another embedding model: "
                "they were found by their words only."
            )
        if index.terms_missing:
            older = sum(len(rows) for rows in index.terms_missing.values())
            notes.append(f"The words of {older} older messages are not loaded yet.")
        notes += [f"A part of the index is damaged: {what}" for what in index.damaged]
        before_us = self._clock.time() * MICROSECONDS - LAG_US
        strange = [
            p
            for p in previews.items
            if p.message is None and p.timestamp_us < before_us and index.row_of(p.place) is None
        ]
        if strange and len(index):
            notes.append(f"{len(strange)} of the newest messages are not in the index.")
        return tuple(notes)
