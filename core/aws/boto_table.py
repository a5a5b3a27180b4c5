"""The adapter that speaks to a real endpoint; see `core.aws.table` for the interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.aws import capacity
from core.aws.capacity import NOTHING, Consumed, TableSchema
from core.aws.codec import Item, Value, WireItem, decode_item, encode_item
from core.aws.requests import (
    Change,
    Condition,
    Expression,
    Key,
    Query,
    Write,
    absent,
    change_words,
    query_arguments,
)
from core.aws.session import AwsClient, AwsSession
from core.aws.table import (
    BATCH_GET_KEYS,
    BATCH_WRITE_ITEMS,
    Got,
    Page,
    PutNew,
    Table,
    Written,
    batches,
    pick,
)
from core.aws.wire import WireClient
from core.clock import SYSTEM_CLOCK, Clock, Random, system_random
from core.errors import ConditionFailedError, NotFoundError, ThrottledError

BATCH_TRIES = 10
_BACKOFF_BASE_S = 0.05
_BACKOFF_MAX_S = 3.0


def open_table(session: AwsSession, schema: TableSchema, clock: Clock = SYSTEM_CLOCK) -> Table:
    """The table of this schema at the session's target."""
    return BotoTable(
        session.dynamodb(),
        schema,
        session.where,
        metered=session.endpoint_url is None,
        clock=clock,
    )


