"""Query and Scan of the emulator, on views of a table that hold no more items than they can use.

The functions themselves are the emulator's own, over other globals: what they answer, and refuse,
is what they would without. `ordered` and `scanning` keep the orders that the views are made of.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import FunctionType
from typing import Any

import orjson
from sortedcontainers import SortedDict

from core.local.key_conditions import hand_over
from core.local.number_sizes import quick_number_size, quick_value_size
from core.local.ordered import MIN_ITEMS, OrderedPartitions, Partition, PartitionId, first
from core.local.scanning import MAX_SEGMENTS, ScanOrders

_JSON = "application/x-amz-json-1.0"
_Item = Mapping[str, Any]
_Table = dict[str, Any]
_Lock = Callable[[], AbstractContextManager[Any]]


class QuickReads:
    """The orders kept of the tables of one emulator, and the Query and Scan that use them."""

    def __init__(self, module: Any) -> None:
        """`module` is the emulator's `dynamodb`."""
        self._dynamodb = module
        self._ordered = OrderedPartitions()
        self._scans = ScanOrders()

    def changed(
        self, table: _Table, pk: str, sk: str, before: _Item | None, after: _Item | None
    ) -> None:
        """Follows one write of an item. Called with the journal's lock held."""
        self._ordered.changed(table["TableId"], (pk, sk), before, after)
        if (before is None) != (after is None):
            self._scans.changed(table["TableId"], pk, sk, stands=after is not None)

    def forget(self, table_id: str) -> None:
        """Forgets what is kept of a table. Called with the journal's lock held."""
        self._ordered.forget(table_id)
        self._scans.forget(table_id)

    def speed_up(self, lock: _Lock) -> None:
        """Puts the quick Query and Scan in the place of the emulator's."""
        module = self._dynamodb
        quick = quick_number_size(module._number_size_bytes)
        module._attribute_value_size = quick_value_size(module._attribute_value_size, quick)
        module._number_size_bytes = quick
        self._speed_up_queries(lock)
        self._speed_up_scans(lock)

    # Query ----------------------------------------------------------------------------------

    def _speed_up_queries(self, lock: _Lock) -> None:
        # Simple key conditions in the form that the emulator evaluates quickly, and, where there
        # is a limit, a view of the table.
        module = self._dynamodb
        original = module._query
        # The same function over other globals: only this Query sees the view, no other thread.
        views = _Views(module._tables)
        scope = {**vars(module), "_tables": views}
        on_view = FunctionType(original.__code__, scope, argdefs=original.__defaults__)

        def query(data: Any) -> Any:
            table = module._tables.get(data.get("TableName")) if isinstance(data, dict) else None
            if table is None:
                return original(data)
            keys = _key_names(module, table, data.get("IndexName"))
            types = {d["AttributeName"]: d["AttributeType"] for d in table["AttributeDefinitions"]}
            handed = hand_over(data, *keys, types)
            if handed is None:
                return original(data)
            with lock():
                views.view = self._view(table, handed, *keys)
            try:
                return on_view(handed) if views.view else original(handed)
            finally:
                views.view = None

        module._query = query

    def _view(
        self,
        table: dict[str, Any],
        request: Mapping[str, Any],
        hashes: list[str],
        ranges: list[str],
    ) -> dict[str, Any] | None:
        limit = request.get("Limit")
        if not isinstance(limit, int) or limit < 1 or not ranges:
            return None
        partition = self._partition(table, request, hashes[0], ranges)
        if partition is None:
            return None
        start = request.get("ExclusiveStartKey")
        after = partition.order_key(start) if start else None
        items: dict[str, dict[str, Any]] = defaultdict(dict)
        for (pk, sk), item in first(partition, request, after):
            items[pk][sk] = item
        return {**table, "items": items, self._dynamodb._INDEX_MEMBERS: None}

    def _partition(
        self, table: dict[str, Any], request: Mapping[str, Any], hash_name: str, ranges: list[str]
    ) -> Partition | None:
        module, index = self._dynamodb, request.get("IndexName")
        (value,) = request["KeyConditions"][hash_name]["AttributeValueList"]
        wanted = PartitionId(table["TableId"], index, next(iter(value.values())))
        kept = self._ordered.get(wanted)
        if kept is not None:
            return kept
        found = self._members(table, index, wanted.value)
        if len(found) < MIN_ITEMS:
            return None
        order = module._index_order_keys(table, ranges)

        def order_key(item: Mapping[str, Any]) -> tuple[Any, ...]:
            return tuple(module._index_order_value(item, *key) for key in order)

        rows = SortedDict({order_key(item): (key, item) for key, item in found})
        partition = Partition(order_key, hash_name, tuple(ranges), rows)
        self._ordered.keep(wanted, partition)
        return partition

    def _members(
        self, table: dict[str, Any], index: str | None, value: str
    ) -> list[tuple[tuple[str, str], Any]]:
        items = table["items"]
        if index is None:
            return [((value, sk), item) for sk, item in items.get(value, {}).items()]
        members = self._dynamodb._index_members(table).get(index, {}).get(value, ())
        return [(key, items[key[0]][key[1]]) for key in members]

    # Scan -----------------------------------------------------------------------------------

    def _speed_up_scans(self, lock: _Lock) -> None:
        module = self._dynamodb
        original = module._scan
        views = _Views(module._tables)
        # The view is just the page: what would find it among all items has nothing to do.
        scope = {
            **vars(module),
            "_tables": views,
            "_apply_exclusive_start_key_scan": lambda items, *_: items,
            "_paginate_evaluated_items": lambda items, *_: (items, views.has_more),
            "json_response": _json_response(module.json_response),
        }
        on_view = FunctionType(original.__code__, scope, argdefs=original.__defaults__)

        def scan(data: Any) -> Any:
            table = module._tables.get(data.get("TableName")) if isinstance(data, dict) else None
            if table is None or not _is_plain_scan(data, table):
                return original(data)
            with lock():
                views.view, views.has_more = self._page(table, data)
            try:
                # In which segment an item is was decided.
                left_out = ("Segment", "TotalSegments")
                return on_view({k: v for k, v in data.items() if k not in left_out})
            finally:
                views.view = None

        module._scan = scan

    def _page(self, table: _Table, request: Mapping[str, Any]) -> tuple[_Table, bool]:
        rows, names = table["items"], (table["pk_name"], table["sk_name"])
        order = self._scans.get(table["TableId"], rows, request.get("TotalSegments") or 1)
        start = request.get("ExclusiveStartKey")
        after = _key_of(start, *names) if start else None
        keys: list[tuple[str, str]] = []

        def items() -> Iterator[Any]:
            for key in order.after(request.get("Segment") or 0, after):
                keys.append(key)
                yield rows[key[0]][key[1]]

        found, has_more = self._dynamodb._paginate_evaluated_items(
            items(), request.get("Limit"), table
        )
        page: dict[str, dict[str, Any]] = defaultdict(dict)
        for (pk, sk), item in zip(keys, found, strict=False):  # a key more, where a page was full
            page[pk][sk] = item
        return {**table, "items": page}, has_more


