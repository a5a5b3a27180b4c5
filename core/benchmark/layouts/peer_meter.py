"""What a foreign library's boto3 calls come to, listened to from botocore's own events."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from core.aws import capacity
from core.aws.capacity import NOTHING, Consumed
from core.aws.codec import WireItem
from core.benchmark.layouts.exchanges import Waited, covered
from core.clock import Clock


class NoModel:
    """A library that embeds nothing."""

    texts = 0
    calls = 0


class PeerMeter:
    """Counts requests and computes units by DynamoDB's rules. Thread-safe.

    An update is sized by its key and the values that it sets, which is exact where it sets all
    there is. Rounds are taken to be as many as requests, since nothing tells them apart.
    """

    def __init__(self, clock: Clock, delay_s: float = 0.0) -> None:
        """`delay_s` is waited before each request, as ours wait."""
        self._clock = clock
        self._delay_s = delay_s
        self._lock = threading.Lock()
        self._under_way = threading.local()
        self._spans: list[tuple[float, float]] = []
        self._spent = NOTHING
        self.no_model = NoModel()

    def listen(self, boto_session: Any) -> None:
        """Listens to every DynamoDB client that is made of a session from now on."""
        boto_session.events.register("before-call.dynamodb", self._begin)
        boto_session.events.register("after-call.dynamodb", self._end)

    def take(self) -> Waited:
        """What came since it was last asked."""
        with self._lock:
            spans, self._spans = self._spans, []
            self._spent = NOTHING
        return Waited(len(spans), covered(spans))

    def consumed(self) -> Consumed:
        """What was consumed since `take`."""
        with self._lock:
            return self._spent

    def _begin(self, model: Any, params: Mapping[str, Any], **_: Any) -> None:
        body = orjson.loads(params["body"])
        self._under_way.request = (model.name, body, self._clock.monotonic())
        self._clock.sleep(self._delay_s)

    def _end(self, parsed: Mapping[str, Any], **_: Any) -> None:
        operation, body, begin = self._under_way.request
        spent = cost(operation, body, parsed)
        with self._lock:
            self._spans.append((begin, self._clock.monotonic()))
            self._spent += spent


def cost(operation: str, body: Mapping[str, Any], answer: Mapping[str, Any]) -> Consumed:
    """What a request consumed by DynamoDB's rules; none of an operation that is not known."""
    if operation in ("Query", "Scan"):
        items = answer.get("Items", [])
        return capacity.page_read(items, consistent=body.get("ConsistentRead", False))
    if operation in ("GetItem", "BatchGetItem"):
        sizes = [capacity.item_size(item) for item in _read(answer)]
        tables = body.get("RequestItems", {}).values()
        strong = any(asked.get("ConsistentRead", False) for asked in (body, *tables))
        units = capacity.batch_get_units(sizes or [None], consistent=strong)
        return Consumed(read_units=units, requests=1, rounds=1, bytes=sum(sizes))
    twice = operation == "TransactWriteItems"
    units = sum(
        capacity.write_units(None, item, transactional=twice) for item in _written(operation, body)
    )
    sent = sum(capacity.item_size(item) for item in _written(operation, body))
    return Consumed(write_units=units, requests=1, rounds=1, bytes=sent)


def _read(answer: Mapping[str, Any]) -> Iterator[WireItem]:
    if "Item" in answer:
        yield answer["Item"]
    for items in answer.get("Responses", {}).values():
        yield from items


def _written(operation: str, body: Mapping[str, Any]) -> Iterator[WireItem]:
    if operation == "PutItem":
        yield body["Item"]
    elif operation == "UpdateItem":
        yield _updated(body)
    elif operation == "DeleteItem":
        yield body["Key"]
    elif operation == "BatchWriteItem":
        for requests in body["RequestItems"].values():
            for request in requests:
                yield request.get("PutRequest", {}).get("Item") or request["DeleteRequest"]["Key"]
    elif operation == "TransactWriteItems":
        for write in body["TransactItems"]:
            inner: Mapping[str, Any] = next(iter(write.values()))
            yield inner.get("Item") or _updated(inner)


def _updated(body: Mapping[str, Any]) -> WireItem:
    """The item of an update, as far as its words `name = :value` tell."""
    values = body.get("ExpressionAttributeValues", {})
    aliases = body.get("ExpressionAttributeNames", {})
    words = body.get("UpdateExpression", "").replace(",", " ").split()
    named = zip(words, words[1:], words[2:], strict=False)
    set_to = {aliases.get(name, name): values.get(to) for name, sign, to in named if sign == "="}
    return {**body["Key"], **{name: value for name, value in set_to.items() if value}}
