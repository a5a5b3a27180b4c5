"""Gathering what may go into a context: one round of reads where this process knows the user.

Warm, the candidates follow from the copy of the user's index in memory; what is new in the index,
what is newest in the history, and the texts that are not known here yet are read side by side.
Cold, the index comes first and the texts second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from core.aws.capacity import NOTHING, Consumed
from core.clock import Clock
from core.errors import ThrottledError
from core.memory.context import Candidates
from core.memory.index.copies import Copies
from core.memory.index.copy import LAG_US, UserIndex
from core.memory.index.fusion import Ranking, weights_for
from core.memory.index.items import NO_BATCH, Batch, MessageItems
from core.memory.index.partition import read_terms
from core.memory.index.query import QUERY_CHARACTERS, QueryVector, QueryVectors
from core.memory.index.ranking import rank
from core.memory.index.reader import IndexReader
from core.memory.keys import MICROSECONDS
from core.memory.model import Previews
from core.memory.selecting import Scored, Selection, candidates_of, scored, wanted_rows
from core.memory.store import ConversationStore
from core.memory.timing import Timer

T = TypeVar("T")

RECENT_MESSAGES = 20
HITS = 50
COLD_FETCHED, WARM_FETCHED = 22, 17
"""Items that a context fetches at most, half a read unit each."""
STRANGE_US = 60 * MICROSECONDS
"""A recent message that is older than this should be in the index."""
TERMS_KEPT = 2
"""While words of older segments are missing, warm contexts fetch so many segments' whatever else
they do. Cold ones fetch texts only: a fitting one, which says its own words, is worth more."""
COLD_TEXTS = 20
"""So many then: what 18 and two segments' words took, where these are smallest."""
_TERMS_ITEMS = 2  # they take a read unit or so: what two items take


@dataclass(frozen=True)
class Gathered:
    """What was found; `missing` in sentences. `searched` messages were ranked.

    `indexed` is False where the user has messages, and none of them is in the index; or, where
    `unread`, in what could be read of it.
    """

    candidates: Candidates
    consumed: Consumed
    searched: int
    complete: bool
    missing: tuple[str, ...]
    embeddings_made: int
    timings_ms: Mapping[str, float]
    indexed: bool
    unread: bool
    ranked: tuple[tuple[str, Scored], ...] = ()


@dataclass(frozen=True)
class Question:
    """What is asked, of whose messages."""

    text: str
    user_id: str
    session_id: str | None = None
    hits: int = HITS

    @property
    def words(self) -> str:
        """As much of the text as words are taken from: of a megabyte the beginning."""
        return self.text[:QUERY_CHARACTERS]


@dataclass(frozen=True)
class _Known:
    """How many rows there were before the news, and whose terms were missing then."""

    rows: int
    segments: frozenset[str]


