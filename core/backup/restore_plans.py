"""What a restore would do to each table: decided from the backup's manifests and what stands."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson

from core.aws.session import AwsSession
from core.backup.opening import BackedUpTable, Backup
from core.backup.restore_marks import Marks, State
from core.backup.selection import Selection, selector
from core.backup.table_settings import TableSettings, read_settings
from core.cost.prices import US_EAST_1
from core.errors import DamagedError, NotConfirmedError, NotFoundError, UsageError
from core.transfer.lines import Keys

Method = Literal["write", "import", "nothing"]
DEFAULT_SUFFIX = "-restored"
LOCAL_UNITS_S = 8000.0
NEW_TABLE_UNITS_S = 2000.0
"""What a new table on demand takes; it grows with what is written."""
_OVERHEAD_BYTES = 100
_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")


@dataclass(frozen=True)
class RestoreWish:
    """What a restore is asked to do.

    `tables` are names in the backup, none: all. Targets are named with `suffix`, or the same
    where `in_place`; `confirm` names the tables that may be written over though they hold items.
    `max_wcu` and `max_rcu` bound the units a second that writing and comparing take.
    """

    tables: tuple[str, ...] = ()
    suffix: str = DEFAULT_SUFFIX
    in_place: bool = False
    confirm: tuple[str, ...] = ()
    selection: Selection = field(default_factory=Selection)
    max_wcu: float | None = None
    max_rcu: float | None = None
    by_import: bool = False

    def target(self, table: str) -> str:
        """The name that a table is restored under."""
        return table if self.in_place else table + self.suffix


@dataclass(frozen=True)
class TablePlan:
    """How one table is restored.

    Items and bytes are those of the backup (all of it, where only some are selected), write
    units, seconds and dollars about what writing them takes, indexes counted in.
    """

    table: str
    target: str
    state: State
    method: Method
    items: int
    item_bytes: int
    write_units: float
    seconds: float
    dollars: float
    at: str
    notes: tuple[str, ...]
    source: BackedUpTable = field(repr=False)
    keys: Keys = field(repr=False)
    settings: TableSettings | None = field(repr=False)
    mark: str = field(repr=False)

    @property
    def skipped(self) -> bool:
        """Whether nothing of the table can be selected; the notes say why."""
        return self.method == "nothing" and self.state != "restored"

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        names = ("table", "target", "state", "method", "items", "item_bytes", "at")
        about = {name: getattr(self, name) for name in names}
        figures = {"write_units": self.write_units, "seconds": self.seconds}
        return {**about, **figures, "dollars": self.dollars, "notes": list(self.notes)}


@dataclass(frozen=True)
class RestorePlan:
    """What a restore would do; nothing is changed by making it."""

    backup: str
    tables: tuple[TablePlan, ...]

    @property
    def write_units(self) -> float:
        """Of all tables."""
        return sum(table.write_units for table in self.tables)

    @property
    def seconds(self) -> float:
        """Of all tables, one after the other."""
        return sum(table.seconds for table in self.tables)

    @property
    def dollars(self) -> float:
        """Of all tables, at on-demand prices; 0 where no AWS is."""
        return sum(table.dollars for table in self.tables)


class RestorePlanner:
    """Plans restores; changes nothing. For one thread."""

    def __init__(self, session: AwsSession, backup: Backup, marks: Marks) -> None:
        self._session, self._backup, self._marks = session, backup, marks

    def plan(self, wish: RestoreWish) -> RestorePlan:
        """What the wish means, table by table.

        Raises:
            UsageError: a table is not in the backup, or its target is in use.
            NotConfirmedError: a table that holds items would be written over.
            DamagedError: a table's settings are damaged.
        """
        wish.selection.check()
        if wish.confirm and not wish.in_place:
            raise UsageError(
                "`--confirm` is for a restore in place; new tables hold nothing to write over.",
                "Leave it out, or add `--in-place`.",
            )
        if not wish.in_place and not wish.suffix:
            raise UsageError(
                "Without a suffix a table would be restored over itself.",
                "Choose one (`--suffix -restored`), or say that it is meant: `--in-place`.",
            )
        plans = tuple(self._table(wish, table) for table in self._chosen(wish))
        _check_targets(wish, plans)
        return RestorePlan(self._backup.name, plans)

    def _chosen(self, wish: RestoreWish) -> tuple[BackedUpTable, ...]:
        known = {table.table: table for table in self._backup.tables}
        for name in wish.tables:
            if name not in known:
                raise UsageError(
                    f"The table '{name}' is not in the backup '{self._backup.name}'.",
                    f"It holds: {', '.join(sorted(known))}.",
                )
        return tuple(known[name] for name in dict.fromkeys(wish.tables)) or self._backup.tables

    def _table(self, wish: RestoreWish, table: BackedUpTable) -> TablePlan:
        target = wish.target(table.table)
        if not _NAME.fullmatch(target):
            raise UsageError(
                f"No table can be called '{target:.300}'.",
                "Choose another `--suffix`: letters, digits, '.', '_' and '-', 255 in all.",
            )
        settings = self._settings(table)
        standing = self._standing(target)
        keys = self._keys(table, settings, standing)
        mark = self._mark(table, wish)
        state = self._marks.state(target, mark)
        chosen, note = selector(wish.selection, table.table, keys)
        if standing is not None and standing.keys != keys:
            raise UsageError(
                f"The table '{target}' has other keys than those in the backup: "
                f"{_shown(standing.keys)}, not {_shown(keys)}.",
                "Restore to a new name: `--suffix -restored`.",
            )
        made = TablePlan(
            table.table,
            target,
            state,
            _method(wish, state, selectable=chosen is not None),
            *_amount(table),
            write_units=0.0,
            seconds=0.0,
            dollars=0.0,
            at=table.at,
            notes=(*(settings.notes if settings else ()), *((note,) if note else ())),
            source=table,
            keys=keys,
            settings=settings,
            mark=mark,
        )
        return self._estimated(made, wish, standing or settings)

    def _settings(self, table: BackedUpTable) -> TableSettings | None:
        if table.settings is None:
            return None
        try:
            return TableSettings.from_json(orjson.loads(table.settings))
        except (orjson.JSONDecodeError, DamagedError) as error:
            what = error.what if isinstance(error, DamagedError) else "it is not JSON"
            raise DamagedError(
                f"The file '{table.table}/table.json' of the backup can't be used: {what}"
            ) from error

    def _standing(self, target: str) -> TableSettings | None:
        try:
            return read_settings(self._session, target)
        except NotFoundError:
            return None

    def _keys(
        self, table: BackedUpTable, settings: TableSettings | None, standing: TableSettings | None
    ) -> Keys:
        if table.keys is not None:
            return table.keys
        known = settings or standing
        if known is None:
            raise UsageError(
                f"The export of '{table.table}' does not say what its table was like.",
                "Say what its keys are: `--key user_id:S --key timestamp:N`; or make the table "
                "first and restore into it: `--in-place`, or the `--suffix` of its name.",
            )
        return known.keys

    def _mark(self, table: BackedUpTable, wish: RestoreWish) -> str:
        """What tells this very restore from any other."""
        found = self._backup.manifest
        name = found.id if found else table.layers[-1].export.folder.rpartition("/")[2]
        # Tags hold few characters; a bare export's folder may have others.
        safe = (
            name if name.replace("-", "").isalnum() else hashlib.sha256(name.encode()).hexdigest()
        )
        return f"{safe[:80]}/{wish.selection.tag}" if wish.selection.tag else safe[:80]

    def _estimated(
        self, plan: TablePlan, wish: RestoreWish, like: TableSettings | None
    ) -> TablePlan:
        if plan.method == "nothing":
            return plan
        indexes = len(like.schema(plan.target).indexes) if like else 0
        units = _units(plan.items, plan.item_bytes) * (1 + indexes)
        on_aws = self._session.endpoint_url is None
        rates = [
            NEW_TABLE_UNITS_S if on_aws else LOCAL_UNITS_S,
            *((wish.max_wcu,) if wish.max_wcu else ()),
            *((like.write_units * (1 + indexes),) if like and like.write_units else ()),
        ]
        dollars = 0.0
        if on_aws:
            compared = US_EAST_1.reads(plan.item_bytes / 4096)
            written = US_EAST_1.writes(units)
            if plan.method == "import":
                written = US_EAST_1.imported(plan.item_bytes)
            dollars = written + compared
        if plan.method == "import":
            units = 0.0
        return replace(plan, write_units=units, seconds=units / min(rates), dollars=dollars)


def _method(wish: RestoreWish, state: State, *, selectable: bool) -> Method:
    if state == "restored" or not selectable:
        return "nothing"
    return "import" if wish.by_import else "write"


def _check_targets(wish: RestoreWish, plans: Sequence[TablePlan]) -> None:
    """Refuses tables that hold what is not this restore's, all of them at once."""
    used = [plan for plan in plans if plan.state == "in use" and not plan.skipped]
    if used and not wish.in_place:
        subject, several = _named([plan.target for plan in used])
        raise UsageError(
            f"{subject} {'stand already, and are' if several else 'stands already, and is'} "
            "not from this restore.",
            "Choose another name (`--suffix -again`), or delete what stands.",
        )
    unconfirmed = [plan.target for plan in used if plan.table not in wish.confirm]
    if unconfirmed:
        subject, several = _named(unconfirmed)
        raise NotConfirmedError(
            f"{subject} {'hold' if several else 'holds'} items: the backup's would be put over "
            "them, and those that it does not hold would stay.",
            f"If that is meant: `{' '.join(f'--confirm {name}' for name in unconfirmed)}`.",
        )


def _named(targets: Sequence[str]) -> tuple[str, bool]:
    several = len(targets) > 1
    quoted = ", ".join(f"'{name}'" for name in targets)
    return f"The table{'s' if several else ''} {quoted}", several


def _amount(table: BackedUpTable) -> tuple[int, int]:
    """Items and their bytes; of increments at most so many more."""
    summaries = [layer.export.summary for layer in table.layers]
    return sum(s.items for s in summaries), sum(s.item_bytes for s in summaries)


def _units(items: int, item_bytes: int) -> float:
    """About the write units of items of an average size."""
    if not items:
        return 0.0
    average = max(0.0, item_bytes / items - _OVERHEAD_BYTES) / 1024
    each = max(1.0, average + 0.5) if average > 1 else 1.0
    return float(math.ceil(items * each))


def _shown(keys: Keys) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in keys.attributes)