class _Views(threading.local):
    """Stands for the emulator's tables: answers with the view where this thread has one."""

    view: dict[str, Any] | None = None
    has_more = False

    def __init__(self, tables: Any) -> None:
        self._tables = tables

    def get(self, name: str) -> Any:
        """The table of that name, or the view of it."""
        return self.view or self._tables.get(name)


def _is_plain_scan(request: Mapping[str, Any], table: _Table) -> bool:
    """Whether a Scan is of a table itself, and would be refused for nothing that places it."""
    if request.get("IndexName"):
        return False
    limit, start = request.get("Limit"), request.get("ExclusiveStartKey")
    if limit is not None and not (type(limit) is int and limit > 0):
        return False
    segment, segments = request.get("Segment"), request.get("TotalSegments")
    if not (segment is segments is None or _are_segments(segment, segments)):
        return False
    names = [name for name in (table["pk_name"], table["sk_name"]) if name]
    return not start or (
        isinstance(start, dict) and all(_is_key(start.get(name)) for name in names)
    )


def _are_segments(segment: object, segments: object) -> bool:
    if type(segment) is not int or type(segments) is not int:
        return False
    return 0 <= segment < segments <= MAX_SEGMENTS


def _is_key(value: object) -> bool:
    if not isinstance(value, dict) or len(value) != 1:
        return False
    (kind, text), *_ = value.items()
    return kind in ("S", "N", "B") and isinstance(text, str)


def _key_of(start: Mapping[str, Any], pk_name: str, sk_name: str | None) -> tuple[str, str]:
    (pk,) = start[pk_name].values()
    # Without a sort key there is one item a partition, whatever it is kept under.
    (sk,) = start[sk_name].values() if sk_name else ("\U0010ffff",)
    return pk, sk


def _json_response(original: Callable[..., Any]) -> Callable[..., Any]:
    def response(data: Any) -> Any:
        try:
            return 200, {"Content-Type": _JSON}, orjson.dumps(data)
        except orjson.JSONEncodeError:  # a text that is no Unicode
            return original(data)

    return response


def _key_names(
    module: Any, table: dict[str, Any], index: str | None
) -> tuple[list[str], list[str]]:
    if not index:
        return [table["pk_name"]], [table["sk_name"]] if table["sk_name"] else []
    found = module._index_def(table, index)
    hashes, ranges = module._index_key_lists(found) if found else ([], [])
    return hashes, ranges
