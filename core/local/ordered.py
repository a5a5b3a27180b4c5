"""Long partitions in key order, so that a Query with a limit looks at few items.

The emulator sorts a whole partition (of a table or an index) for every Query: 16 to 60 ms for
the newest 20 of 10,000. Here the order of a partition that was asked for once is kept, and
changed with every write; a Query is then given only as many items as its limit can use, in a
view of the table, and does all the rest itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any

from sortedcontainers import SortedDict

from core.local.key_conditions import comparable

MIN_ITEMS = 256
MAX_PARTITIONS = 64

Item = Mapping[str, Any]
BaseKey = tuple[str, str]
SortKey = tuple[Any, ...]


class _Top:
    """Greater than anything: closes a range of sort keys that share a prefix."""

    def __lt__(self, other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return True


_TOP = _Top()


@dataclass(frozen=True)
class PartitionId:
    """A partition of a table (`index` None) or of one of its indexes."""

    table_id: str
    index: str | None
    value: str


@dataclass(frozen=True)
class Partition:
    """A partition's items by sort key, and how an item's sort key is made."""

    order_key: Callable[[Item], SortKey]
    hash_name: str
    range_names: tuple[str, ...]
    items: SortedDict


class OrderedPartitions:
    """The partitions asked for lately, in order. Callers hold the journal's lock."""

    def __init__(self) -> None:
        self._kept: dict[PartitionId, Partition] = {}

    def get(self, wanted: PartitionId) -> Partition | None:
        """A kept partition, now the one asked for last."""
        found = self._kept.pop(wanted, None)
        if found is not None:
            self._kept[wanted] = found
        return found

    def keep(self, wanted: PartitionId, partition: Partition) -> None:
        """Keeps a partition; the one not asked for longest goes where there are too many."""
        self._kept[wanted] = partition
        while len(self._kept) > MAX_PARTITIONS:
            del self._kept[next(iter(self._kept))]

    def changed(self, table_id: str, key: BaseKey, before: Item | None, after: Item | None) -> None:
        """Follows one write of an item."""
        for wanted, partition in self._kept.items():
            if wanted.table_id != table_id:
                continue
            if before is not None and _belongs(before, wanted, partition):
                partition.items.pop(partition.order_key(before), None)
            if after is not None and _belongs(after, wanted, partition):
                partition.items[partition.order_key(after)] = (key, after)

    def forget(self, table_id: str) -> None:
        """Forgets what is kept of a table."""
        self._kept = {k: v for k, v in self._kept.items() if k.table_id != table_id}


def _belongs(item: Item, wanted: PartitionId, partition: Partition) -> bool:
    value = item.get(partition.hash_name)
    if value is None or any(name not in item for name in partition.range_names):
        return False
    return bool(next(iter(value.values())) == wanted.value)


def first(
    partition: Partition, request: Mapping[str, Any], start: SortKey | None
) -> Iterator[tuple[BaseKey, Item]]:
    """As many items as a Query in `KeyConditions` form can use, in its order.

    Args:
        partition: where to look.
        request: the Query, with `Limit` and `KeyConditions`.
        start: the sort key after which to begin.
    """
    low, high = _bounds(partition, request["KeyConditions"])
    forward = request.get("ScanIndexForward", True) is not False
    if start is not None:
        low, high = (max(low, (*start, _TOP)), high) if forward else (low, min(high, start))
    keys = partition.items.irange(low, high, inclusive=(True, False), reverse=not forward)
    for key in islice(keys, int(request["Limit"])):
        yield partition.items[key]


def _bounds(partition: Partition, conditions: Mapping[str, Any]) -> tuple[SortKey, SortKey]:
    everything: tuple[SortKey, SortKey] = ((), (_TOP,))
    if not partition.range_names or partition.range_names[0] not in conditions:
        return everything
    condition = conditions[partition.range_names[0]]
    values = [_plain(value) for value in condition["AttributeValueList"]]
    value, last = values[0], values[-1]
    prefix_end = f"{value!s}\U0010ffff"
    return {
        "EQ": ((value,), (value, _TOP)),
        "LT": ((), (value,)),
        "LE": ((), (value, _TOP)),
        "GT": ((value, _TOP), (_TOP,)),
        "GE": ((value,), (_TOP,)),
        "BETWEEN": ((value,), (last, _TOP)),
        # No text that begins with a prefix comes after the prefix and the last code point.
        "BEGINS_WITH": ((value,), (prefix_end, _TOP)),
    }[condition["ComparisonOperator"]]


def _plain(value: Mapping[str, str]) -> str | bytes | Decimal:
    if "S" in value:
        return value["S"]
    found: bytes | Decimal = comparable(value)
    return found
