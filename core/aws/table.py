"""One DynamoDB table behind a small interface; every answer says what it consumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.aws.capacity import Consumed, TableSchema
from core.aws.codec import Item, Value
from core.aws.requests import Change, Condition, Key, Query, Write

BATCH_GET_KEYS = 100
BATCH_WRITE_ITEMS = 25


@dataclass(frozen=True)
class Page:
    """Items, and the key after which the next page begins (None: there is none)."""

    items: tuple[dict[str, Value], ...]
    next_key: Key | None
    consumed: Consumed


@dataclass(frozen=True)
class Got:
    """One item, or None."""

    item: dict[str, Value] | None
    consumed: Consumed


@dataclass(frozen=True)
class Written:
    """The item before and after a write; None where there is none."""

    before: dict[str, Value] | None
    after: dict[str, Value] | None
    consumed: Consumed


@dataclass(frozen=True)
class PutNew:
    """Whether an item was written, or else which one stands at its key already."""

    new: bool
    existing: dict[str, Value] | None
    consumed: Consumed


class Table(Protocol):
    """A table. Thread-safe. Reads are eventually consistent unless asked otherwise.

    Requests are tried again inside; so a conditional write may find its own first try.
    Every operation raises `NotFoundError` where the table does not exist, `ThrottledError` when
    throttling outlasts the retries, and `TargetError`s when there is no answer.
    """

    @property
    def schema(self) -> TableSchema:
        """Name, keys and indexes."""

    def put(self, item: Item, condition: Condition | None = None) -> Written:
        """Writes an item over whatever has its key.

        Raises:
            ConditionFailedError: the condition does not hold; nothing was written.
        """

    def put_new(self, item: Item) -> PutNew:
        """Writes an item unless there is one with its key; never raises for that."""

    def get(self, key: Key, *, consistent: bool = False) -> Got:
        """The item with this key."""

    def query(self, query: Query, start: Key | None = None) -> Page:
        """One page of a partition, from the beginning or after `start`."""

    def batch_get(
        self, keys: Sequence[Key], *, attributes: Sequence[str] = (), consistent: bool = False
    ) -> Page:
        """The items that exist of any number of distinct keys, in no order."""

    def batch_write(self, puts: Sequence[Item], deletes: Sequence[Key] = ()) -> Consumed:
        """Writes and deletes any number of items with distinct keys, without conditions.

        Raises:
            ThrottledError: some were still unprocessed after the last try.
        """

    def update(self, key: Key, change: Change, condition: Condition | None = None) -> Written:
        """Changes one item, or makes it.

        Raises:
            ConditionFailedError: the condition does not hold; nothing was changed.
        """

    def delete(self, key: Key, condition: Condition | None = None) -> Written:
        """Deletes one item; one that is not there is no error.

        Raises:
            ConditionFailedError: the condition does not hold; nothing was deleted.
        """

    def transact(self, writes: Sequence[Write]) -> Consumed:
        """Up to 100 writes of distinct items, all or none.

        Raises:
            ConditionFailedError: a condition does not hold; nothing was written.
        """


def query_pages(table: Table, query: Query) -> Iterator[Page]:
    """All pages of a partition, one request each, as they are taken."""
    page = table.query(query)
    yield page
    while page.next_key is not None:
        page = table.query(query, page.next_key)
        yield page


def batches(things: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Slices of at most `size`."""
    for begin in range(0, len(things), size):
        yield things[begin : begin + size]


def pick(item: Mapping[str, Any], attributes: Sequence[str]) -> dict[str, Any]:
    """The item with these attributes only; all of them if none is named."""
    if not attributes:
        return dict(item)
    return {name: item[name] for name in attributes if name in item}
