"""The context of a question: recent, session and matching messages in one text, within a budget."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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
MAX_BUDGET_TOKENS = 10**9
_LINE_SHARE = 0.25
"""The part of the budget that one message may take before it is cut, and says so."""
_RECENT_SHARE, _SESSION_SHARE = 0.15, 0.25
"""The part of the budget that is theirs before matches are looked at; matches get the rest."""
UNKNOWN = -1
"""In place of a text's length: nobody said how long it is."""
_CUT = " … [cut: {left} more characters]"
_CUT_SOMEWHERE = " … [cut]"

T = TypeVar("T")


@dataclass(frozen=True)
class Line:
    """A message in a context. `text` is as shown: quoted, and cut where `cut` says so.

    `source` is `session`, `recent`, or how it was found: `lexical`, `vector`, `both`, `neighbour`.
    `parts` are what its `score` is made up of, for messages that were found.
    """

    source: str
    score: float | None
    time: str
    session_id: str
    role: str
    message_id: str
    text: str
    cut: bool
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """What an agent gets: `text`, never above the budget; how it came about; what it cost.

    `searched` messages were looked at for matches; `complete` is False where others were not.
    `missing` says in a sentence each what could not be had: the search by meaning while the
    embedder is down, say. `embeddings_made` counts texts whose vectors no cache had; `cached`: the
    whole context was kept from before, and consumed nothing.
    `timings_ms` holds how long each part took, and the whole.
    """

    text: str
    lines: tuple[Line, ...]
    tokens: int
    budget_tokens: int
    searched: int
    complete: bool
    consumed: Consumed
    timings_ms: Mapping[str, float]
    missing: tuple[str, ...] = ()
    embeddings_made: int = 0
    cached: bool = False


@dataclass(frozen=True)
class Candidate:
    """A message that may go into a context.

    `characters` is the length of all of its text where `message` holds only the beginning;
    UNKNOWN where nobody said how much more there is. `key` is the message's sort key, if known.
    """

    message: Message
    source: str
    score: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    characters: int | None = None
    key: str | None = None

    @property
    def length(self) -> int:
        """Characters of the whole text; UNKNOWN where that was not read."""
        return len(self.message.content) if self.characters is None else self.characters


@dataclass(frozen=True)
class Candidates:
    """What may go into a context, each group best first; of the other two newest first."""

    session: Sequence[Candidate]
    recent: Sequence[Candidate]
    found: Sequence[Candidate]


@dataclass(frozen=True)
class _Fitted:
    candidate: Candidate
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
        check_question(query, user_id, session_id, budget_tokens)
        begin = self._clock.monotonic()
        with ThreadPoolExecutor(3, thread_name_prefix="context") as pool:
            recent = pool.submit(
                self._timed, lambda: self._store.read_recent(user_id, RECENT_MESSAGES)
            )
            session = pool.submit(self._timed, lambda: self._session(user_id, session_id))
            found = pool.submit(self._timed, lambda: self._retriever.search(user_id, query, HITS))
        reads = (recent.result(), session.result(), found.result())
        (recent_found, _), (session_found, _), (hits, _) = reads
        context = assemble(_candidates(recent_found, session_found, hits), budget_tokens)
        timings = dict(zip(("recent", "session", "search"), (ms for _, ms in reads), strict=True))
        timings["total"] = _ms(self._clock.monotonic() - begin)
        return dataclasses.replace(
            context,
            searched=hits.searched,
            complete=hits.complete and session_found.complete and recent_found.complete,
            consumed=side_by_side((recent_found.consumed, session_found.consumed, hits.consumed)),
            timings_ms=timings,
        )

    def _session(self, user_id: str, session_id: str | None) -> Messages:
        if session_id is None:
            return Messages((), Consumed())
        return self._store.read_session(user_id, session_id, SESSION_MESSAGES)

    def _timed(self, read: Callable[[], T]) -> tuple[T, float]:
        begin = self._clock.monotonic()
        answer = read()
        return answer, _ms(self._clock.monotonic() - begin)


