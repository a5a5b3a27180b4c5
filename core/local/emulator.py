"""All that knows the emulator's inner parts.

The package keeps its state in module-level dictionaries and offers no hook on a change, so this
module lays one around the functions through which every write of an item goes (`_set_item`,
`_remove_item`, `_items_replaced`), around the stream's (`_emit_stream_event`,
`drop_stream_records`) and around `_query`. The package's version is pinned, and
`tests/integration/test_local_durability.py` drives every kind of write through them.
"""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.local.frames import encode
from core.local.journal import Journal
from core.local.key_conditions import hand_over

# What of DynamoDB's state is kept apart: items and streams go by journal and snapshot.
_DYNAMODB_STORES = {
    "tags": "_tags",
    "ttl_settings": "_ttl_settings",
    "pitr_settings": "_pitr_settings",
    "kinesis_destinations": "_kinesis_destinations",
    "contributor_insights": "_contributor_insights",
    "backups": "_backups",
    "resource_policies": "_resource_policies",
    "exports": "_exports",
    "imports": "_imports",
}
_ITEM_PARTS = ("items", "ItemCount", "TableSizeBytes")
_CHUNK = 500

Change = list[Any]
"""`[table id, kind, …]`, kind one of set (partition, sort, item), remove (partition, sort),
clear (), record (stream record), forget (): the entries of journal and snapshot."""


@dataclass(frozen=True)
class TableCopy:
    """A table at one instant: its items (shared, never changed in place) and its stream."""

    table_id: str
    items: Mapping[str, Mapping[str, Any]]
    records: tuple[Any, ...]
    trimmed: int

    def frames(self) -> Iterator[bytes]:
        """The changes that make this table from an empty one, as frames of JSON."""
        changes: list[Change] = [[self.table_id, "trimmed", self.trimmed]]
        for partition, rows in self.items.items():
            for sort, item in rows.items():
                changes.append([self.table_id, "set", partition, sort, item])
                if len(changes) >= _CHUNK:
                    yield encode(changes)
                    changes = []
        for record in self.records:
            changes.append([self.table_id, "record", record])
            if len(changes) >= _CHUNK:
                yield encode(changes)
                changes = []
        yield encode(changes)


