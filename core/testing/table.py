"""A table in memory that answers and charges as DynamoDB does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from core.aws import capacity
from core.aws.capacity import NOTHING, Consumed, IndexSchema, TableSchema
from core.aws.codec import Item, Value, decode_item, encode_item
from core.aws.requests import Change, Condition, Key, Query, Write
from core.aws.table import (
    BATCH_GET_KEYS,
    BATCH_WRITE_ITEMS,
    Got,
    Page,
    PutNew,
    Written,
    batches,
    pick,
)
from core.errors import AwsError, ConditionFailedError

PAGE_BYTES = 1024 * 1024
ITEM_BYTES = 400 * 1024

_Wire = dict[str, Any]
_Id = tuple[Any, ...]


class FakeTable:
    """A table in memory; thread-safe.

    `index_lag` keeps indexes as they were until `catch_up()`; `before_call(operation)` runs first
    in every operation and may raise, or do what another process would do meanwhile. A batch calls
    it for itself and then for each of its items, so that it may also end halfway.
    """

    def __init__(
        self,
        schema: TableSchema,
        *,
        index_lag: bool = False,
        page_bytes: int = PAGE_BYTES,
        before_call: Callable[[str], None] | None = None,
    ) -> None:
        self._schema = schema
        self._items: dict[_Id, _Wire] = {}
        self._indexed: dict[_Id, _Wire] = {}
        self._lag = index_lag
        self._page_bytes = page_bytes
        self._before_call = before_call or (lambda _: None)
        self._lock = threading.RLock()

    @property
    def schema(self) -> TableSchema:
        """Name, keys and indexes."""
        return self._schema

    def catch_up(self) -> None:
        """Lets the indexes see everything written so far."""
        with self._lock:
            self._indexed = dict(self._items)

    def all_items(self) -> list[dict[str, Value]]:
        """Every item, in no order."""
        with self._lock:
            return [decode_item(wire) for wire in self._items.values()]

    def put(self, item: Item, condition: Condition | None = None) -> Written:
        """Writes an item over whatever has its key."""
        return self._write("put", self._key(item), lambda _: dict(item), condition)

    def put_new(self, item: Item) -> PutNew:
        """Writes an item unless there is one with its key."""
        self._before_call("put_new")
        with self._lock:
            standing = self._items.get(self._id(item))
            if standing is not None:
                return PutNew(False, decode_item(standing), capacity.refused(standing))
            written = self._store(self._id(item), encode_item(item))
            return PutNew(True, None, written.consumed)

    def get(self, key: Key, *, consistent: bool = False) -> Got:
        """The item with this key."""
        self._before_call("get")
        with self._lock:
            wire = self._items.get(self._id(key))
        size = capacity.item_size(wire) if wire else None
        units = capacity.get_units(size, consistent=consistent)
        return Got(decode_item(wire) if wire else None, Consumed(units, 0, 0, 1, 1, size or 0))

    def query(self, query: Query, start: Key | None = None) -> Page:
        """One page of a partition."""
        self._before_call("query")
        index = self._schema.index(query.index) if query.index else None
        entries = self._partition(query, index)
        if start is not None:
            begin = self._order(start, index)
            entries = [e for e in entries if self._after(e, begin, query, index)]
        read = self._page(entries, query.limit)
        last = read[-1] if len(read) < len(entries) else None
        picked = [pick(entry, query.attributes) for entry in read]
        cost = capacity.page_read(read, consistent=query.consistent)
        size = sum(map(capacity.item_size, picked))
        return Page(
            tuple(map(decode_item, picked)),
            pick(decode_item(last), self._position(index)) if last else None,
            Consumed(cost.read_units, 0, 0, 1, 1, size),
        )

    def batch_get(
        self, keys: Sequence[Key], *, attributes: Sequence[str] = (), consistent: bool = False
    ) -> Page:
        """The items that exist of these keys."""
        self._before_call("batch_get")
        self._refuse_twice(keys, BATCH_GET_KEYS)
        gots = [self.get(key, consistent=consistent) for key in keys]
        items = tuple(pick(got.item, attributes) for got in gots if got.item is not None)
        units = sum(got.consumed.read_units for got in gots)
        size = sum(capacity.item_size(encode_item(item)) for item in items)
        requests = -(-len(keys) // 100)
        return Page(items, None, Consumed(units, 0, 0, requests, requests, size))

    def batch_write(self, puts: Sequence[Item], deletes: Sequence[Key] = ()) -> Consumed:
        """Writes and deletes any number of items."""
        self._before_call("batch_write")
        self._refuse_twice((*puts, *deletes), BATCH_WRITE_ITEMS)
        parts = [self.put(item).consumed for item in puts]
        parts += [self.delete(key).consumed for key in deletes]
        total = capacity.side_by_side(parts)
        requests = -(-len(parts) // 25)
        return Consumed(
            0, total.write_units, total.index_write_units, requests, requests, total.bytes
        )

    def update(self, key: Key, change: Change, condition: Condition | None = None) -> Written:
        """Changes one item, or makes it."""
        return self._write("update", key, lambda before: change.applied(key, before), condition)

    def delete(self, key: Key, condition: Condition | None = None) -> Written:
        """Deletes one item."""
        return self._write("delete", key, lambda _: None, condition)

    def transact(self, writes: Sequence[Write]) -> Consumed:
        """Up to 100 writes, all or none."""
        self._before_call("transact")
        with self._lock:
            for write in writes:
                self._check(write.condition, self._id(write.item or write.key or {}))
            total = NOTHING
            for write in (w for w in writes if w.kind != "check"):
                wire = encode_item(write.item) if write.item else None
                self._store(self._id(write.item or write.key or {}), wire)
                cost = capacity.written(None, wire, self._schema, transactional=True)
                total = total.beside(cost)
        return Consumed(0, total.write_units, total.index_write_units, 1, 1)

    def _write(
        self,
        operation: str,
        key: Key,
        after_of: Callable[[dict[str, Value] | None], Item | None],
        condition: Condition | None,
    ) -> Written:
        self._before_call(operation)
        with self._lock:
            standing = self._check(condition, self._id(key))
            after = after_of(decode_item(standing) if standing else None)
            return self._store(self._id(key), encode_item(after) if after is not None else None)

    def _check(self, condition: Condition | None, place: _Id) -> _Wire | None:
        standing = self._items.get(place)
        if condition is not None and not condition.holds(
            decode_item(standing) if standing else None
        ):
            raise ConditionFailedError("The condition does not hold.", code="Fake")
        return standing

    def _store(self, place: _Id, after: _Wire | None) -> Written:
        before = self._items.get(place)
        if after is None:
            self._items.pop(place, None)
        else:
            self._refuse_large(after)
            self._items[place] = after
        if not self._lag:
            self._indexed = self._items
        return Written(
            decode_item(before) if before else None,
            decode_item(after) if after else None,
            capacity.written(before, after, self._schema),
        )

    def _refuse_twice(self, named: Sequence[Item], at_once: int) -> None:
        for some in batches(named, at_once):
            if len(set(map(self._id, some))) < len(some):
                raise AwsError("Provided list of item keys contains duplicates", code="Validation")

    def _refuse_large(self, wire: _Wire) -> None:
        if capacity.item_size(wire) > ITEM_BYTES:
            raise AwsError("Item size has exceeded the maximum allowed size", code="Validation")

    def _partition(self, query: Query, index: IndexSchema | None) -> list[_Wire]:
        keys = index or self._schema
        wanted = encode_item({"k": query.hash_value})["k"]
        with self._lock:
            source = list((self._indexed if index else self._items).values())
        entries = (capacity.index_entry(w, self._schema, index) if index else w for w in source)
        found = [
            dict(entry)
            for entry in entries
            if entry is not None
            and entry.get(keys.hash_key) == wanted
            and (
                keys.range_key is None
                or query.range.holds(decode_item({"r": entry[keys.range_key]})["r"])
            )
        ]
        found.sort(key=lambda e: self._order(decode_item(e), index), reverse=not query.ascending)
        return found

    def _page(self, entries: list[_Wire], limit: int | None) -> list[_Wire]:
        read: list[_Wire] = []
        size = 0
        for entry in entries[: limit or len(entries)]:
            size += capacity.item_size(entry)
            if read and size > self._page_bytes:
                break
            read.append(entry)
        return read

    def _after(self, entry: _Wire, begin: _Id, query: Query, index: IndexSchema | None) -> bool:
        place = self._order(decode_item(entry), index)
        return place > begin if query.ascending else place < begin

    def _order(self, item: Item, index: IndexSchema | None) -> _Id:
        keys = index or self._schema
        own = (item[keys.range_key],) if keys.range_key else ()
        return (*own, *self._id(item)) if index else own

    def _position(self, index: IndexSchema | None) -> tuple[str, ...]:
        if index is None:
            return self._schema.keys
        own = (index.hash_key, *((index.range_key,) if index.range_key else ()))
        return (*self._schema.keys, *own)

    def _key(self, item: Item) -> dict[str, Value]:
        return {name: item[name] for name in self._schema.keys}

    def _id(self, item: Item) -> _Id:
        return tuple(item[name] for name in self._schema.keys)
