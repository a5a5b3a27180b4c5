"""Items put where nothing stands, many in one request.

BatchWriteItem knows no conditions, and a transaction costs twice. PartiQL's INSERT writes only
where there is no item of that key, 25 of them a request, each by itself and for the price of a
put. Where the target has no PartiQL, or does not allow it, each is a put with a condition.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

from core.aws.capacity import WRITE_UNIT_BYTES, TableSchema, all_index_units, item_size
from core.aws.codec import WireItem
from core.aws.session import AwsSession
from core.aws.table import batches
from core.clock import Clock
from core.errors import AccessDeniedError, AwsError, ConditionFailedError, ThrottledError
from core.transfer.budget import Budget
from core.transfer.patience import STALLED_S, Patience, Stop

STATEMENTS = 25
_STATEMENT_BYTES = 8192
_TAKEN = "DuplicateItem"
_BUSY = frozenset(
    (
        "InternalServerError",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "ThrottlingError",
        "TransactionConflict",
    )
)
_WITHOUT = frozenset(
    (
        "AccessDenied",
        "AccessDeniedException",
        "InvalidAction",
        "UnknownOperationException",
        "UnrecognizedClientException",
    )
)


class Inserter:
    """Inserts items into one table. Thread-safe."""

    def __init__(
        self,
        session: AwsSession,
        schema: TableSchema,
        budget: Budget,
        clock: Clock,
        pool: Executor,
        stop: Stop = lambda: False,
    ) -> None:
        """`pool` sends the requests of one call side by side."""
        self._statements = session.bulk_dynamodb()
        self._schema = schema
        self._budget = budget
        self._clock = clock
        self._pool = pool
        self._patience = Patience(schema.name, session.where, budget, clock, stop)
        self._metered = session.endpoint_url is None
        self._plain = threading.Event()

    def __call__(self, items: Sequence[WireItem]) -> list[WireItem]:
        """Inserts the items; answers those at whose key something stands already.

        A request that is tried again may find its own first try: then the item is among them.

        Raises:
            AwsError: one can't be written at all.
            ThrottledError: nothing could be written for ten minutes.
            InterruptedRunError: somebody asked to stop.
        """
        found = self._pool.map(self._insert, batches(items, STATEMENTS))
        return [item for some in found for item in some]

    def _insert(self, items: Sequence[WireItem]) -> list[WireItem]:
        if self._plain.is_set():
            return self._put_each(items)
        long = [item for item in items if _is_long(self._schema.name, item)]
        short = [item for item in items if item not in long] if long else items
        try:
            return [*self._put_each(long), *self._state_each(short)]
        except (AccessDeniedError, AwsError) as error:
            # A refusal of the whole request, or of a statement in it.
            if isinstance(error, AwsError) and error.code not in _WITHOUT:
                raise
            self._plain.set()
            return self._put_each(items)

    def _state_each(self, items: Sequence[WireItem]) -> list[WireItem]:
        taken: list[WireItem] = []
        left, begun = list(items), self._clock.monotonic()
        while left:
            statements = [_statement(self._schema.name, item) for item in left]
            asked: dict[str, Any] = {"Statements": statements}
            if self._metered:
                asked["ReturnConsumedCapacity"] = "TOTAL"
            send = partial(self._statements.batch_execute_statement, **asked)
            answer = self._patience(send, begun)
            outcome = [self._outcome(one) for one in answer["Responses"]]
            taken += [item for item, how in zip(left, outcome, strict=True) if how == "taken"]
            written = [item for item, how in zip(left, outcome, strict=True) if how == "written"]
            left = [item for item, how in zip(left, outcome, strict=True) if how == "busy"]
            self._spend(answer, written)
            if left:
                begun = self._hold_back(begun, progress=bool(written))
        return taken

    def _outcome(self, response: Mapping[str, Any]) -> str:
        error = response.get("Error")
        if error is None:
            return "written"
        code = str(error.get("Code"))
        if code == _TAKEN:
            return "taken"
        if code in _BUSY:
            return "busy"
        raise AwsError(
            f"An item can't be inserted into '{self._schema.name}': {error.get('Message', code)}",
            "See `ialctl status`, and the table's policy.",
            code=code,
            status=400,
        )

    def _hold_back(self, begun_s: float, *, progress: bool) -> float:
        if not progress and self._clock.monotonic() - begun_s > STALLED_S:
            raise ThrottledError(
                f"The table '{self._schema.name}' has taken no item for "
                f"{STALLED_S / 60:.0f} minutes: it is throttled.",
                "Give it more write capacity, then run the same command again.",
                reasons=(),
            )
        self._budget.throttled()
        return self._clock.monotonic() if progress else begun_s

    def _put_each(self, items: Sequence[WireItem]) -> list[WireItem]:
        return [item for item in items if not self._put(item)]

    def _put(self, item: WireItem) -> bool:
        condition = f"attribute_not_exists({self._schema.hash_key})"
        send: Callable[[], dict[str, Any]] = partial(
            self._statements.put_item,
            TableName=self._schema.name,
            Item=item,
            ConditionExpression=condition,
        )
        try:
            self._patience(send, self._clock.monotonic())
        except ConditionFailedError:
            return False
        self._budget.spend(self._units(item))
        return True

    def _spend(self, answer: Mapping[str, Any], written: Sequence[WireItem]) -> None:
        if self._metered:
            consumed = answer.get("ConsumedCapacity") or ()
            self._budget.spend(float(sum(table["CapacityUnits"] for table in consumed)))
        else:
            self._budget.spend(sum(map(self._units, written)))

    def _units(self, item: WireItem) -> float:
        own = -(-item_size(item) // WRITE_UNIT_BYTES)
        return own + all_index_units(None, item, self._schema)


def _statement(table: str, item: WireItem) -> dict[str, Any]:
    names = ", ".join(f"'{_quoted(name)}': ?" for name in item)
    return {
        "Statement": f'INSERT INTO "{table}" VALUE {{{names}}}',
        "Parameters": list(item.values()),
    }


def _is_long(table: str, item: WireItem) -> bool:
    """Whether a statement has no room for so many names: those of the item are all of it."""
    rough = sum(map(len, item)) * 4 + len(item) * 8 + len(table)
    return (
        rough > _STATEMENT_BYTES
        and len(_statement(table, item)["Statement"].encode()) > _STATEMENT_BYTES
    )


def _quoted(name: str) -> str:
    return name.replace("'", "''")