class BotoTable:
    """A table at an AWS endpoint.

    `metered` says that the endpoint's own consumption figures are real: then they are reported.
    Otherwise what DynamoDB would charge is computed; for that whole items are read and projected
    here, since a projection does not change what a read costs.
    """

    def __init__(
        self,
        client: AwsClient | WireClient,
        schema: TableSchema,
        where: str = "the endpoint",
        *,
        metered: bool = True,
        clock: Clock = SYSTEM_CLOCK,
        rng: Random | None = None,
    ) -> None:
        self._client = client
        self._schema = schema
        self._where = where
        self._metered = metered
        self._clock = clock
        self._rng = rng or system_random()

    @property
    def schema(self) -> TableSchema:
        """Name, keys and indexes."""
        return self._schema

    def put(self, item: Item, condition: Condition | None = None) -> Written:
        """Writes an item over whatever has its key."""
        wire = encode_item(item)
        answer = self._call(
            "put_item", Item=wire, ReturnValues="ALL_OLD", **_conditional(condition)
        )
        return self._written(answer, lambda _: wire)

    def put_new(self, item: Item) -> PutNew:
        """Writes an item unless there is one with its key."""
        wire = encode_item(item)
        try:
            answer = self._call(
                "put_item",
                Item=wire,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **_conditional(absent(self._schema.hash_key)),
            )
        except ConditionFailedError as error:
            return self._taken(pick(item, self._schema.keys), error)
        return PutNew(True, None, self._write_cost(answer, None, wire))

    def get(self, key: Key, *, consistent: bool = False) -> Got:
        """The item with this key."""
        answer = self._call("get_item", Key=encode_item(key), ConsistentRead=consistent)
        wire = answer.get("Item")
        size = capacity.item_size(wire) if wire else None
        units = capacity.get_units(size, consistent=consistent)
        consumed = self._read_cost(answer, units, size or 0)
        return Got(decode_item(wire) if wire else None, consumed)

    def query(self, query: Query, start: Key | None = None) -> Page:
        """One page of a partition."""
        arguments = self._query_arguments(query)
        if start:
            arguments["ExclusiveStartKey"] = encode_item(start)
        answer = self._call("query", **arguments)
        sizes = [capacity.item_size(item) for item in answer["Items"]]
        units = capacity.page_units(sizes, consistent=query.consistent)
        items = [pick(item, query.attributes) for item in answer["Items"]]
        last = answer.get("LastEvaluatedKey")
        return Page(
            tuple(map(decode_item, items)),
            decode_item(last) if last else None,
            self._read_cost(answer, units, sum(map(capacity.item_size, items))),
        )

    def batch_get(
        self, keys: Sequence[Key], *, attributes: Sequence[str] = (), consistent: bool = False
    ) -> Page:
        """The items that exist of these keys."""
        found: list[dict[str, Value]] = []
        consumed = NOTHING
        for some in batches(keys, BATCH_GET_KEYS):
            wire = [encode_item(key) for key in some]
            items, cost = self._batch_get(wire, attributes, consistent=consistent)
            found.extend(items)
            consumed += cost
        return Page(tuple(found), None, consumed)

    def batch_write(self, puts: Sequence[Item], deletes: Sequence[Key] = ()) -> Consumed:
        """Writes and deletes any number of items."""
        requests = [{"PutRequest": {"Item": encode_item(item)}} for item in puts]
        requests += [{"DeleteRequest": {"Key": encode_item(key)}} for key in deletes]
        consumed = NOTHING
        for some in batches(requests, BATCH_WRITE_ITEMS):
            consumed += self._batch_write(some)
        return consumed

    def update(self, key: Key, change: Change, condition: Condition | None = None) -> Written:
        """Changes one item, or makes it."""
        words = Expression()
        arguments: dict[str, Any] = {"UpdateExpression": change_words(change, words)}
        if condition:
            arguments["ConditionExpression"] = words.condition(condition)
        answer = self._call(
            "update_item",
            Key=encode_item(key),
            ReturnValues="ALL_OLD",
            **arguments,
            **words.arguments(),
        )
        return self._written(answer, lambda before: encode_item(change.applied(key, before)))

    def delete(self, key: Key, condition: Condition | None = None) -> Written:
        """Deletes one item."""
        answer = self._call(
            "delete_item",
            Key=encode_item(key),
            ReturnValues="ALL_OLD",
            **_conditional(condition),
        )
        return self._written(answer, lambda _: None)

    def transact(self, writes: Sequence[Write]) -> Consumed:
        """Up to 100 writes, all or none; computed as if each item were new."""
        answer = self._send(
            "transact_write_items",
            TransactItems=[self._transact_item(write) for write in writes],
            ReturnConsumedCapacity="INDEXES" if self._metered else "NONE",
        )
        if self._metered:
            return _service_figure(answer, writing=True)
        parts = [
            capacity.written(
                None, encode_item(w.item) if w.item else None, self._schema, transactional=True
            )
            for w in writes
        ]
        total = capacity.side_by_side(parts)
        return Consumed(total.read_units, total.write_units, total.index_write_units, 1, 1)

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        if self._metered:
            arguments["ReturnConsumedCapacity"] = "INDEXES"
        return self._send(operation, TableName=self._schema.name, **arguments)

    def _send(self, operation: str, **arguments: Any) -> dict[str, Any]:
        call: Callable[..., dict[str, Any]] = getattr(self._client, operation)
        try:
            return call(**arguments)
        except NotFoundError as error:
            raise NotFoundError(
                f"No conversation memory is deployed here: there is no table '{self._schema.name}' "
                f"at {self._where}.",
                "Deploy it: `ialctl start`.",
                code=error.code,
                status=error.status,
                table=self._schema.name,
            ) from error

    def _taken(self, key: Key, error: ConditionFailedError) -> PutNew:
        response = getattr(error.__cause__, "response", {})
        wire = response.get("Item")
        if wire is None:  # an endpoint that does not return what stands there
            got = self.get(key, consistent=True)
            cost = capacity.refused(encode_item(got.item) if got.item else None)
            return PutNew(False, got.item, cost + got.consumed)
        return PutNew(False, decode_item(wire), capacity.refused(wire))

    def _query_arguments(self, query: Query) -> dict[str, Any]:
        index = self._schema.index(query.index) if query.index else self._schema
        arguments = query_arguments(query, index.hash_key, index.range_key)
        if not self._metered and "ProjectionExpression" in arguments:
            whole = Query(**{**vars(query), "attributes": ()})
            return query_arguments(whole, index.hash_key, index.range_key)
        return arguments

    def _written(
        self,
        answer: Mapping[str, Any],
        after_of: Callable[[dict[str, Value] | None], WireItem | None],
    ) -> Written:
        wire = answer.get("Attributes") or None
        before = decode_item(wire) if wire else None
        after = after_of(before)
        consumed = self._write_cost(answer, wire, after)
        return Written(before, decode_item(after) if after else None, consumed)

    def _write_cost(
        self, answer: Mapping[str, Any], before: WireItem | None, after: WireItem | None
    ) -> Consumed:
        if self._metered:
            sent = capacity.item_size(after) if after else 0
            return _service_figure(answer, writing=True, size=sent)
        return capacity.written(before, after, self._schema)

    def _read_cost(self, answer: Mapping[str, Any], units: float, size: int) -> Consumed:
        if self._metered:
            return _service_figure(answer, writing=False, size=size)
        return Consumed(read_units=units, requests=1, rounds=1, bytes=size)

    def _batch_get(
        self, keys: list[dict[str, Any]], attributes: Sequence[str], *, consistent: bool
    ) -> tuple[list[dict[str, Value]], Consumed]:
        name = self._schema.name
        request: dict[str, Any] = {"Keys": keys, "ConsistentRead": consistent}
        if attributes and self._metered:
            words = Expression()
            request["ProjectionExpression"] = words.projection(attributes)
            request |= words.arguments()
        found: list[dict[str, Value]] = []
        consumed = NOTHING
        for attempt in range(BATCH_TRIES):
            answer = self._send(
                "batch_get_item",
                RequestItems={name: request},
                ReturnConsumedCapacity="TOTAL" if self._metered else "NONE",
            )
            wires = answer.get("Responses", {}).get(name, [])
            left = answer.get("UnprocessedKeys", {}).get(name, {}).get("Keys", [])
            missing = len(request["Keys"]) - len(left) - len(wires)
            sizes = [*map(capacity.item_size, wires), *[None] * missing]
            picked = [pick(wire, attributes) for wire in wires]
            units = capacity.batch_get_units(sizes, consistent=consistent)
            consumed += self._read_cost(answer, units, sum(map(capacity.item_size, picked)))
            found.extend(map(decode_item, picked))
            if not left:
                return found, consumed
            request = {**request, "Keys": left}
            self._back_off(attempt)
        raise self._unprocessed(len(request["Keys"]))

    def _batch_write(self, requests: Sequence[Mapping[str, Any]]) -> Consumed:
        name = self._schema.name
        consumed = NOTHING
        for attempt in range(BATCH_TRIES):
            answer = self._send(
                "batch_write_item",
                RequestItems={name: requests},
                ReturnConsumedCapacity="INDEXES" if self._metered else "NONE",
            )
            left = answer.get("UnprocessedItems", {}).get(name, [])
            consumed += self._batch_cost(answer, requests, left)
            if not left:
                return consumed
            requests = left
            self._back_off(attempt)
        raise self._unprocessed(len(requests))

    def _batch_cost(
        self,
        answer: Mapping[str, Any],
        requests: Sequence[Mapping[str, Any]],
        left: Sequence[Mapping[str, Any]],
    ) -> Consumed:
        if self._metered:
            return _service_figure(answer, writing=True)
        done = [r.get("PutRequest", {}).get("Item") for r in requests if r not in left]
        parts = capacity.side_by_side(capacity.written(None, i, self._schema) for i in done)
        return Consumed(0.0, parts.write_units, parts.index_write_units, 1, 1, parts.bytes)

    def _back_off(self, attempt: int) -> None:
        ceiling = min(_BACKOFF_BASE_S * 2.0**attempt, _BACKOFF_MAX_S)
        self._clock.sleep(self._rng.uniform(0.0, ceiling))

    def _unprocessed(self, count: int) -> ThrottledError:
        return ThrottledError(
            f"{count} items of the table '{self._schema.name}' were still unprocessed after "
            f"{BATCH_TRIES} tries.",
            "Run it again later, or with fewer at once.",
            table=self._schema.name,
        )

    def _transact_item(self, write: Write) -> dict[str, Any]:
        body = {"TableName": self._schema.name, **_conditional(write.condition)}
        if write.kind == "put":
            return {"Put": {**body, "Item": encode_item(write.item or {})}}
        kind = "Delete" if write.kind == "delete" else "ConditionCheck"
        return {kind: {**body, "Key": encode_item(write.key or {})}}


def _conditional(condition: Condition | None) -> dict[str, Any]:
    if condition is None:
        return {}
    words = Expression()
    return {"ConditionExpression": words.condition(condition), **words.arguments()}


def _service_figure(answer: Mapping[str, Any], *, writing: bool, size: int = 0) -> Consumed:
    figures = answer.get("ConsumedCapacity") or []
    figures = figures if isinstance(figures, list) else [figures]
    units = sum(float(figure.get("CapacityUnits", 0.0)) for figure in figures)
    if not writing:
        return Consumed(read_units=units, requests=1, rounds=1, bytes=size)
    index = sum(
        float(index.get("CapacityUnits", 0.0))
        for figure in figures
        for index in figure.get("GlobalSecondaryIndexes", {}).values()
    )
    return Consumed(0.0, units, index, 1, 1, size)
