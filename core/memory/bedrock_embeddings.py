"""The legacy search: every message compared with the question, one by one, in this process.

Kept as it was, since it is what others are compared with. A message that carries no vector is
embedded anew at every search, one call of the model a message; nothing is cached, nothing is
batched, and the comparison is a loop over pairs. That is what made it slow. Whoever wants it
fast uses the optimized engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import EmbedderUnavailableError, EmbeddingError
from core.llm.embedder import Embedder
from core.memory.legacy_items import LegacyMessage


@dataclass(frozen=True)
class Ranked:
    """A message and its cosine with the question, -1 to 1."""

    score: float
    message: LegacyMessage


@dataclass(frozen=True)
class Similar:
    """What a search found, best first.

    `embeddings_made` counts the question's. `skipped` messages have no vector and got none;
    `missing` says why, where the model could not be reached.
    """

    items: tuple[Ranked, ...]
    embeddings_made: int
    skipped: int
    missing: str | None = None


class BedrockEmbeddings:
    """Vectors from any `Embedder`, one text a call, and the search over them. Thread-safe."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def generate_embedding(self, text: str) -> list[float]:
        """The vector of a text, of length 1.

        Raises:
            EmbeddingError: the text is blank, or the model gives no usable vector.
            EmbedderUnavailableError: the model can't be reached.
        """
        return [float(number) for number in self._embedder.embed([text]).array[0]]

    def find_similar(self, query: str, messages: Sequence[LegacyMessage], limit: int) -> Similar:
        """The messages nearest to `query`, best first; of equal ones the later.

        A stored vector of another length than the embedder's comes from another model: the
        message is embedded anew. One of the same length is taken at its word, for the legacy
        table does not name its model. A model that is lost on the way is not asked again; then
        only messages that carry a vector are compared.

        Raises:
            EmbeddingError: the question is blank, or has no usable vector.
            EmbedderUnavailableError: the model can't be reached for the question.
        """
        wanted = self.generate_embedding(query)
        ranked: list[Ranked] = []
        made, missing = 1, None
        for message in messages:
            vector = self._carried(message)
            if vector is None and missing is None and message.message.content.strip():
                try:
                    vector = self.generate_embedding(message.message.content)
                    made += 1
                except EmbedderUnavailableError as error:
                    missing = error.what
                except EmbeddingError:
                    pass  # this text has no vector; it counts among the skipped
            if vector is not None:
                ranked.append(Ranked(cosine(wanted, vector), message))
        ranked.sort(key=lambda r: (r.score, r.message.message.timestamp_us), reverse=True)
        return Similar(tuple(ranked[:limit]), made, len(messages) - len(ranked), missing)

    def _carried(self, message: LegacyMessage) -> Sequence[float] | None:
        carried = message.embedding
        if carried is None or len(carried) != self._embedder.dimensions or not any(carried):
            return None
        return carried


def cosine(left: Sequence[float], right: Sequence[float]) -> float:
    """The cosine of two vectors of one length; 0 where one of them is all zeros."""
    a, b = _scaled(left), _scaled(right)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.dot(a, b)) / lengths if lengths else 0.0


def _scaled(vector: Sequence[float]) -> np.typing.NDArray[np.float64]:
    # The square of a very large or small number is no number any more.
    found = np.asarray(vector, np.float64)
    largest = np.abs(found).max(initial=0.0)
    return found / largest if largest else found