@dataclass
class _Run:
    """One gathering under way."""

    index: UserIndex
    question: Question
    timer: Timer
    asked: QueryVector = field(default_factory=lambda: QueryVector(None))
    notes: list[str] = field(default_factory=list)


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
        run = _Run(self._copies.of(question.user_id), question, Timer(self._clock))
        recent = self._pool.submit(self._store.read_latest, question.user_id, RECENT_MESSAGES)
        if self._reader.current(run.index):
            return self._warm(run, recent)
        return self._cold(run, recent)

    def _warm(self, run: _Run, recent: Future[Previews]) -> Gathered:
        with run.index.lock:
            known = _Known(len(run.index), frozenset(run.index.terms_missing))
        news = self._pool.submit(self._reader.refresh, run.index)
        self._ask(run)
        ranking = self._ranked(run)
        batch = self._fetch(run, ranking, None, WARM_FETCHED, TERMS_KEPT)
        with run.timer.part("read"):
            previews = recent.result()
            changed, cost = self._unless_throttled(run, news.result, (False, NOTHING))
        consumed = previews.consumed.beside(cost).beside(batch.consumed)
        if any((changed, self._take(run, batch), self._reconcile(run.index, previews))):
            ranking = self._ranked(run)
        if changed:
            batch = self._fetch_news(run, ranking, previews, known)
            consumed += batch.consumed
            if self._take(run, batch):
                ranking = self._ranked(run)
        return self._gathered(run, ranking, previews, consumed)

    def _cold(self, run: _Run, recent: Future[Previews]) -> Gathered:
        with run.timer.part("read"):
            loaded = self._unless_throttled(run, lambda: self._reader.load(run.index), NOTHING)
            previews = recent.result()
        self._reconcile(run.index, previews)
        self._ask(run)
        ranking = self._ranked(run)
        most = COLD_TEXTS if run.index.terms_missing else COLD_FETCHED
        with run.timer.part("fetch"):
            batch = self._fetch(run, ranking, previews, most, 0)
        if self._take(run, batch):
            ranking = self._ranked(run)
        consumed = previews.consumed.beside(loaded) + batch.consumed
        return self._gathered(run, ranking, previews, consumed)

    def _unless_throttled(self, run: _Run, read: Callable[[], T], nothing: T) -> T:
        """What was read; where throttling outlasts the retries, nothing, which is noted."""
        try:
            return read()
        except ThrottledError as error:
            run.notes.append(f"Not all that was found could be read: {error.what}")
            return nothing

    def _ask(self, run: _Run) -> None:
        with run.index.lock:
            names = {voice.speaker for voice in run.index.voices}
        with run.timer.part("embedding"):
            run.asked = self._vectors.of(run.question.text, names)

    def _ranked(self, run: _Run) -> Ranking:
        with run.timer.part("search"), run.index.lock:
            corpus = run.index.corpus(self._clock.time())
            vector = run.asked.vector
            cosines = None if vector is None else run.index.cosines(vector)
            return rank(corpus, run.question.words, cosines, self._weights)

    def _fetch(
        self, run: _Run, ranking: Ranking, previews: Previews | None, most: int, kept: int
    ) -> Batch:
        """What is wanted most, `kept` segments' words among it where some are missing."""
        index, question = run.index, run.question
        with index.lock:
            best = ranking.best(question.hits)
            waiting = sorted(index.terms_missing, reverse=True)
            texts = most - min(kept, len(waiting)) * _TERMS_ITEMS
            rows = wanted_rows(index, best, question.session_id, previews, texts)
            places = [index.place(row) for row in rows]
            segments = waiting[: (most - len(places)) // _TERMS_ITEMS]
        return self._unless_throttled(
            run, lambda: self._items.fetch(question.user_id, places, segments), NO_BATCH
        )

    def _fetch_news(self, run: _Run, ranking: Ranking, previews: Previews, known: _Known) -> Batch:
        """What is wanted of messages that others wrote since: nobody could ask for it before."""
        index, question = run.index, run.question
        shown = {p.place for p in previews.items if not p.cut}
        with index.lock:
            best = ranking.best(question.hits)
            rows = wanted_rows(index, best, question.session_id, previews, WARM_FETCHED)
            places = [index.place(row) for row in rows if row >= known.rows]
            segments = sorted(index.terms_missing.keys() - known.segments)[-TERMS_KEPT:]
        wanted = [place for place in places if place not in shown]
        return self._unless_throttled(
            run, lambda: self._items.fetch(question.user_id, wanted, segments), NO_BATCH
        )

    def _take(self, run: _Run, batch: Batch) -> bool:
        """Takes over what was fetched; says whether the ranking may have changed."""
        index = run.index
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
        self, run: _Run, ranking: Ranking, previews: Previews, consumed: Consumed
    ) -> Gathered:
        index, question = run.index, run.question
        with index.lock, run.timer.part("selection"):
            best = ranking.best(question.hits)
            selection = Selection(ranking, best, previews, question.session_id)
            found = candidates_of(index, question.user_id, selection)
            searched = int(ranking.alive.sum())
            missing = (*run.notes, *self._missing(run, previews))
            complete = index.complete and not index.damaged and not index.terms_missing
            ranked = tuple((index.place(row), scored(ranking, row)) for row in map(int, best))
        return Gathered(
            found,
            consumed,
            searched,
            complete and not run.notes,
            missing,
            run.asked.made,
            run.timer.timings_ms(),
            indexed=searched > 0 or not previews.items,
            unread=not self._reader.current(index),
            ranked=ranked,
        )

    def _missing(self, run: _Run, previews: Previews) -> Iterator[str]:
        index = run.index
        if run.asked.missing:
            yield run.asked.missing
        if index.foreign_model is not None and index.foreign_rows(self._clock.time()):
            model, dimensions = index.foreign_model
            yield (
                f"Some messages have vectors of another embedding model, '{model}' with "
                f"{dimensions} dimensions: they were found by their words only. `ialctl reindex` "
                "embeds them again."
            )
        if index.terms_missing:
            older = sum(len(rows) for rows in index.terms_missing.values())
            yield f"The words of {older} older messages are not loaded yet."
        yield from (f"A part of the index is damaged: {what}" for what in index.damaged)
        late = self._unlisted(index, previews)
        if late:
            yield f"{late} messages written a moment ago are not listed yet: an index lags."
        strange = self._strange(index, previews)
        if strange and len(index):
            self._reader.suspect(index)
            yield f"{strange} of the newest messages are not in the index: see `ialctl index`."

    def _unlisted(self, index: UserIndex, previews: Previews) -> int:
        """Messages that others wrote just now, and that are newer than what is listed.

        A context without them must not be kept: they were acknowledged before it was built.
        """
        now_s = self._clock.time()
        oldest_us = -1 if previews.all else min((p.timestamp_us for p in previews.items), default=0)
        fresh = index.alive(now_s) & (index.column("stamps") > now_s * MICROSECONDS - LAG_US)
        rows = np.flatnonzero(fresh & (index.column("times") > oldest_us))
        listed = {preview.place for preview in previews.items}
        return sum(index.place(int(row)) not in listed for row in rows)

    def _strange(self, index: UserIndex, previews: Previews) -> int:
        """Recent messages that the index should know, and does not."""
        before_us = self._clock.time() * MICROSECONDS - STRANGE_US
        return sum(
            p.message is None and p.timestamp_us < before_us and index.row_of(p.place) is None
            for p in previews.items
        )
