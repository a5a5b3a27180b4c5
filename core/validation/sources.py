"""Where the items of a validation come from: whole tables, or what stands of one user."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Protocol

from core.aws.capacity import TableSchema
from core.aws.codec import WireItem, decode
from core.aws.requests import Query
from core.aws.session import AwsSession
from core.aws.table import Page, Table, query_pages
from core.clock import Clock
from core.memory import keys
from core.memory.chunks import user_chunks
from core.memory.generations import generation_of, suffix_of
from core.memory.index.partition import partition_of
from core.memory.schema import USER_TIME_INDEX
from core.transfer.budget import Budget
from core.transfer.patience import Stop
from core.transfer.scanning import Scanner

WORKERS = 4

Items = Iterator[list[dict[str, Any]]]
Reading = Callable[[Stop], Items]
"""Reads a share of a table, page by page, until it is told to stop."""


class Source(Protocol):
    """Gives the shares of a table, which may be read side by side."""

    def readings(self, table: Table, attributes: Collection[str]) -> Sequence[Reading]:
        """All items of the table that count; of them at least the attributes named."""


class Scan:
    """Whole tables, by parallel scans that are eventually consistent."""

    def __init__(
        self, session: AwsSession, budget: Budget, clock: Clock, generation: str = ""
    ) -> None:
        """Of the index, what belongs to a generation; as the tables of that one show it."""
        self._session, self._budget, self._clock = session, budget, clock
        self._generation = generation

    def readings(self, table: Table, attributes: Collection[str]) -> Sequence[Reading]:
        """The segments of a scan."""
        return [self._segment(table.schema, attributes, number) for number in range(WORKERS)]

    def _segment(self, schema: TableSchema, attributes: Collection[str], number: int) -> Reading:
        def read(stop: Stop) -> Items:
            scanner = Scanner(self._session, schema.name, self._budget, self._clock, stop=stop)
            for page in scanner.pages(number, WORKERS):
                items = [_decoded(item, attributes) for item in page.items]
                yield self._own(items) if schema.hash_key == "user_chunk" else items

        return read

    def _own(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Without other generations' items; what is nobody's stays, to be told of."""
        found = []
        for item in items:
            partition = item["user_chunk"]
            generation = generation_of(partition)
            if generation == self._generation:
                item["user_chunk"] = partition.removesuffix(suffix_of(self._generation))
            if generation in (self._generation, None):
                found.append(item)
        return found


class OfUser:
    """What stands of one user: the days that the history's index lists, parts, and the vectors.

    What no index lists is not among it.
    """

    def __init__(self, user_id: str, budget: Budget) -> None:
        """Raises UsageError for an id that no message can have."""
        keys.check_user(user_id)
        self._user, self._budget = user_id, budget

    def readings(self, table: Table, attributes: Collection[str]) -> Sequence[Reading]:
        """One reading: a user's partitions one after the other."""
        del attributes  # they are all read anyway
        if table.schema.hash_key == "user_date":
            return [lambda stop: self._history(table, stop)]
        partitions = (*user_chunks(self._user), partition_of(self._user))
        return [lambda stop: self._partitions(table, partitions, stop)]

    def _history(self, table: Table, stop: Stop) -> Items:
        query = Query(self._user, index=USER_TIME_INDEX, attributes=("user_date",))
        days = {str(i["user_date"]) for page in self._pages(table, query) for i in page.items}
        yield from self._partitions(table, sorted(days), stop)
        ids: set[str] = set()
        for items in self._partitions(table, (keys.notes_partition(self._user),), stop):
            ids |= {str(item.get("message_id", "")) for item in items} - {""}
            yield items
        parts = [keys.parts_partition(self._user, message_id) for message_id in sorted(ids)]
        yield from self._partitions(table, parts, stop)

    def _partitions(self, table: Table, partitions: Sequence[str], stop: Stop) -> Items:
        for partition in partitions:
            for page in self._pages(table, Query(partition)):
                if stop():
                    return
                yield list(page.items)

    def _pages(self, table: Table, query: Query) -> Iterator[Page]:
        for page in query_pages(table, query):
            self._budget.spend(page.consumed.read_units)
            yield page


def _decoded(item: WireItem, attributes: Collection[str]) -> dict[str, Any]:
    """What is looked at of an item: a vector as numbers is long, and nothing is said of it."""
    return {
        # Most are text: a tenth of a run's time went by in asking what they are.
        name: value["S"] if "S" in value else decode(value)
        for name, value in item.items()
        if name in attributes
    }
