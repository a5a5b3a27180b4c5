"""What a migration has done so far, in the operations table: all that another machine needs.

Partition `migration`: the state, one item a segment, one a stream, one for what somebody told it
(pause, budgets), one for how it goes, one for each item that could not be moved. What the run
itself writes is refused once it has lost the lease.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from core.aws.codec import Item, WireItem
from core.aws.lease import LEASE
from core.aws.requests import Condition, KeyRange, Query, Test, Write
from core.aws.table import Table, query_pages
from core.errors import ConditionFailedError, LockHeldError, UsageError
from core.memory.active import ENGINE_KEY
from core.transfer.streams import StreamPosition

NAME = "migration"
PARTITION = "migration"
STATUSES = ("copying", "copied", "cut_over", "rolled_back", "cleaned")
FAILED = "failed#"
ANNOUNCED = "announced#"
_LEASE_KEY = {"pk": f"{LEASE}{NAME}", "sk": "lock"}
_REASON_CHARS = 500


@dataclass(frozen=True)
class State:
    """Where a migration stands; times in epoch seconds.

    `fingerprint` names what it was begun with. `verified_s` is when all was last found equal.
    """

    status: str
    fingerprint: Mapping[str, str]
    segments: int
    started_s: float
    copied_s: float | None = None
    verified_s: float | None = None
    cut_over_s: float | None = None
    rolled_back_s: float | None = None
    cleaned_s: float | None = None


@dataclass(frozen=True)
class Mark:
    """How far a segment is copied: after which key, and what came of the items before it."""

    number: int
    last_key: WireItem | None = None
    done: bool = False
    seen: int = 0
    copied: int = 0
    expired: int = 0
    failed: int = 0
    vectors: int = 0
    bytes: int = 0

    def plus(self, **counts: int) -> Mark:
        """With so many more of each."""
        more = {name: getattr(self, name) + count for name, count in counts.items()}
        return dataclasses.replace(self, **more)


@dataclass(frozen=True)
class Control:
    """What somebody told a migration that goes on: to pause, and its budgets (units a second).

    `max_failed` is what its last run was allowed.
    """

    paused: bool = False
    max_rcu: float | None = None
    max_wcu: float | None = None
    by: str = ""
    max_failed: int = 0


@dataclass(frozen=True)
class Failure:
    """An item that could not be moved, and why; `side` is the table it stands in."""

    user_id: str
    sort_key: str
    reason: str
    side: str = "legacy"

    @property
    def name(self) -> str:
        """The same for the same item."""
        text = f"{self.side}\n{self.user_id}\n{self.sort_key}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Going:
    """How a migration goes at this moment, for who looks from elsewhere."""

    what: str
    at_s: float
    rate: float = 0.0
    lag_s: float | None = None
    waiting: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)


T = TypeVar("T", State, Mark, Control, Failure, Going)


class Journal:
    """Reads and writes all that. Thread-safe; raises what `Table` raises."""

    def __init__(self, operations: Table, run: str | None = None) -> None:
        """`run` holds the lease; None: this one only looks, and tells others what to do."""
        self._table = operations
        self._run = run

    def state(self) -> State | None:
        """Where the migration stands; None: there is none."""
        item = self._get("state")
        return None if item is None else _made(State, item)

    def save_state(self, state: State) -> None:
        """Notes where the migration stands.

        Raises:
            LockHeldError: another run holds the lease by now.
        """
        self._put(_item("state", dataclasses.asdict(state)))

    def switch(self, state: State, engine: str, expected: tuple[str, ...]) -> None:
        """Notes the state and the active engine, both or neither.

        Raises:
            UsageError: the active engine is none of those expected.
        """
        tests = tuple(Test("engine", "=", name) for name in expected)
        if None in expected or "" in expected:
            tests = (*tests, Test("engine", "absent"))
        key = {name: value["S"] for name, value in ENGINE_KEY.items()}
        put = Write(
            "put",
            {**key, "engine": engine, "by": NAME},
            condition=Condition(tests, any_of=True),
        )
        try:
            self._transact(put, Write("put", _item("state", dataclasses.asdict(state))))
        except ConditionFailedError as error:
            raise UsageError(
                "Somebody changed which engine is active meanwhile.",
                "Look at it: `ialctl migrate status`.",
            ) from error

    def mark(self, number: int) -> Mark:
        """How far a segment is copied."""
        item = self._get(_segment(number))
        return Mark(number) if item is None else _made(Mark, item)

    def marks(self, segments: int) -> list[Mark]:
        """As `mark`, of all segments."""
        found = {int(i["number"]): _made(Mark, i) for i in self._items("segment#")}
        return [found.get(number, Mark(number)) for number in range(segments)]

    def save_mark(self, mark: Mark) -> None:
        """Notes how far a segment is copied."""
        self._put(_item(_segment(mark.number), dataclasses.asdict(mark)))

    def position(self, side: str) -> StreamPosition | None:
        """Up to where the changes of a side are applied."""
        item = self._get(f"stream#{side}")
        if item is None:
            return None
        return StreamPosition(str(item["arn"]), int(item["since_s"]), dict(item["shards"]))

    def save_positions(
        self,
        positions: Mapping[str, StreamPosition],
        announced: Mapping[str, tuple[float, Sequence[Sequence[str]]]] | None = None,
    ) -> None:
        """Notes up to where the changes of each side are applied.

        With it what is left of writes that were `announced`, by name: when, and the rows; those
        that have none left are forgotten.
        """
        items = [
            Write("put", _item(f"stream#{side}", dataclasses.asdict(position)))
            for side, position in positions.items()
        ]
        for name, (at_s, rows) in (announced or {}).items():
            if rows:
                items.append(Write("put", _announced(name, at_s, rows)))
            else:
                items.append(Write("delete", key={"pk": PARTITION, "sk": ANNOUNCED + name}))
        self._transact(*items)

    def forget_copy(self, segments: int) -> None:
        """Forgets how far segments are copied, and where streams were left."""
        for number in range(segments):
            self._delete(_segment(number))
        for side in ("legacy", "optimized"):
            self._delete(f"stream#{side}")

    def control(self) -> Control:
        """What somebody told the migration."""
        item = self._get("control")
        return Control() if item is None else _made(Control, item)

    def tell(self, change: Callable[[Control], Control]) -> Control:
        """Tells a migration that goes on, here or elsewhere; answers what holds from now on."""
        told = change(self.control())
        self._table.put(_item("control", dataclasses.asdict(told)))
        return told

    def going(self) -> Going | None:
        """How the migration goes, as whoever runs it last said."""
        item = self._get("going")
        return None if item is None else _made(Going, item)

    def save_going(self, going: Going) -> None:
        """Says how it goes."""
        self._table.put(_item("going", dataclasses.asdict(going)))

    def announce(self, name: str, at_s: float, rows: Sequence[Sequence[str]]) -> None:
        """Notes writes that are about to be made while both sides are written."""
        self._put(_announced(name, at_s, rows))

    def announced(self) -> Iterator[tuple[str, float, list[list[str]]]]:
        """What was announced and not forgotten: its name, when, and the rows."""
        for item in self._items(ANNOUNCED):
            name = str(item["sk"]).removeprefix(ANNOUNCED)
            yield name, float(item["at_s"]), [[str(n) for n in row] for row in item["rows"]]

    def failures(self) -> Iterator[Failure]:
        """The items that could not be moved."""
        for item in self._items(FAILED):
            yield _made(Failure, item)

    def save_failure(self, failure: Failure) -> None:
        """Notes an item that could not be moved; once, however often it is met."""
        known = {**dataclasses.asdict(failure), "reason": failure.reason[:_REASON_CHARS]}
        self._table.put(_item(FAILED + failure.name, known))

    def drop_failure(self, failure: Failure) -> None:
        """The item was moved after all, or is gone."""
        self._delete(FAILED + failure.name)

    def _get(self, name: str) -> dict[str, Any] | None:
        return self._table.get({"pk": PARTITION, "sk": name}, consistent=True).item

    def _items(self, prefix: str) -> Iterator[dict[str, Any]]:
        query = Query(PARTITION, KeyRange(prefix=prefix), consistent=True)
        for page in query_pages(self._table, query):
            yield from page.items

    def _put(self, item: Item) -> None:
        self._transact(Write("put", item))

    def _delete(self, name: str) -> None:
        self._table.delete({"pk": PARTITION, "sk": name})

    def _transact(self, *writes: Write) -> None:
        held: tuple[Write, ...] = ()
        if self._run is not None:
            mine = Condition((Test("run", "=", self._run),))
            held = (Write("check", key=_LEASE_KEY, condition=mine),)
        try:
            self._table.transact((*writes, *held))
        except ConditionFailedError as error:
            if not self._lost():
                raise
            raise LockHeldError(
                "Another run has taken this migration over.",
                "Let that one go on: `ialctl migrate status` shows it.",
            ) from error

    def _lost(self) -> bool:
        lease = self._table.get(_LEASE_KEY, consistent=True).item or {}
        return self._run is not None and lease.get("run") != self._run


def _announced(name: str, at_s: float, rows: Sequence[Sequence[str]]) -> Item:
    return _item(ANNOUNCED + name, {"at_s": at_s, "rows": [list(row) for row in rows]})


def _segment(number: int) -> str:
    return f"segment#{number:06d}"


def _item(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in values.items() if value is not None}
    return {"pk": PARTITION, "sk": name, **known}


def _made(kind: type[T], item: Mapping[str, Any]) -> T:
    # A later version may have written more.
    fields = {f.name for f in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in item.items() if name in fields})