class Emulator:
    """The emulator in this process: its ASGI application, and its state from inside."""

    def __init__(self) -> None:
        """Imports the package; its environment variables must be set before."""
        from ministack import app as application
        from ministack.core import persistence, responses
        from ministack.services import dynamodb

        self._application = application
        self._persistence = persistence
        self._responses = responses
        self._dynamodb = dynamodb
        self._by_id: dict[str, tuple[tuple[str, str, str], dict[str, Any]]] = {}
        self.app: Callable[..., Any] = application.app

    # State other than items -----------------------------------------------------------------

    def control_state(self) -> bytes:
        """Everything but items and streams, as JSON; the same bytes while nothing changes."""
        state = {
            key: get_state() if key != "dynamodb" else self._dynamodb_state()
            for key, get_state in self._application._build_persistence_save_dict().items()
        }
        text = json.dumps(
            {key: value for key, value in state.items() if value is not None},
            default=self._persistence._json_default,
            separators=(",", ":"),
        )
        return text.encode()

    def restore_control(self, state: bytes) -> None:
        """Puts back what `control_state` gave; tables come back empty."""
        loaded = json.loads(state, object_hook=self._persistence._json_object_hook)
        for key, module_name in self._application._state_map.items():
            if loaded.get(key):
                self._application._get_module(module_name).load_persisted_state(loaded[key])
        for table in self._dynamodb._tables.all_values():
            table["items"] = defaultdict(dict)
            self._dynamodb._update_counts(table)

    def _dynamodb_state(self) -> dict[str, Any]:
        module = self._dynamodb
        left_out = {*_ITEM_PARTS, module._INDEX_MEMBERS}
        tables = self._responses.AccountRegionScopedDict()
        for scope, table in module._tables.all_items():
            kept = {key: value for key, value in table.items() if key not in left_out}
            tables.set_scoped(*scope, {**kept, "items": {}})
        stores = {key: copy.deepcopy(getattr(module, n)) for key, n in _DYNAMODB_STORES.items()}
        return {"tables": tables, **stores}

    # Items and streams ----------------------------------------------------------------------

    def table_ids(self) -> frozenset[str]:
        """The ids of all tables, of all accounts and regions."""
        return frozenset(t["TableId"] for t in self._dynamodb._tables.all_values())

    def copy_tables(self) -> list[TableCopy]:
        """All tables at this instant; cheap, as items are shared."""
        module = self._dynamodb
        return [
            TableCopy(
                table["TableId"],
                {partition: dict(rows) for partition, rows in list(table["items"].items())},
                tuple(module._stream_records.get_scoped(*scope) or ()),
                module._stream_trimmed.get_scoped(*scope) or 0,
            )
            for scope, table in module._tables.all_items()
        ]

    def apply(self, change: Change) -> bool:
        """Applies one change of the journal; False where its table is gone."""
        table_id, kind, *values = change
        if table_id not in self._by_id:
            tables = self._dynamodb._tables.all_items()
            self._by_id = {table["TableId"]: (scope, table) for scope, table in tables}
        if table_id not in self._by_id:
            return False
        scope, table = self._by_id[table_id]
        if kind == "set":
            table["items"][values[0]][values[1]] = values[2]
        elif kind == "remove":
            self._remove(table, *values)
        elif kind == "clear":
            table["items"].clear()
        else:
            self._apply_to_stream(scope, kind, values)
        return True

    def settle(self) -> None:
        """After the last `apply`: counts, and the numbering of stream records."""
        module = self._dynamodb
        for table in module._tables.all_values():
            module._items_replaced(table)
        records = module._stream_records._data.values()
        numbers = (r["dynamodb"]["SequenceNumber"] for kept in records for r in kept[-1:])
        module._stream_seq_counter = max((int(n[20:]) for n in numbers), default=0)
        self._by_id = {}

    def _apply_to_stream(self, scope: tuple[str, str, str], kind: str, values: list[Any]) -> None:
        module = self._dynamodb
        if kind == "record":
            kept = module._stream_records.get_scoped(*scope)
            if kept is None:
                module._stream_records.set_scoped(*scope, kept := [])
            kept.append(values[0])
        elif kind == "trimmed":
            module._stream_trimmed.set_scoped(*scope, values[0])
        elif kind == "forget":
            module._stream_records.pop_scoped(*scope, None)
            module._stream_trimmed.pop_scoped(*scope, None)

    @staticmethod
    def _remove(table: dict[str, Any], partition: str, sort: str) -> None:
        rows = table["items"].get(partition)
        if rows is not None:
            rows.pop(sort, None)
            if not rows:
                del table["items"][partition]

    # Hooks ----------------------------------------------------------------------------------

    def journal_to(self, current: Callable[[], Journal]) -> None:
        """From now on every change of an item or stream is added to the journal in use."""
        module = self._dynamodb
        set_item, remove_item = module._set_item, module._remove_item
        items_replaced, emit = module._items_replaced, module._emit_stream_event
        drop = module.drop_stream_records

        def add(table: dict[str, Any], *rest: Any) -> None:
            current().add(encode([table["TableId"], *rest]))

        def journaled_set(table: dict[str, Any], pk: str, sk: str, item: Any) -> Any:
            with current().lock:
                old = set_item(table, pk, sk, item)
                add(table, "set", pk, sk, item)
                return old

        def journaled_remove(table: dict[str, Any], pk: str, sk: str) -> Any:
            with current().lock:
                old = remove_item(table, pk, sk)
                add(table, "remove", pk, sk)
                return old

        def journaled_replacement(table: dict[str, Any]) -> None:
            with current().lock:
                items_replaced(table)
                add(table, "clear")
                for pk, rows in table["items"].items():
                    for sk, item in rows.items():
                        add(table, "set", pk, sk, item)

        def journaled_emit(name: str, *rest: Any, **options: Any) -> None:
            with current().lock:
                before = (module._stream_records.get(name) or [None])[-1]
                emit(name, *rest, **options)
                last = (module._stream_records.get(name) or [None])[-1]
                if last is not None and last is not before:
                    add(module._tables[name], "record", last)

        def journaled_drop(name: str, table: dict[str, Any] | None = None) -> None:
            with current().lock:
                drop(name, table)
                if table is not None:
                    add(table, "forget")

        module._set_item = journaled_set
        module._remove_item = journaled_remove
        module._items_replaced = journaled_replacement
        module._emit_stream_event = journaled_emit
        module.drop_stream_records = journaled_drop

    def speed_up_queries(self) -> None:
        """Hands simple key conditions to the emulator in the form that it evaluates quickly."""
        module = self._dynamodb
        query = module._query

        def quick_query(data: Any) -> Any:
            table = module._tables.get(data.get("TableName")) if isinstance(data, dict) else None
            if table is not None:
                hashes, ranges = _key_names(module, table, data.get("IndexName"))
                types = {
                    d["AttributeName"]: d["AttributeType"] for d in table["AttributeDefinitions"]
                }
                data = hand_over(data, hashes, ranges, types) or data
            return query(data)

        module._query = quick_query


def _key_names(
    module: Any, table: dict[str, Any], index: str | None
) -> tuple[list[str], list[str]]:
    if not index:
        return [table["pk_name"]], [table["sk_name"]] if table["sk_name"] else []
    found = module._index_def(table, index)
    hashes, ranges = module._index_key_lists(found) if found else ([], [])
    return hashes, ranges
