"""What DynamoDB charges, as pure functions over items in DynamoDB's typed JSON.

Source: Amazon DynamoDB Developer Guide, "Read and write operations", "Item sizes and formats",
"Global secondary indexes: provisioned throughput considerations". Used to report consumption
where the endpoint's own figure is not real (an emulator).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from core.aws.codec import WireItem, WireValue

READ_UNIT_BYTES = 4096
WRITE_UNIT_BYTES = 1024
"""Added to an item's size where storage is billed, and to the size of an index entry."""
_CONTAINER_BYTES = 3
_PLAIN_NUMBERS = re.compile(r"(?:-?[0-9.]+,)*-?[0-9.]+")


@dataclass(frozen=True)
class Consumed:
    """What an operation consumed; add what came one after the other with `+`.

    `bytes` is the size of the items returned or sent, by DynamoDB's rules. `rounds` counts the
    sets of requests in flight together, one after another: what a user waits for.
    `index_write_units` is the part of `write_units` that secondary indexes took.
    """

    read_units: float = 0.0
    write_units: float = 0.0
    index_write_units: float = 0.0
    requests: int = 0
    rounds: int = 0
    bytes: int = 0

    def __add__(self, other: Consumed) -> Consumed:
        return dataclasses.replace(self.beside(other), rounds=self.rounds + other.rounds)

    def beside(self, other: Consumed) -> Consumed:
        """The two together, made side by side: the longer row of rounds is what counts."""
        return Consumed(
            read_units=self.read_units + other.read_units,
            write_units=self.write_units + other.write_units,
            index_write_units=self.index_write_units + other.index_write_units,
            requests=self.requests + other.requests,
            rounds=max(self.rounds, other.rounds),
            bytes=self.bytes + other.bytes,
        )

    def plain(self) -> dict[str, float | int]:
        """As plain data, for JSON."""
        return dataclasses.asdict(self)


NOTHING = Consumed()


def in_turn(parts: Iterable[Consumed]) -> Consumed:
    """The sum of what was consumed one after the other."""
    return reduce(Consumed.__add__, parts, NOTHING)


def side_by_side(parts: Iterable[Consumed]) -> Consumed:
    """The sum of what was consumed at the same time."""
    return reduce(Consumed.beside, parts, NOTHING)


@dataclass(frozen=True)
class IndexSchema:
    """A global secondary index; `projected` is "ALL", or the attributes beside the keys."""

    name: str
    hash_key: str
    range_key: str | None = None
    projected: tuple[str, ...] | str = ()


