"""An engine that keeps messages in a dictionary, and whose searches are what a test says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.aws.capacity import NOTHING, Consumed
from core.llm.embedder import Embedder
from core.memory import bm25
from core.memory.context import Context
from core.memory.keys import sort_keys
from core.memory.model import Appended, Message

WARM, COLD = Consumed(read_units=2.0, requests=3, rounds=1), Consumed(20.0, requests=4, rounds=2)


@dataclass(frozen=True)
class Place:
    """A match."""

    place: str


@dataclass(frozen=True)
class Found:
    """What a search found."""

    items: tuple[Place, ...]
    consumed: Consumed = NOTHING


@dataclass(frozen=True)
class Imported:
    """What an import stored."""

    appended: tuple[Appended, ...]
    missing: tuple[str, ...] = ("It rains.",)


@dataclass
class Memory:
    """What all fake engines share: the table, so to say."""

    embedder: Embedder
    users: dict[str, list[Message]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    consumed: Consumed = WARM

    @contextmanager
    def open(self) -> Iterator[FakeEngine]:
        """An engine that knows nothing yet."""
        self.calls.append("open")
        yield FakeEngine(self)


class FakeEngine:
    """Finds by BM25, and by exact cosines where vectors alone are asked."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._warm = False

    @property
    def embeddings(self) -> FakeEngine:
        """Itself."""
        return self

    def import_messages(self, user_id: str, messages: Sequence[Message]) -> Imported:
        """Keeps messages, a suffix on every place."""
        assert all(m.user_id == user_id for m in messages)
        self._memory.calls.append("import")
        self._memory.users.setdefault(user_id, []).extend(messages)
        return Imported(tuple(Appended(m, True, NOTHING, _place(m)) for m in messages))

    def find(self, query: str, user_id: str, limit: int = 50) -> Found:
        """By words."""
        messages = self._memory.users[user_id]
        scores = bm25.score(query, messages)
        best = sorted(scores, key=lambda n: -scores[n])[:limit]
        return Found(tuple(Place(_place(messages[n])) for n in best))

    def find_similar_conversations_optimized(
        self, query: str, user_id: str, limit: int = 10
    ) -> Found:
        """By exact cosines."""
        messages = self._memory.users[user_id]
        vectors = self._memory.embedder.embed([query, *(m.content for m in messages)]).array
        cosines = vectors[1:] @ vectors[0]
        best = sorted(range(len(messages)), key=lambda n: -cosines[n])[:limit]
        return Found(tuple(Place(_place(messages[n])) for n in best))

    def build_context(
        self, query: str, user_id: str, session_id: str | None = None, budget_tokens: int = 2000
    ) -> Context:
        """Costs more the first time."""
        self._memory.calls.append("context")
        consumed = self._memory.consumed if self._warm else COLD
        self._warm = True
        return Context("", (), 100, budget_tokens, 5, True, consumed, {}, embeddings_made=1)

    def forget_user(self, user_id: str, *, wait: bool = True) -> None:
        """Forgets."""
        self._memory.calls.append("forget")
        self._memory.users.pop(user_id, None)


def _place(message: Message) -> str:
    return f"{next(sort_keys(message))}#fake"