def check_question(query: str, user_id: str, session_id: str | None, budget_tokens: int) -> None:
    """Refuses what no context can be built for.

    Raises:
        UsageError: an empty question, an id that no message can have, or a budget that is
            too small or beyond all models.
    """
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
    if budget_tokens > MAX_BUDGET_TOKENS:
        raise UsageError(
            f"No model takes a budget of {budget_tokens:.3g} tokens.",
            f"Give at most {MAX_BUDGET_TOKENS}.",
        )


def assemble(candidates: Candidates, budget_tokens: int) -> Context:
    """The context that candidates make up within a budget; what it cost is for others to say."""
    fitted = _fit(candidates, budget_tokens)
    fitted.sort(key=lambda f: (f.candidate.message.timestamp_us, f.candidate.message.message_id))
    text = fence.OPENING + "".join(f.shown for f in fitted) + fence.CLOSING
    return Context(
        text=text,
        lines=tuple(f.line for f in fitted),
        tokens=estimate_tokens(text),
        budget_tokens=budget_tokens,
        searched=0,
        complete=True,
        consumed=Consumed(),
        timings_ms={},
    )


def _candidates(recent: Messages, session: Messages, found: Hits) -> Candidates:
    scores = {_identity(hit.message): hit.score for hit in found.items}
    return Candidates(
        [Candidate(m, "session", scores.get(_identity(m))) for m in session.items],
        [Candidate(m, "recent", scores.get(_identity(m))) for m in recent.items],
        [Candidate(hit.message, hit.source, hit.score) for hit in found.items],
    )


def _fit(groups: Candidates, budget_tokens: int) -> list[_Fitted]:
    fitting = _Fitting(budget_tokens)
    fitting.take(groups.recent, _RECENT_SHARE * budget_tokens)
    fitting.take(groups.session, _SESSION_SHARE * budget_tokens)
    for group in (groups.found, groups.session, groups.recent):
        fitting.take(group, budget_tokens)
    return fitting.taken


class _Fitting:
    """Takes candidates until the budget is used up; each message once."""

    def __init__(self, budget_tokens: int) -> None:
        self._budget = budget_tokens
        # One more than the weights: the sum is rounded up in the end.
        self._left = budget_tokens - 1 - token_weight(fence.OPENING + fence.CLOSING)
        self._seen: set[str | tuple[str, int, str]] = set()
        self.taken: list[_Fitted] = []

    def take(self, candidates: Iterable[Candidate], allowance: float) -> None:
        for candidate in candidates:
            place = candidate.key or _identity(candidate.message)
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


def _line(candidate: Candidate, most_tokens: float) -> _Fitted:
    message = candidate.message
    time = iso(message.timestamp_us // keys.MICROSECONDS)
    # Short: in a conversation of short turns the headings would eat half of the budget.
    day = "undated" if message.metadata.get("undated") else date_words(message.timestamp_us)
    heading = f"[{day} | {fence.label(message.speaker)} | {candidate.source}] "
    text, cut = _shown(candidate, most_tokens - token_weight(heading) - 1)
    line = Line(
        candidate.source,
        candidate.score,
        time,
        message.session_id,
        message.role,
        message.message_id,
        text,
        cut,
        candidate.parts,
    )
    return _Fitted(candidate, line, f"{heading}{text}\n")


def _shown(candidate: Candidate, most_tokens: float) -> tuple[str, bool]:
    # A long text is looked at only as far as it could ever be shown: no script takes less
    # than a quarter of a token a character.
    kept = candidate.message.content[: max(0, int(most_tokens * 4))]
    while kept:
        more = _more(candidate, kept)
        text = fence.quoted(kept) + more
        weight = token_weight(text)
        if weight <= most_tokens:
            return text, bool(more)
        kept = kept[: int(len(kept) * min(0.9, most_tokens / weight))]
    return _more(candidate, ""), True


def _more(candidate: Candidate, kept: str) -> str:
    if candidate.length == UNKNOWN:
        return _CUT_SOMEWHERE
    left = candidate.length - len(kept)
    return _CUT.format(left=left) if left else ""


def _identity(message: Message) -> tuple[str, int, str]:
    return message.message_id, message.timestamp_us, message.role


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
