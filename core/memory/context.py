"""The context of a question: recent, session and matching messages in one text, within a budget."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from core.aws.capacity import Consumed, side_by_side
from core.clock import SYSTEM_CLOCK, Clock, iso
from core.errors import UsageError
from core.memory import fence, keys
from core.memory.model import Message, Messages
from core.memory.retrieval import Hits, Retriever
from core.memory.store import ConversationStore
from core.memory.terms import date_words
from core.memory.tokens import estimate_tokens, token_weight

RECENT_MESSAGES = 20
SESSION_MESSAGES = 20
HITS = 50
MIN_BUDGET_TOKENS = 100
_LINE_SHARE = 0.25
"""The part of the budget that one message may take before it is cut, and says so."""
_SHARES: Mapping[str, float] = {"recent": 0.15, "session": 0.25}
"""The part of the budget that is theirs before matches are looked at; matches get the rest."""
_CUT = " … [cut: {left} more characters]"

T = TypeVar("T")


@dataclass(frozen=True)
class Line:
    """A message in a context. `text` is as shown: quoted, and cut where `cut` says so."""

    source: str
    score: float | None
    time: str
    session_id: str
    role: str
    message_id: str
    text: str
    cut: bool


@dataclass(frozen=True)
class Context:
    """What an agent gets: `text`, never above the budget; how it came about; what it cost.

    `searched` messages were looked at for matches; `complete` is False where older ones were not.
    `timings_ms` holds how long each read took, and the whole.
    """

    text: str
    lines: tuple[Line, ...]
    tokens: int
    budget_tokens: int
    searched: int
    complete: bool
    consumed: Consumed
    timings_ms: Mapping[str, float]


@dataclass(frozen=True)
class _Candidate:
    message: Message
    source: str
    score: float | None = None


@dataclass(frozen=True)
class _Fitted:
    candidate: _Candidate
    line: Line
    shown: str


class ContextBuilder:
    """Builds contexts from a store and a way of searching it. Thread-safe."""

    def __init__(
        self, store: ConversationStore, retriever: Retriever, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._store = store
        self._retriever = retriever
        self._clock = clock

    def build(
        self, query: str, user_id: str, session_id: str | None = None, budget_tokens: int = 2000
    ) -> Context:
        """The context of `query`.

        Recent, session and matching messages are read side by side. Lines stand in order of
        time, so that a prompt that grows keeps its beginning.

        Raises:
            UsageError: an empty question, an id that no message can have, or a budget that is
                too small for anything.
        """
        _check(query, user_id, session_id, budget_tokens)
        begin = self._clock.monotonic()
        with ThreadPoolExecutor(3, thread_name_prefix="context") as pool:
            recent = pool.submit(
                self._timed, lambda: self._store.read_recent(user_id, RECENT_MESSAGES)
            )
            session = pool.submit(self._timed, lambda: self._session(user_id, session_id))
            found = pool.submit(self._timed, lambda: self._retriever.search(user_id, query, HITS))
        reads = (recent.result(), session.result(), found.result())
        context = _assemble(reads[0][0], reads[1][0], reads[2][0], budget_tokens)
        timings = dict(zip(("recent", "session", "search"), (ms for _, ms in reads), strict=True))
        timings["total"] = _ms(self._clock.monotonic() - begin)
        return dataclasses.replace(context, timings_ms=timings)

    def _session(self, user_id: str, session_id: str | None) -> Messages:
        if session_id is None:
            return Messages((), Consumed())
        return self._store.read_session(user_id, session_id, SESSION_MESSAGES)

    def _timed(self, read: Callable[[], T]) -> tuple[T, float]:
        begin = self._clock.monotonic()
        answer = read()
        return answer, _ms(self._clock.monotonic() - begin)


def _check(query: str, user_id: str, session_id: str | None, budget_tokens: int) -> None:
    if not query.strip():
        raise UsageError("The question is empty.", "Ask something: `ialctl context 'When …?'`.")
    keys.check_user(user_id)
    if session_id is not None:
        keys.check_session(session_id)
    if budget_tokens < MIN_BUDGET_TOKENS:
        raise UsageError(
            f"A budget of {budget_tokens} tokens leaves no room for messages.",
            f"Give at least {MIN_BUDGET_TOKENS}.",
        )


def _assemble(recent: Messages, session: Messages, found: Hits, budget_tokens: int) -> Context:
    fitted = _fit(_candidates(recent, session, found), budget_tokens)
    fitted.sort(key=lambda f: (f.candidate.message.timestamp_us, f.candidate.message.message_id))
    text = fence.OPENING + "".join(f.shown for f in fitted) + fence.CLOSING
    return Context(
        text=text,
        lines=tuple(f.line for f in fitted),
        tokens=estimate_tokens(text),
        budget_tokens=budget_tokens,
        searched=found.searched,
        complete=found.complete and session.complete and recent.complete,
        consumed=side_by_side((recent.consumed, session.consumed, found.consumed)),
        timings_ms={},
    )


def _candidates(recent: Messages, session: Messages, found: Hits) -> dict[str, list[_Candidate]]:
    scores = {_identity(hit.message): hit.score for hit in found.items}
    return {
        "session": [_Candidate(m, "session", scores.get(_identity(m))) for m in session.items],
        "recent": [_Candidate(m, "recent", scores.get(_identity(m))) for m in recent.items],
        "found": [_Candidate(hit.message, hit.source, hit.score) for hit in found.items],
    }


def _fit(groups: Mapping[str, Sequence[_Candidate]], budget_tokens: int) -> list[_Fitted]:
    fitting = _Fitting(budget_tokens)
    for source, share in _SHARES.items():
        fitting.take(groups[source], share * budget_tokens)
    for source in ("found", "session", "recent"):
        fitting.take(groups[source], budget_tokens)
    return fitting.taken


class _Fitting:
    """Takes candidates until the budget is used up; each message once."""

    def __init__(self, budget_tokens: int) -> None:
        self._budget = budget_tokens
        # One more than the weights: the sum is rounded up in the end.
        self._left = budget_tokens - 1 - token_weight(fence.OPENING + fence.CLOSING)
        self._seen: set[tuple[str, int, str]] = set()
        self.taken: list[_Fitted] = []

    def take(self, candidates: Iterable[_Candidate], allowance: float) -> None:
        for candidate in candidates:
            place = _identity(candidate.message)
            if place in self._seen or not candidate.message.content.strip():
                continue
            fitted = _line(candidate, self._budget * _LINE_SHARE)
            weight = token_weight(fitted.shown)
            if weight > min(allowance, self._left):
                if allowance < self._budget:
                    return  # a share is filled from the newest on, without gaps
                continue
            allowance -= weight
            self._left -= weight
            self._seen.add(place)
            self.taken.append(fitted)


def _line(candidate: _Candidate, most_tokens: float) -> _Fitted:
    message = candidate.message
    time = iso(message.timestamp_us // keys.MICROSECONDS)
    # Short: in a conversation of short turns the headings would eat half of the budget.
    day = "undated" if message.metadata.get("undated") else date_words(message.timestamp_us)
    heading = f"[{day} | {fence.label(message.speaker)} | {candidate.source}] "
    text, cut = _shown(message.content, most_tokens - token_weight(heading) - 1)
    line = Line(
        candidate.source,
        candidate.score,
        time,
        message.session_id,
        message.role,
        message.message_id,
        text,
        cut,
    )
    return _Fitted(candidate, line, f"{heading}{text}\n")


def _shown(content: str, most_tokens: float) -> tuple[str, bool]:
    # A long text is looked at only as far as it could ever be shown: no script takes less
    # than a quarter of a token a character.
    kept = content[: max(0, int(most_tokens * 4))]
    while kept:
        left = len(content) - len(kept)
        text = fence.quoted(kept) + (_CUT.format(left=left) if left else "")
        weight = token_weight(text)
        if weight <= most_tokens:
            return text, left > 0
        kept = kept[: int(len(kept) * min(0.9, most_tokens / weight))]
    return _CUT.format(left=len(content)), True


def _identity(message: Message) -> tuple[str, int, str]:
    return message.message_id, message.timestamp_us, message.role


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
