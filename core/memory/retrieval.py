"""Finding the messages that bear on a question: one interface, any number of ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from core.aws.capacity import Consumed
from core.memory.model import Message


@dataclass(frozen=True)
class Hit:
    """A message that was found; scores compare only within one source."""

    score: float
    source: str
    message: Message


@dataclass(frozen=True)
class Hits:
    """What a search found, best first.

    `searched` is the number of messages looked at; `complete` is False where a bound kept older
    ones out.
    """

    items: tuple[Hit, ...]
    consumed: Consumed
    searched: int
    complete: bool = True


class Retriever(Protocol):
    """A way of searching a user's messages. Thread-safe; finds nothing of any other user."""

    def search(self, user_id: str, query: str, limit: int) -> Hits:
        """At most `limit` messages that bear on `query`, best first.

        Raises:
            UsageError: a user id that no message can have.
        """
