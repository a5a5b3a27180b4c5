"""Tables in the order of a Scan, so that a page of it looks at no more items than it answers.

The emulator sorts a whole table for every page, and hashes every item for every page of a
parallel scan: 100,000 items in four segments take minutes. Here the order of the partitions of
a table (of each segment) that was scanned lately is kept and changed with every write. Only keys
are kept, and as the table itself holds them: some 10 bytes a partition.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from sortedcontainers import SortedList

MAX_ORDERS = 8
MAX_SEGMENTS = 1024
LONG_PARTITION = 256
"""Items from which on the order within a partition is kept, too."""

Items = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""A table's items by partition key, then sort key."""


def segment_of(partition: str, segments: int) -> int:
    """The segment of a parallel scan that a partition is in."""
    if segments == 1:
        return 0
    digest = hashlib.sha1(
        partition.encode("utf-8", "surrogatepass"), usedforsecurity=False
    ).digest()
    return int.from_bytes(digest[:4], "big") % segments


class ScanOrder:
    """The order of one table, divided into segments. Callers hold the journal's lock."""

    def __init__(self, items: Items, segments: int) -> None:
        """Reads all partition keys once."""
        keys: list[list[str]] = [[] for _ in range(segments)]
        for partition, rows in items.items():
            if rows:
                keys[segment_of(partition, segments)].append(partition)
        self.items = items
        self._segments = [SortedList(some) for some in keys]
        self._long: dict[str, SortedList] = {}

    def after(self, segment: int, start: tuple[str, str] | None) -> Iterator[tuple[str, str]]:
        """Keys of a segment in order, after `start`; to be read before the next write."""
        partition, sort = start or ("", "")
        if start is not None and segment_of(partition, len(self._segments)) == segment:
            yield from self._sorts(partition, sort)
        inclusive = (start is None, True)
        for following in self._segments[segment].irange(partition, None, inclusive):
            yield from self._sorts(following, None)

    def changed(self, partition: str, sort: str, *, stands: bool) -> None:
        """Follows a write that put an item where none was, or took one away."""
        partitions = self._segments[segment_of(partition, len(self._segments))]
        rows = self.items.get(partition)
        if not rows:
            partitions.discard(partition)
            self._long.pop(partition, None)
            return
        if stands and len(rows) == 1 and partition not in partitions:
            partitions.add(partition)
        kept = self._long.get(partition)
        if kept is not None:
            kept.add(sort) if stands else kept.discard(sort)

    def _sorts(self, partition: str, after: str | None) -> Iterator[tuple[str, str]]:
        rows = self.items.get(partition) or {}
        if len(rows) < LONG_PARTITION:
            found = sorted(key for key in rows if after is None or key > after)
        else:
            if partition not in self._long:
                self._long[partition] = SortedList(rows)
            found = self._long[partition].irange(after, None, (after is None, True))
        for key in found:
            yield partition, key


class ScanOrders:
    """The orders asked for lately. Callers hold the journal's lock."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], ScanOrder] = {}

    def get(self, table_id: str, items: Items, segments: int) -> ScanOrder:
        """A table's order, made where it is not kept."""
        wanted = (table_id, segments)
        found = self._kept.pop(wanted, None)
        if found is None or found.items is not items:
            found = ScanOrder(items, segments)
        self._kept[wanted] = found
        while len(self._kept) > MAX_ORDERS:
            del self._kept[next(iter(self._kept))]
        return found

    def changed(self, table_id: str, partition: str, sort: str, *, stands: bool) -> None:
        """Follows a write that put an item where none was, or took one away."""
        for (table, _), order in self._kept.items():
            if table == table_id:
                order.changed(partition, sort, stands=stands)

    def forget(self, table_id: str) -> None:
        """Forgets what is kept of a table."""
        self._kept = {
            wanted: order for wanted, order in self._kept.items() if wanted[0] != table_id
        }
