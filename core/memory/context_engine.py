"""The legacy engine: the context of a question out of a user's last hundred messages.

Kept as it was: it is the fallback, and the honest baseline. What lies further back than a hundred
messages is never found, each message that carries no vector is embedded anew for each question,
and there is no token budget. Only what is a matter of safety is as in the optimized engine:
stored text is fenced as data, and a model that is down costs the matches, not the context.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.aws.capacity import Consumed
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import EmbeddingError, UsageError
from core.memory import fence
from core.memory.bedrock_embeddings import BedrockEmbeddings, Ranked, Similar
from core.memory.legacy_items import LegacyMessage
from core.memory.memory_manager import MemoryManager
from core.memory.model import Appended, Message
from core.memory.terms import date_words

WINDOW = 100
"""Messages that are read, and among which is searched."""
SIMILAR = 10
RECENT = 10


@dataclass(frozen=True)
class LegacyLine:
    """A message in a context: where it came from (`similar`, `session` or `recent`), its cosine."""

    source: str
    score: float | None
    message: Message


@dataclass(frozen=True)
class LegacyContext:
    """What an agent gets, how it came about, and what it cost.

    `searched` messages were read; `skipped` of them could not be compared. `missing` says why
    where a model that is down cost matches. `timings_ms` holds `read`, `search` and `total`.
    """

    text: str
    lines: tuple[LegacyLine, ...]
    searched: int
    skipped: int
    embeddings_made: int
    missing: str | None
    consumed: Consumed
    timings_ms: Mapping[str, float]


class ContextEngine:
    """Contexts and interactions over the legacy tables. Thread-safe; holds nothing of any user."""

    def __init__(
        self,
        memory: MemoryManager,
        embeddings: BedrockEmbeddings,
        clock: Clock = SYSTEM_CLOCK,
        *,
        window: int = WINDOW,
    ) -> None:
        """`window` messages are read, and searched: its own number, but for what is measured."""
        self.memory = memory
        self.embeddings = embeddings
        self.window = window
        self._clock = clock

    def build_context_for_query(
        self, query: str, user_id: str, session_id: str | None = None
    ) -> str:
        """The text of `build_context`; raises the same."""
        return self.build_context(query, user_id, session_id).text

    def build_context(
        self, query: str, user_id: str, session_id: str | None = None
    ) -> LegacyContext:
        """The messages nearest to the question, those of the session, and the recent ones.

        All are from the user's last hundred, which are read first and compared afterwards. Lines
        stand in order of time, each message once.

        Raises:
            UsageError: an empty question, or a user id that no message can have.
        """
        if not query.strip():
            raise UsageError("The question is empty.", "Ask something.")
        begin = self._clock.monotonic()
        window = self.memory.get_recent_context(user_id, self.window)
        read = self._clock.monotonic()
        similar = self._similar(query, window)
        lines = _lines(window, similar.items, session_id)
        text = fence.OPENING + "".join(map(_shown, lines)) + fence.CLOSING
        end = self._clock.monotonic()
        timings = {"read": read - begin, "search": end - read, "total": end - begin}
        return LegacyContext(
            text=text,
            lines=lines,
            searched=len(window),
            skipped=similar.skipped,
            embeddings_made=similar.embeddings_made,
            missing=similar.missing,
            consumed=window.consumed,
            timings_ms={name: round(seconds * 1000, 3) for name, seconds in timings.items()},
        )

    def save_interaction(
        self,
        user_input: str,
        assistant_response: str,
        user_id: str,
        session_id: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> tuple[Appended, ...]:
        """Stores what the user said and what was answered, as two messages.

        Raises:
            UsageError: something about one is no text, or too large; then neither is stored.
        """
        texts = (("user", user_input), ("assistant", assistant_response))
        return self.memory.save_exchange(user_id, session_id, texts, metadata)

    def _similar(self, query: str, window: Sequence[LegacyMessage]) -> Similar:
        try:
            return self.embeddings.find_similar(query, window, SIMILAR)
        except EmbeddingError as error:
            return Similar((), 0, len(window), error.what)


def _lines(
    window: Sequence[LegacyMessage], similar: Iterable[Ranked], session_id: str | None
) -> tuple[LegacyLine, ...]:
    messages = [held.message for held in window]
    session = [m for m in messages if session_id is not None and m.session_id == session_id]
    found = {r.message.message.message_id: r.score for r in similar}
    sources = {m.message_id: "recent" for m in messages[-RECENT:]}
    sources |= {m.message_id: "session" for m in session[-RECENT:]}
    sources |= dict.fromkeys(found, "similar")
    return tuple(
        LegacyLine(sources[m.message_id], found.get(m.message_id), m)
        for m in messages
        if m.message_id in sources and m.content.strip()
    )


def _shown(line: LegacyLine) -> str:
    message = line.message
    day = "undated" if message.metadata.get("undated") else date_words(message.timestamp_us)
    speaker = fence.label(message.speaker)
    return f"[{day} | {speaker} | {line.source}] {fence.quoted(message.content)}\n"
