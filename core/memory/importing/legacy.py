"""Imports into the legacy table, for whoever wants to try out a migration or compare with it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from core.aws.table import Table
from core.errors import NotFoundError
from core.memory.legacy_items import iso_text, to_item
from core.memory.model import Appended, Message
from core.memory.workers import Workers

T = TypeVar("T")
R = TypeVar("R")
_WORKERS = 16
_SUFFIX = 12


class Destination(Protocol):
    """Where an import puts its messages: a `ConversationStore`, or `LegacyDestination`."""

    def append(self, message: Message) -> Appended:
        """Stores a message unless it stands already.

        Raises:
            UsageError: something about it can't be stored.
        """

    def contains(self, message: Message) -> bool:
        """Whether a message of this id stands at this time."""

    def each(self, function: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
        """Runs `function` over `things` side by side; yields answers in their order."""


class LegacyDestination:
    """The legacy history; a context manager that ends its threads. Thread-safe.

    Keys are of the kind that the legacy engine makes, a time and a suffix; but the suffix is drawn
    from the message's id, so that a message that is put in again stays one.
    """

    def __init__(self, history: Table) -> None:
        """Over the table `history`."""
        self._table = history
        self._workers = Workers(_WORKERS, thread_name_prefix="legacy")

    def __enter__(self) -> Self:
        """Nothing is sent yet."""
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        """Ends the threads."""
        self._workers.shutdown()

    def append(self, message: Message) -> Appended:
        """Stores a message unless it stands already.

        Raises:
            UsageError: something about it is no text, or too large for an item.
            NotFoundError: the legacy tables are not deployed.
        """
        item: dict[str, Any] = to_item(dataclasses.replace(message, message_id=place(message)))
        try:
            written = self._table.put_new(item)
        except NotFoundError as error:
            error.cure = "Deploy it: `ialctl start --with-legacy`."
            raise
        return Appended(message, written.new, written.consumed)

    def contains(self, message: Message) -> bool:
        """Whether a message of this id stands at this time."""
        key = {"user_id": message.user_id, "sort_key": place(message)}
        return self._table.get(key, consistent=True).item is not None

    def each(self, function: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
        """Runs `function` over `things` on threads; yields answers in their order."""
        return self._workers.map(function, things)


def place(message: Message) -> str:
    """The sort key of a message: the same one whenever it is imported."""
    drawn = hashlib.sha256(message.message_id.encode()).hexdigest()
    return f"{iso_text(message.timestamp_us)}#{drawn[:_SUFFIX]}"
