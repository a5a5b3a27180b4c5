"""What an evaluation needs of the engine, so that a test can hand in one whose answers it knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from core.aws.capacity import Consumed
from core.memory.context import Context
from core.memory.model import Appended, Message


class Placed(Protocol):
    """Something found: `place` is the message's sort key."""

    @property
    def place(self) -> str:
        """The sort key of the message."""


class Found(Protocol):
    """What a search found, best first, and what that cost."""

    @property
    def items(self) -> Sequence[Placed]:
        """The matches."""

    @property
    def consumed(self) -> Consumed:
        """What was read."""


class Imported(Protocol):
    """What an import stored."""

    @property
    def appended(self) -> Sequence[Appended]:
        """The messages, with where they stand."""

    @property
    def missing(self) -> Sequence[str]:
        """What could not be done, the messages being stored, in sentences."""


class SimilarSearch(Protocol):
    """Search by vector alone."""

    def find_similar_conversations_optimized(
        self, query: str, user_id: str, limit: int = 10
    ) -> Found:
        """The messages nearest to a question, best first."""


class Engine(Protocol):
    """The calls of `OptimizedContextEngine` that an evaluation makes."""

    @property
    def embeddings(self) -> SimilarSearch:
        """The search by vector alone."""

    def import_messages(self, user_id: str, messages: Sequence[Message]) -> Imported:
        """Stores and indexes messages."""

    def find(self, query: str, user_id: str, limit: int = 50) -> Found:
        """What a context's matches are chosen from, best first."""

    def build_context(
        self,
        query: str,
        user_id: str,
        session_id: str | None = None,
        budget_tokens: int = 2000,
    ) -> Context:
        """A context, with what it cost."""

    def forget_user(self, user_id: str, *, wait: bool = True) -> object:
        """Removes all that stands of a user; `wait`: until no other process shows it."""


OpenEngine = Callable[[], AbstractContextManager[Engine]]
"""Opens an engine that knows nothing yet, as in a new process."""
