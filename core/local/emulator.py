"""All that knows the emulator's inner parts.

The package keeps its state in module-level dictionaries and offers no hook on a change, so this
module lays one around the functions through which every write of an item goes (`_set_item`,
`_remove_item`, `_items_replaced`), around the stream's (`_emit_stream_event`,
`drop_stream_records`); `core.local.quick_reads` lays another around `_query` and `_scan`. The
package's version is pinned, and
`tests/integration/test_local_durability.py` drives every kind of write through them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from core.local.frames import encode
from core.local.journal import Journal
from core.local.objects import guard_objects
from core.local.quick_reads import QuickReads
from core.local.quick_statements import quick_parser

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
# A vector index that is added to a table comes to stand in phases, as AWS's does; the package
# makes believe that they take 12 seconds, which whoever tries it out would wait for in vain.
_INDEXING_S = (0.3, 0.7)
# The same for its imports and exports, a second each: they are in progress first, then done.
_TRANSFER_S = 0.4
_Add = Callable[..., None]

Change = list[Any]
"""`[table id, kind, …]`, kind one of table (account, region, name, definition), set (partition,
sort, item), remove (partition, sort), clear (), record (stream record), trimmed (count), forget ():
the entries of journal and snapshot."""


@dataclass(frozen=True)
class TableCopy:
    """A table at one instant: its items (shared, never changed in place) and its stream."""

    table_id: str
    definition: Change
    items: Mapping[str, Mapping[str, Any]]
    records: tuple[Any, ...]
    trimmed: int

    def frames(self) -> Iterator[bytes]:
        """The changes that make this table from an empty one, as frames of JSON."""
        changes: list[Change] = [self.definition, [self.table_id, "trimmed", self.trimmed]]
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
        from ministack.services import cloudformation, dynamodb, s3

        self._application = application
        self._persistence = persistence
        self._responses = responses
        self._cloudformation = cloudformation
        self._dynamodb = dynamodb
        dynamodb._VECTOR_ALLOCATION_SECONDS, dynamodb._VECTOR_BACKFILL_SECONDS = _INDEXING_S
        dynamodb._IMPORT_COMPLETE_AFTER_SEC = dynamodb._EXPORT_COMPLETE_AFTER_SEC = _TRANSFER_S
        self._reads = QuickReads(dynamodb)
        self._by_id: dict[str, tuple[tuple[str, str, str], dict[str, Any]]] = {}
        guard_objects(s3)
        self.app: Callable[..., Any] = application.app

    # State other than items -----------------------------------------------------------------

    def control_state(self) -> bytes:
        """Everything but items and streams, as JSON; the same bytes while nothing changes."""
        # Nothing is copied that is written out at once, as the package's own `get_state` would.
        own = {"dynamodb": self._dynamodb_state, "cloudformation": self._cloudformation_state}
        state = {
            key: own.get(key, get_state)()
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

    def in_progress(self) -> frozenset[str]:
        """The stacks and change sets that are being worked on."""
        stacks = self._cloudformation._stacks.all_values()
        sets = self._cloudformation._change_sets.all_values()
        ids = [s.get("StackId", "") for s in stacks if _moves(s.get("StackStatus"))]
        ids += [
            s.get("ChangeSetId", "")
            for s in sets
            if _moves(s.get("Status")) or _moves(s.get("ExecutionStatus"))
        ]
        return frozenset(ids)

    def _dynamodb_state(self) -> dict[str, Any]:
        module = self._dynamodb
        tables = self._responses.AccountRegionScopedDict()
        for scope, table in module._tables.all_items():
            tables.set_scoped(*scope, {**self._without_items(table), "items": {}})
        return {"tables": tables, **{k: getattr(module, n) for k, n in _DYNAMODB_STORES.items()}}

    def _without_items(self, table: dict[str, Any]) -> dict[str, Any]:
        left_out = {*_ITEM_PARTS, self._dynamodb._INDEX_MEMBERS}
        return {key: value for key, value in table.items() if key not in left_out}

    def _cloudformation_state(self) -> dict[str, Any]:
        return {key: store() for store, key in self._cloudformation._PERSISTED_STORES}

    # Items and streams ----------------------------------------------------------------------

    def table_ids(self) -> frozenset[str]:
        """The ids of all tables, of all accounts and regions."""
        return frozenset(t["TableId"] for t in self._dynamodb._tables.all_values())

    def definitions(self, table_ids: Collection[str]) -> list[bytes]:
        """The entries that make these tables, for a journal."""
        tables = self._dynamodb._tables.all_items()
        return [encode(self._definition(s, t)) for s, t in tables if t["TableId"] in table_ids]

    def _definition(self, scope: tuple[str, str, str], table: dict[str, Any]) -> Change:
        return [table["TableId"], "table", *scope, self._without_items(table)]

    def copy_tables(self) -> list[TableCopy]:
        """All tables at this instant; cheap, as items are shared."""
        module = self._dynamodb
        return [
            TableCopy(
                table["TableId"],
                self._definition(scope, table),
                {partition: dict(rows) for partition, rows in list(table["items"].items())},
                tuple(module._stream_records.get_scoped(*scope) or ()),
                module._stream_trimmed.get_scoped(*scope) or 0,
            )
            for scope, table in module._tables.all_items()
        ]

    def apply(self, change: Change, *, revive: bool = False) -> bool:
        """Applies one change of the journal; False where its table is gone.

        With `revive` a table that the control state does not know is made from its definition.
        """
        table_id, kind, *values = change
        if table_id not in self._by_id:
            tables = self._dynamodb._tables.all_items()
            self._by_id = {table["TableId"]: (scope, table) for scope, table in tables}
        if table_id not in self._by_id:
            if kind == "table" and revive:
                *scope_values, definition = values
                made = {**definition, "items": defaultdict(dict)}
                self._dynamodb._tables.set_scoped(*scope_values, made)
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

        def add(table: dict[str, Any], *rest: Any) -> None:
            current().add(encode([table["TableId"], *rest]))

        module._set_item = self._journaled_set(current, add)
        module._remove_item = self._journaled_remove(current, add)
        module._items_replaced = self._journaled_replacement(current, add)
        module._emit_stream_event = self._journaled_emit(current, add)
        module.drop_stream_records = self._journaled_drop(current, add)

    def _journaled_set(self, current: Callable[[], Journal], add: _Add) -> Callable[..., Any]:
        original = self._dynamodb._set_item

        def set_item(table: dict[str, Any], pk: str, sk: str, item: Any) -> Any:
            with current().lock:
                old = original(table, pk, sk, item)
                self._reads.changed(table, pk, sk, old, item)
                add(table, "set", pk, sk, item)
                return old

        return set_item

    def _journaled_remove(self, current: Callable[[], Journal], add: _Add) -> Callable[..., Any]:
        original = self._dynamodb._remove_item

        def remove_item(table: dict[str, Any], pk: str, sk: str) -> Any:
            with current().lock:
                old = original(table, pk, sk)
                self._reads.changed(table, pk, sk, old, None)
                add(table, "remove", pk, sk)
                return old

        return remove_item

    def _journaled_replacement(
        self, current: Callable[[], Journal], add: _Add
    ) -> Callable[..., None]:
        original = self._dynamodb._items_replaced

        def items_replaced(table: dict[str, Any]) -> None:
            with current().lock:
                original(table)
                self._reads.forget(table["TableId"])
                add(table, "clear")
                for pk, rows in table["items"].items():
                    for sk, item in rows.items():
                        add(table, "set", pk, sk, item)

        return items_replaced

    def _journaled_emit(self, current: Callable[[], Journal], add: _Add) -> Callable[..., None]:
        module, original = self._dynamodb, self._dynamodb._emit_stream_event

        def emit(name: str, *rest: Any, **options: Any) -> None:
            with current().lock:
                before = (module._stream_records.get(name) or [None])[-1]
                original(name, *rest, **options)
                last = (module._stream_records.get(name) or [None])[-1]
                if last is not None and last is not before:
                    add(module._tables[name], "record", last)

        return emit

    def _journaled_drop(self, current: Callable[[], Journal], add: _Add) -> Callable[..., None]:
        original = self._dynamodb.drop_stream_records

        def drop(name: str, table: dict[str, Any] | None = None) -> None:
            with current().lock:
                original(name, table)
                if table is not None:  # it was deleted
                    self._reads.forget(table["TableId"])
                    add(table, "forget")

        return drop

    def speed_up(self, lock: Callable[[], AbstractContextManager[Any]]) -> None:
        """From now on a Query or Scan looks at no more items than it can use, and a statement
        that was seen before is not parsed again."""
        self._reads.speed_up(lock)
        module = self._dynamodb
        module.parse_partiql_statement = quick_parser(module.parse_partiql_statement)


def _moves(status: str | None) -> bool:
    return status is not None and status.endswith(("_IN_PROGRESS", "_PENDING"))
