"""Requests to a table as values, and how they are written for DynamoDB. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from core.aws.codec import Item, Value, encode

Key: TypeAlias = Mapping[str, Value]
"""The key attributes of one item; where a query goes on, those of the index too."""
Comparison: TypeAlias = Literal["=", "<>", "<", "<=", ">", ">="]


@dataclass(frozen=True)
class Test:
    """One thing that must hold of an item: `attribute` is absent, present, or compares so."""

    # pytest would take a class of this name for tests of its own.
    __test__ = False

    attribute: str
    operator: Literal["absent", "present"] | Comparison
    value: Value = None

    def holds(self, item: Item | None) -> bool:
        """Whether it holds of `item` (None: there is no such item)."""
        found = (item or {}).get(self.attribute, _MISSING)
        if self.operator in ("absent", "present"):
            return (found is _MISSING) == (self.operator == "absent")
        if found is _MISSING or not _comparable(found, self.value):
            return self.operator == "<>"
        return _compare(found, self.operator, self.value)


@dataclass(frozen=True)
class Condition:
    """All of the tests must hold, or with `any_of` one of them."""

    tests: tuple[Test, ...]
    any_of: bool = False

    def holds(self, item: Item | None) -> bool:
        """Whether it holds of `item` (None: there is no such item)."""
        results = (test.holds(item) for test in self.tests)
        return any(results) if self.any_of else all(results)


def absent(attribute: str) -> Condition:
    """The item has no such attribute; of a key attribute: there is no such item."""
    return Condition((Test(attribute, "absent"),))


def equals(attribute: str, value: Value) -> Condition:
    """The attribute has exactly this value."""
    return Condition((Test(attribute, "=", value),))


@dataclass(frozen=True)
class KeyRange:
    """Bounds of a range key, both included; None is open. `prefix` stands alone."""

    low: Value = None
    high: Value = None
    prefix: str | None = None

    def holds(self, value: Value) -> bool:
        """Whether a range key lies within."""
        if self.prefix is not None:
            return str(value).startswith(self.prefix)
        return (self.low is None or self.low <= value) and (self.high is None or value <= self.high)


@dataclass(frozen=True)
class Query:
    """One partition of a table or index, in the range key's order.

    `attributes` names what is returned (empty: all). `limit` bounds a page.
    """

    hash_value: Value
    range: KeyRange = field(default_factory=KeyRange)
    index: str | None = None
    ascending: bool = True
    limit: int | None = None
    attributes: tuple[str, ...] = ()
    consistent: bool = False


@dataclass(frozen=True)
class Change:
    """What an update does: attributes set, numbers added to, attributes removed."""

    set: Mapping[str, Value] = field(default_factory=dict)
    add: Mapping[str, int | float | Decimal] = field(default_factory=dict)
    remove: tuple[str, ...] = ()

    def applied(self, key: Key, item: Item | None) -> dict[str, Value]:
        """The item after the change; one that did not exist begins with its key."""
        after = {**(item or key), **self.set}
        for name, amount in self.add.items():
            after[name] = after.get(name, 0) + amount
        return {name: value for name, value in after.items() if name not in self.remove}


@dataclass(frozen=True)
class Write:
    """One write of a transaction: a put of `item`, or a delete or check of `key`."""

    kind: Literal["put", "delete", "check"]
    item: Item | None = None
    key: Key | None = None
    condition: Condition | None = None


class Expression:
    """Collects the names and values that expressions of one request refer to."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def name(self, attribute: str) -> str:
        """The placeholder of an attribute's name (any name may be a reserved word)."""
        for placeholder, known in self._names.items():
            if known == attribute:
                return placeholder
        placeholder = f"#n{len(self._names)}"
        self._names[placeholder] = attribute
        return placeholder

    def value(self, value: Value) -> str:
        """The placeholder of a value."""
        placeholder = f":v{len(self._values)}"
        self._values[placeholder] = encode(value)
        return placeholder

    def condition(self, condition: Condition) -> str:
        """A condition in DynamoDB's words."""
        joint = " OR " if condition.any_of else " AND "
        return joint.join(self._test(test) for test in condition.tests)

    def projection(self, attributes: Sequence[str]) -> str:
        """A list of attributes in DynamoDB's words."""
        return ", ".join(self.name(attribute) for attribute in attributes)

    def arguments(self) -> dict[str, Any]:
        """The request's arguments that hold the names and values."""
        found: dict[str, Any] = {}
        if self._names:
            found["ExpressionAttributeNames"] = self._names
        if self._values:
            found["ExpressionAttributeValues"] = self._values
        return found

    def _test(self, test: Test) -> str:
        name = self.name(test.attribute)
        if test.operator == "absent":
            return f"attribute_not_exists({name})"
        if test.operator == "present":
            return f"attribute_exists({name})"
        return f"{name} {test.operator} {self.value(test.value)}"


def query_arguments(query: Query, hash_key: str, range_key: str | None) -> dict[str, Any]:
    """A query as arguments of boto3, without the table's name and the projection."""
    words = Expression()
    condition = f"{words.name(hash_key)} = {words.value(query.hash_value)}"
    if range_key is not None:
        condition += _range_words(words, range_key, query.range)
    arguments: dict[str, Any] = {
        "KeyConditionExpression": condition,
        "ScanIndexForward": query.ascending,
        "ConsistentRead": query.consistent,
    }
    if query.index:
        arguments["IndexName"] = query.index
    if query.limit:
        arguments["Limit"] = query.limit
    if query.attributes:
        arguments["ProjectionExpression"] = words.projection(query.attributes)
    return arguments | words.arguments()


def _range_words(words: Expression, range_key: str, bounds: KeyRange) -> str:
    if bounds.prefix is not None:
        return f" AND begins_with({words.name(range_key)}, {words.value(bounds.prefix)})"
    if bounds.low is not None and bounds.high is not None:
        low, high = words.value(bounds.low), words.value(bounds.high)
        return f" AND {words.name(range_key)} BETWEEN {low} AND {high}"
    if bounds.low is not None:
        return f" AND {words.name(range_key)} >= {words.value(bounds.low)}"
    if bounds.high is not None:
        return f" AND {words.name(range_key)} <= {words.value(bounds.high)}"
    return ""


def change_words(change: Change, words: Expression) -> str:
    """An update expression."""
    clauses = []
    if change.set:
        pairs = (f"{words.name(n)} = {words.value(v)}" for n, v in change.set.items())
        clauses.append("SET " + ", ".join(pairs))
    if change.add:
        pairs = (f"{words.name(n)} {words.value(v)}" for n, v in change.add.items())
        clauses.append("ADD " + ", ".join(pairs))
    if change.remove:
        clauses.append("REMOVE " + words.projection(change.remove))
    return " ".join(clauses)


_MISSING = object()


def _comparable(found: Value, wanted: Value) -> bool:
    numbers = (int, float, Decimal)
    if isinstance(found, numbers) and isinstance(wanted, numbers):
        return isinstance(found, bool) == isinstance(wanted, bool)
    return type(found) is type(wanted)


def _compare(found: Value, operator: str, wanted: Value) -> bool:
    if operator == "=":
        return bool(found == wanted)
    if operator == "<>":
        return bool(found != wanted)
    if operator in ("<", "<="):
        return bool(found < wanted or (operator == "<=" and found == wanted))
    return bool(found > wanted or (operator == ">=" and found == wanted))
