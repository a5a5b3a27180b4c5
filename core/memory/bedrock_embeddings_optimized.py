"""Vectors made, stored and searched, by the names that users of the optimized engine know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.aws.capacity import Consumed
from core.errors import UsageError
from core.llm.embedder import Embedder, FloatArray
from core.memory.asynchronous import in_thread
from core.memory.index.nearest import VectorSearch
from core.memory.index.rows import Indexed
from core.memory.index.searching import SegmentSearch
from core.memory.index.writer import IndexWriter
from core.memory.keys import check_user
from core.memory.model import Message
from core.memory.vectors import checked_vector, unit

DEFAULT_LIMIT = 10


@dataclass(frozen=True)
class SimilarMessage:
    """A message near to a question: its sort key, and the cosine of the two vectors."""

    place: str
    score: float
    message: Message


@dataclass(frozen=True)
class SimilarMessages:
    """What a search by meaning alone found, best first."""

    items: tuple[SimilarMessage, ...]
    consumed: Consumed
    embeddings_made: int


class OptimizedBedrockEmbeddings:
    """Vectors from any `Embedder` (Bedrock is one), stored in segments. Thread-safe."""

    def __init__(
        self,
        embedder: Embedder,
        writer: IndexWriter,
        search: VectorSearch,
        texts: SegmentSearch,
    ) -> None:
        self._embedder = embedder
        self._writer = writer
        self._search = search
        self._texts = texts

    @property
    def model(self) -> str:
        """The embedder's model, stored beside each vector."""
        return self._embedder.model

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        return self._embedder.dimensions

    def generate_embedding(self, text: str) -> list[float]:
        """The vector of a text, of length 1; from the cache where it was made before.

        Raises:
            EmbeddingError: the text is blank, or the model gives no usable vector.
            EmbedderUnavailableError: the model can't be reached.
        """
        return [float(number) for number in self._embedder.embed([text]).array[0]]

    async def generate_embedding_async(self, text: str) -> list[float]:
        """As `generate_embedding`, without blocking the event loop."""
        return [float(n) for n in (await self._embedder.embed_async([text])).array[0]]

    def store_embedding_optimized(
        self, message: Message, place: str, vector: Sequence[float] | None = None
    ) -> Consumed:
        """Indexes a message that stands in the history at the sort key `place`.

        Args:
            message: as it was stored.
            place: where; `Appended.place`.
            vector: of the embedder's length, any norm above 0; made from the content if not given.

        Raises:
            UsageError: the vector has another length than the model's, holds NaN, or is all zeros.
            EmbeddingError: the vector was to be made, and could not be.
        """
        made = self.generate_embedding(message.content) if vector is None else vector
        indexed = [Indexed(message, place, self._unit(made))]
        consumed = self._writer.add(message.user_id, indexed)
        return consumed + self._writer.seal(message.user_id)

    async def store_embedding_optimized_async(
        self, message: Message, place: str, vector: Sequence[float] | None = None
    ) -> Consumed:
        """As `store_embedding_optimized`, without blocking the event loop."""
        return await in_thread(lambda: self.store_embedding_optimized(message, place, vector))

    def find_similar_conversations_optimized(
        self, query: str, user_id: str, limit: int = DEFAULT_LIMIT
    ) -> SimilarMessages:
        """The messages of a user whose vectors are nearest to the question's, best first.

        Raises:
            UsageError: an empty question, a limit below 1, an id that no message can have, or
                stored vectors of another model than the embedder's.
            EmbeddingError: the question has no usable vector.
        """
        check_user(user_id)
        if not query.strip():
            raise UsageError("The question is empty.", "Ask something.")
        found = self._embedder.embed([query])
        nearest = self._search.nearest(user_id, found.array[0], limit)
        texts, cost = self._texts.texts(user_id, nearest.places)
        items = tuple(
            SimilarMessage(place, round(float(cosine), 6), texts[place])
            for place, cosine in zip(nearest.places, nearest.cosines, strict=True)
            if place in texts
        )
        return SimilarMessages(items, nearest.consumed + cost, found.usage.computed)

    async def find_similar_conversations_optimized_async(
        self, query: str, user_id: str, limit: int = DEFAULT_LIMIT
    ) -> SimilarMessages:
        """As `find_similar_conversations_optimized`, without blocking the event loop."""
        return await in_thread(
            lambda: self.find_similar_conversations_optimized(query, user_id, limit)
        )

    def _unit(self, vector: Sequence[float]) -> FloatArray:
        clean = checked_vector(vector)
        if clean.size != self.dimensions:
            raise UsageError(
                f"The vector has {clean.size} dimensions; '{self.model}' has {self.dimensions}.",
                "Is it of another model? Make it with `generate_embedding`.",
            )
        return unit(clean)