@dataclass(frozen=True)
class TableSchema:
    """A table's name, keys and indexes."""

    name: str
    hash_key: str
    range_key: str | None = None
    indexes: tuple[IndexSchema, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the table's own key attributes."""
        return (self.hash_key, self.range_key) if self.range_key else (self.hash_key,)

    def index(self, name: str) -> IndexSchema:
        """The index called `name`."""
        return next(index for index in self.indexes if index.name == name)


def value_size(value: WireValue) -> int:
    """Bytes of one attribute's value."""
    for kind, held in value.items():
        return _sized(kind, held)
    return 0


def _sized(kind: str, held: Any) -> int:
    if kind in _SCALARS:
        return _SCALARS[kind](held)
    if kind == "L":
        return _CONTAINER_BYTES + _members_size(held)
    if kind == "M":
        return _CONTAINER_BYTES + sum(1 + _utf8(n) + value_size(v) for n, v in held.items())
    return sum(_SCALARS[kind[0]](member) for member in held)


def _members_size(members: Sequence[WireValue]) -> int:
    # A vector is a list of hundreds of numbers: added up together, in a third of the time.
    try:
        numbers = [member["N"] for member in members]
    except KeyError:
        return sum(1 + value_size(member) for member in members)
    joined = ",".join(numbers)
    if not _PLAIN_NUMBERS.fullmatch(joined):
        return sum(1 + number_size(number) for number in numbers)
    halves = sum([(len(d.strip("-0")) + 1) // 2 for d in joined.replace(".", "").split(",")])
    return halves + 2 * len(numbers) + joined.count("-")


def _utf8(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def number_size(text: str) -> int:
    """Bytes of a number: half its significant digits and one, one more below zero.

    DynamoDB documents this as approximate: "approximately one byte per two significant digits".
    """
    digits = text.lstrip("-+")
    if not digits.isdecimal():
        digits = digits.lower().partition("e")[0].replace(".", "")
    return (len(digits.strip("0")) + 1) // 2 + 1 + text.startswith("-")


def _binary_size(value: bytes | str) -> int:
    """Bytes of binary; where it is still base64 text, of what that stands for."""
    return len(value) if isinstance(value, bytes) else len(value) // 4 * 3 - value.count("=")


_SCALARS: Mapping[str, Callable[[Any], int]] = {
    "S": _utf8,
    "N": number_size,
    "B": _binary_size,
    "BOOL": lambda _: 1,
    "NULL": lambda _: 1,
}


def item_size(item: WireItem) -> int:
    """Bytes of an item: names and values, without the overhead that storage adds."""
    return sum(_utf8(name) + value_size(value) for name, value in item.items())


def _read(rounded_units: int, *, consistent: bool, transactional: bool) -> float:
    factor = 2.0 if transactional else 1.0 if consistent else 0.5
    return rounded_units * factor


def get_units(size: int | None, *, consistent: bool = False, transactional: bool = False) -> float:
    """Read units of GetItem, or of one item of BatchGetItem; `size` None: it does not exist."""
    units = max(1, math.ceil((size or 0) / READ_UNIT_BYTES))
    return _read(units, consistent=consistent, transactional=transactional)


def batch_get_units(sizes: Iterable[int | None], *, consistent: bool = False) -> float:
    """Read units of BatchGetItem: every item is rounded up by itself."""
    return sum(get_units(size, consistent=consistent) for size in sizes)


def page_units(sizes: Iterable[int], *, consistent: bool = False) -> float:
    """Read units of a page of Query or Scan: the items' sum is rounded up once."""
    units = max(1, math.ceil(sum(sizes) / READ_UNIT_BYTES))
    return _read(units, consistent=consistent, transactional=False)


def write_units(
    before: WireItem | None, after: WireItem | None, *, transactional: bool = False
) -> float:
    """Write units on the table itself: the larger of before and after, at least one.

    A write whose condition failed is charged the same, with the item that stood there as both.
    """
    largest = max((item_size(item) for item in (before, after) if item), default=0)
    units = max(1, math.ceil(largest / WRITE_UNIT_BYTES))
    return float(units * 2 if transactional else units)


def index_entry(item: WireItem | None, table: TableSchema, index: IndexSchema) -> WireItem | None:
    """What an index holds of an item; None where the item lacks one of the index's keys."""
    keys = (index.hash_key, *((index.range_key,) if index.range_key else ()))
    if item is None or any(key not in item for key in keys):
        return None
    if index.projected == "ALL":
        return item
    kept = {*table.keys, *keys, *index.projected}
    return {name: value for name, value in item.items() if name in kept}


def index_units(
    before: WireItem | None, after: WireItem | None, table: TableSchema, index: IndexSchema
) -> float:
    """Write units that one index takes when an item changes from `before` to `after`."""
    old, new = index_entry(before, table, index), index_entry(after, table, index)
    if old == new:
        return 0.0
    if old is None or new is None:
        return _entry_units(old or new or {})
    keys = (index.hash_key, index.range_key)
    if any(old.get(key) != new.get(key) for key in keys if key):
        return _entry_units(old) + _entry_units(new)
    return max(_entry_units(old), _entry_units(new))


def _entry_units(entry: WireItem) -> float:
    return float(max(1, math.ceil(item_size(entry) / WRITE_UNIT_BYTES)))


def all_index_units(before: WireItem | None, after: WireItem | None, table: TableSchema) -> float:
    """Write units that all indexes of the table take."""
    return sum(index_units(before, after, table, index) for index in table.indexes)


def written(
    before: WireItem | None,
    after: WireItem | None,
    table: TableSchema,
    *,
    transactional: bool = False,
) -> Consumed:
    """What one write consumed, indexes counted in; index writes are never doubled."""
    index = all_index_units(before, after, table)
    base = write_units(before, after, transactional=transactional)
    return Consumed(
        write_units=base + index,
        index_write_units=index,
        requests=1,
        rounds=1,
        bytes=item_size(after) if after else 0,
    )


def refused(existing: WireItem | None) -> Consumed:
    """What a write consumed whose condition failed: the table's units, none of an index's."""
    return Consumed(write_units=write_units(existing, existing), requests=1, rounds=1)


def page_read(items: Sequence[WireItem], *, consistent: bool = False) -> Consumed:
    """What a page of Query or Scan consumed that read these whole items."""
    sizes = [item_size(item) for item in items]
    return Consumed(
        read_units=page_units(sizes, consistent=consistent), requests=1, rounds=1, bytes=sum(sizes)
    )
