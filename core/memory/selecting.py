"""Which rows of a user's index go into a context, and what must be fetched for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from core.memory.context import UNKNOWN, Candidate, Candidates
from core.memory.index.copy import UserIndex
from core.memory.index.fusion import Ranking
from core.memory.index.row_views import RowView, message_of
from core.memory.model import Message, Preview, Previews

SESSION_MESSAGES = 20
_PARTS = ("words", "vector", "speaker", "around", "episode")
SHOWN_HITS = 32
"""Hits whose texts are worth fetching: as many short turns as fit into the default budget."""
_FIRST = 6
"""Of what is fetched, so many at most for the session's newest, and for recent ones cut short."""


@dataclass(frozen=True)
class Selection:
    """A question's rows, best first, and what is newest."""

    ranking: Ranking
    best: np.ndarray[tuple[int], np.dtype[np.int64]]
    previews: Previews
    session_id: str | None


def wanted_rows(
    index: UserIndex,
    best: Iterable[int],
    session_id: str | None,
    previews: Previews | None,
    most: int,
) -> list[int]:
    """Rows whose items a context wants to read, at most so many, the most wanted first."""
    short = [p.place for p in previews.items if p.cut] if previews else []
    whole = {p.place for p in previews.items if not p.cut} if previews else set()
    recent = [row for row in map(index.row_of, short) if row is not None and not index.knows(row)]
    session = [
        row
        for row in session_rows(index, session_id)
        if not index.knows(row) and index.place(row) not in whole
    ]
    # An exact cosine alone is not worth reading: estimates find 0.3 points of recall less.
    hits = [int(row) for row in list(best)[:SHOWN_HITS] if not index.knows(int(row))]
    ordered = dict.fromkeys((*session[:_FIRST], *recent[:_FIRST], *hits))
    return list(ordered)[:most]


def session_rows(index: UserIndex, session_id: str | None) -> list[int]:
    """The newest rows of a session, newest first."""
    if session_id is None:
        return []
    rows = index.session_rows(session_id)
    rows = rows[~index.column("gone")[rows]]
    order = np.argsort(index.column("times")[rows], kind="stable")[::-1]
    return [int(row) for row in rows[order][:SESSION_MESSAGES]]


def candidates_of(index: UserIndex, user_id: str, selection: Selection) -> Candidates:
    """The candidates of a selection; rows whose text is not known here are left out."""
    making = _Making(index, user_id, selection)
    session = session_rows(index, selection.session_id)
    return Candidates(
        list(making.rows(session, "session")),
        [making.recent(preview) for preview in selection.previews.items],
        list(making.rows(map(int, selection.best), None)),
    )


@dataclass(frozen=True)
class Scored:
    """A score, and what it is the sum of."""

    score: float | None
    parts: Mapping[str, float]


class _Making:
    def __init__(self, index: UserIndex, user_id: str, selection: Selection) -> None:
        self._index = index
        self._user_id = user_id
        self._ranking = selection.ranking
        self._previews = {preview.place: preview for preview in selection.previews.items}

    def rows(self, rows: Iterable[int], source: str | None) -> Iterator[Candidate]:
        alive = self._ranking.alive
        for row in rows:
            if row < len(alive) and alive[row] and not self._index.column("gone")[row]:
                found = self._row(row, source)
                if found is not None:
                    yield found

    def recent(self, preview: Preview) -> Candidate:
        row = self._index.row_of(preview.place)
        if row is not None and self._index.knows(row):
            found = self._row(row, "recent")
            if found is not None:
                return found
        if preview.message is not None:
            return Candidate(preview.message, "recent", key=preview.place)
        view = None if row is None else self._index.view(row)
        return self._preview(preview, view, "recent")

    def _row(self, row: int, source: str | None) -> Candidate | None:
        view = self._index.view(row)
        score = scored(self._ranking, row)
        text = self._index.known.get(row)
        if text is not None:
            return Candidate(
                message_of(self._user_id, view, text),
                source or _source(score.parts),
                score.score,
                score.parts,
                text.characters,
                view.place,
            )
        preview = self._previews.get(view.place)
        if preview is None:
            return None
        return self._preview(preview, view, source or _source(score.parts))

    def _preview(self, preview: Preview, view: RowView | None, source: str) -> Candidate:
        score = scored(self._ranking, view.row) if view else Scored(None, {})
        named = view is not None and view.voice.speaker != view.voice.role
        message = Message(
            self._user_id,
            view.session_id if view else "",
            preview.place,
            preview.timestamp_us,
            preview.role,
            preview.text,
            {"speaker": view.voice.speaker} if view and named else {},
        )
        length = UNKNOWN if preview.cut else None
        return Candidate(message, source, score.score, score.parts, length, preview.place)


def scored(ranking: Ranking, row: int) -> Scored:
    """A row's score and its parts; none for a row that does not bear on the question."""
    if row >= len(ranking.total) or ranking.total[row] <= 0:
        return Scored(None, {})
    parts = {name: round(float(getattr(ranking, name)[row]), 4) for name in _PARTS}
    return Scored(round(float(ranking.total[row]), 4), parts)


def _source(parts: Mapping[str, float]) -> str:
    words, vector = parts.get("words", 0.0) > 0, parts.get("vector", 0.0) > 0
    if words and vector:
        return "both"
    return "lexical" if words else "vector" if vector else "neighbour"
