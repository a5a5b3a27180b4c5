"""The vector of a question: made once, waited for only so long, and done without where it fails."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass

from core.errors import EmbeddingError
from core.llm.embedder import Embedder, FloatArray
from core.memory.index.names import without_names

QUERY_CHARACTERS = 8000
"""More of a question than any model takes; a question of a megabyte is asked by its beginning."""


@dataclass(frozen=True, eq=False)
class QueryVector:
    """A question's vector of length 1, or None and a sentence that says why; `made`: no cache had
    it."""

    vector: FloatArray | None
    missing: str | None = None
    made: int = 0


class QueryVectors:
    """Embeds questions, speakers' names taken out. Thread-safe; never raises for a model's sake."""

    def __init__(self, embedder: Embedder, pool: Executor, timeout_s: float) -> None:
        self._embedder = embedder
        self._pool = pool
        self._timeout_s = timeout_s

    def of(self, query: str, names: Iterable[str]) -> QueryVector:
        """The vector of a question."""
        text = without_names(query[:QUERY_CHARACTERS], names)
        asked = self._pool.submit(self._embedder.embed, [text])
        try:
            found = asked.result(self._timeout_s)
        except FutureTimeoutError:
            asked.cancel()
            return QueryVector(
                None,
                f"The embedding model '{self._embedder.model}' did not answer within "
                f"{self._timeout_s:g} s: messages were found by their words only.",
            )
        except EmbeddingError as error:
            return QueryVector(None, f"{error.what} Messages were found by their words only.")
        return QueryVector(found.array[0], None, found.usage.computed)
