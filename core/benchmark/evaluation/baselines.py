"""What the engine is held against: BM25 alone, and exact cosines over every message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from core.benchmark.evaluation.dataset import Conversation
from core.errors import EmbedderUnavailableError, EmbeddingError
from core.llm.embedder import Embedder, FloatArray
from core.memory import bm25
from core.memory.index.names import without_names
from core.memory.saving import EMBEDDED_CHARACTERS

_BATCH_TEXTS = 64


class Bm25:
    """BM25 with its neighbour window over all messages of a conversation."""

    def __init__(self, conversation: Conversation) -> None:
        listed = enumerate(conversation.messages)
        ordered = sorted(listed, key=lambda p: (p[1].session_id, p[1].timestamp_us, p[0]))
        self._rows = [row for row, _ in ordered]
        self._messages = [message for _, message in ordered]

    def ranked(self, query: str, limit: int) -> list[int]:
        """Positions of the best messages; of equal scores the later message first."""
        scores = bm25.score(query, self._messages)
        best = sorted(
            scores, key=lambda n: (scores[n], self._messages[n].timestamp_us, n), reverse=True
        )
        return [self._rows[n] for n in best[:limit]]


@dataclass(frozen=True, eq=False)
class ExactAnswer:
    """The cosines of a question to all messages that have a vector.

    `text` is the question as it was embedded, speakers' names taken out.
    """

    text: str
    cosines: FloatArray
    positions: Mapping[int, int]

    def position(self, row: int) -> int:
        """Where in `cosines` a message stands; -1 where it has no vector."""
        return self.positions.get(row, -1)


class Exact:
    """Exact cosines by the same embedder that the engine has."""

    def __init__(
        self, embedder: Embedder, conversation: Conversation, between: Callable[[], None]
    ) -> None:
        """Embeds every message; calls `between` before each request, which may raise to stop.

        Raises:
            EmbeddingError: the embedder is down, or can't embed one of the messages.
        """
        self._embedder = embedder
        self._speakers = conversation.speakers
        texts = [message.content[:EMBEDDED_CHARACTERS] for message in conversation.messages]
        written = [row for row, text in enumerate(texts) if text.strip()]
        self._positions = {row: position for position, row in enumerate(written)}
        parts = [np.zeros((0, embedder.dimensions), np.float32)]
        for first in range(0, len(written), _BATCH_TEXTS):
            between()
            batch = written[first : first + _BATCH_TEXTS]
            parts.append(embedder.embed([texts[row] for row in batch]).array)
        self._vectors: FloatArray = np.concatenate(parts)

    def question(self, query: str) -> ExactAnswer | None:
        """The cosines of a question; None where it has no vector.

        Raises:
            EmbedderUnavailableError: the embedder is down.
        """
        text = without_names(query, self._speakers)
        try:
            vector = self._embedder.embed([text]).array[0]
        except EmbedderUnavailableError:
            raise
        except EmbeddingError:
            return None
        return ExactAnswer(text, self._vectors @ vector, self._positions)
