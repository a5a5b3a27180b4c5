"""Writes any number of items into a table: batches side by side, within a budget of write units.

Puts by key: written again, an item is the same item. What the table throttles or leaves
unprocessed is sent again, ever slower (see `core.transfer.budget`). As many batches wait as there
are workers, so that memory does not grow with what is written.
"""

from __future__ import annotations

import base64
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

from core.aws.capacity import WRITE_UNIT_BYTES, TableSchema, all_index_units, item_size
from core.aws.codec import WireItem
from core.aws.session import AwsClient, AwsSession
from core.aws.table import BATCH_WRITE_ITEMS
from core.clock import Clock
from core.errors import InterruptedRunError, ThrottledError
from core.transfer.budget import Budget
from core.transfer.lines import key_digest
from core.transfer.patience import STALLED_S, Patience, Stop

WORKERS = 8
_BATCH_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Amount:
    """Items written, their bytes by DynamoDB's rules, and the write units they took."""

    items: int = 0
    bytes: int = 0
    units: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.items + other.items, self.bytes + other.bytes, self.units + other.units)


@dataclass(frozen=True)
class _Batch:
    items: tuple[WireItem, ...]
    bytes: int
    units: float


def ignore(_written: Amount) -> None:
    """Tells nobody."""


class Writer:
    """Writes items into one table. `put` and `flush` are for one thread; enter it with `with`.

    Raises, from `put` and `flush`:
        NotFoundError: the table is not there (any more).
        ThrottledError: it throttled for ten minutes and took nothing meanwhile.
        InterruptedRunError: `stop` says so; what was put before may or may not be written.
    """

    def __init__(
        self,
        session: AwsSession,
        schema: TableSchema,
        budget: Budget,
        clock: Clock,
        *,
        workers: int = WORKERS,
        stop: Stop = lambda: False,
        observe: Callable[[Amount], None] = ignore,
    ) -> None:
        """`observe` is told, from any thread, of every batch that was written."""
        self._client = session.bulk_dynamodb()
        self._metered = session.endpoint_url is None
        self._schema = schema
        self._budget = budget
        self._clock = clock
        self._stop = stop
        self._patience = Patience(schema.name, session.where, budget, clock, stop)
        self._observe = observe
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="write")
        # One batch waits for each worker that is at another.
        self._room = threading.BoundedSemaphore(workers * 2)
        self._flying: set[Future[None]] = set()
        self._lock = threading.Lock()
        self._failed: BaseException | None = None
        self._items: list[WireItem] = []
        self._keys: set[bytes] = set()
        self._bytes = 0
        self._units = 0.0
        self.written = Amount()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._failed = self._failed or error
        self._pool.shutdown(wait=True, cancel_futures=True)

    def put(self, item: WireItem) -> None:
        """Writes an item over whatever has its key; returns before it is written."""
        size = item_size(item)
        key = key_digest({name: item[name] for name in self._schema.keys})
        # A batch that names a key twice is refused, and so large ones are slow to send again.
        if self._bytes + size > _BATCH_BYTES or key in self._keys:
            self._send()
        self._items.append(item)
        self._keys.add(key)
        self._bytes += size
        self._units += max(1, math.ceil(size / WRITE_UNIT_BYTES))
        if self._schema.indexes:
            self._units += all_index_units(None, item, self._schema)
        if len(self._items) >= BATCH_WRITE_ITEMS:
            self._send()

    def flush(self) -> None:
        """Returns when all that was put is written."""
        self._send()
        while True:
            with self._lock:
                flying = list(self._flying)
            if not flying:
                break
            for future in flying:
                future.exception()
        self._raise_failure()

    def _send(self) -> None:
        self._raise_failure()
        if self._stop():
            raise InterruptedRunError("Interrupted.")
        if not self._items:
            return
        batch = _Batch(tuple(self._items), self._bytes, self._units)
        self._items, self._keys, self._bytes, self._units = [], set(), 0, 0.0
        self._room.acquire()
        with self._lock:
            future = self._pool.submit(self._write, batch)
            self._flying.add(future)
        future.add_done_callback(self._landed)

    def _landed(self, future: Future[None]) -> None:
        self._room.release()
        error = None if future.cancelled() else future.exception()
        with self._lock:
            self._flying.discard(future)
            self._failed = self._failed or error

    def _raise_failure(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _write(self, batch: _Batch) -> None:
        rest: Sequence[Mapping[str, Any]] = [{"PutRequest": {"Item": i}} for i in batch.items]
        if isinstance(self._client, AwsClient):
            rest = [{"PutRequest": {"Item": _with_bytes(i)}} for i in batch.items]
        units, begun = 0.0, self._clock.monotonic()
        while rest and self._failed is None:
            answer = self._sent(rest, begun)
            left = (answer.get("UnprocessedItems") or {}).get(self._schema.name) or []
            units += self._spend(answer, batch, len(rest) - len(left))
            if len(left) < len(rest):
                begun = self._clock.monotonic()
            elif self._clock.monotonic() - begun > STALLED_S:
                raise ThrottledError(
                    f"The table '{self._schema.name}' has taken no item for "
                    f"{STALLED_S / 60:.0f} minutes: it is throttled.",
                    "Give it more write capacity, then run the same command again.",
                    reasons=(),
                )
            if left:
                self._budget.throttled()
            rest = left
        if not rest:
            self._tell(Amount(len(batch.items), batch.bytes, units))

    def _sent(self, requests: Sequence[Mapping[str, Any]], begun: float) -> dict[str, Any]:
        arguments: dict[str, Any] = {"RequestItems": {self._schema.name: requests}}
        if self._metered:
            arguments["ReturnConsumedCapacity"] = "TOTAL"
        return self._patience(partial(self._client.batch_write_item, **arguments), begun)

    def _spend(self, answer: Mapping[str, Any], batch: _Batch, written: int) -> float:
        if self._metered:
            consumed = answer.get("ConsumedCapacity") or ()
            units = float(sum(table["CapacityUnits"] for table in consumed))
        else:
            units = batch.units * written / len(batch.items)
        self._budget.spend(units)
        return units

    def _tell(self, amount: Amount) -> None:
        with self._lock:
            self.written += amount
        self._observe(amount)


def _with_bytes(value: Any) -> Any:
    """As botocore takes it: binary as bytes, where lines of a backup have base64."""
    if isinstance(value, list):
        return [_with_bytes(member) for member in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((kind, held),) = value.items()
        if kind == "B" and isinstance(held, str):
            return {kind: base64.b64decode(held)}
        if kind == "BS" and isinstance(held, list):
            return {kind: [base64.b64decode(m) if isinstance(m, str) else m for m in held]}
    return {name: _with_bytes(member) for name, member in value.items()}
