"""Puts a simple KeyConditionExpression into DynamoDB's older `KeyConditions` form.

The emulator evaluates the expression anew for every item of a partition, but compares the older
form directly: the newest 20 of 10,000 items in 7 ms instead of 133 ms. Whatever is not plainly
simple and valid is left as it is, so that its errors stay the emulator's own.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

_NAME = r"(#?[A-Za-z0-9_]+)"
_VALUE = r"(:[A-Za-z0-9_]+)"
_EQUALS = re.compile(rf"\s*{_NAME}\s*(=|<=|<|>=|>)\s*{_VALUE}\s*")
_BETWEEN = re.compile(rf"\s*{_NAME}\s+BETWEEN\s+{_VALUE}\s+AND\s+{_VALUE}\s*", re.IGNORECASE)
_BEGINS = re.compile(rf"\s*begins_with\s*\(\s*{_NAME}\s*,\s*{_VALUE}\s*\)\s*")
_AND = re.compile(r"AND\b", re.IGNORECASE)
_OPERATORS = {"=": "EQ", "<": "LT", "<=": "LE", ">": "GT", ">=": "GE"}
_OTHER_EXPRESSIONS = ("FilterExpression", "ProjectionExpression")
_REFERENCE = re.compile(r"[#:][A-Za-z0-9_]+")


@dataclass(frozen=True)
class _Condition:
    name: str
    operator: str
    references: tuple[str, ...]


def hand_over(
    request: Mapping[str, Any], hashes: list[str], ranges: list[str], types: Mapping[str, str]
) -> dict[str, Any] | None:
    """The same Query with `KeyConditions`, or None where it is not simple enough.

    Args:
        request: a Query's parameters.
        hashes, ranges: names of the partition and sort keys of the table or index asked.
        types: attribute name → "S", "N" or "B".
    """
    expression = request.get("KeyConditionExpression")
    if not isinstance(expression, str) or "KeyConditions" in request or len(hashes) != 1:
        return None
    if len(ranges) > 1 or any(not isinstance(request.get(k, ""), str) for k in _OTHER_EXPRESSIONS):
        return None
    parsed = _parse(expression)
    resolved = _resolve(parsed, request, types) if parsed else None
    if resolved is None or not _fits(resolved, hashes[0], ranges):
        return None
    if not _start_key_fits(request.get("ExclusiveStartKey"), resolved):
        return None
    made = {k: v for k, v in request.items() if k != "KeyConditionExpression"}
    made["KeyConditions"] = {
        name: {"ComparisonOperator": operator, "AttributeValueList": values}
        for name, (operator, values) in resolved.items()
    }
    return made if _drop_references(made, expression) else None


def _parse(expression: str) -> list[_Condition] | None:
    conditions: list[_Condition] = []
    position = 0
    while True:
        match = (
            _BETWEEN.match(expression, position)
            or _BEGINS.match(expression, position)
            or _EQUALS.match(expression, position)
        )
        if match is None:
            return None
        conditions.append(_condition(match))
        position = match.end()
        if position == len(expression):
            return conditions
        joint = _AND.match(expression, position)
        if joint is None or len(conditions) == 2:
            return None
        position = joint.end()


def _condition(match: re.Match[str]) -> _Condition:
    if match.re is _BETWEEN:
        return _Condition(match[1], "BETWEEN", (match[2], match[3]))
    if match.re is _BEGINS:
        return _Condition(match[1], "BEGINS_WITH", (match[2],))
    return _Condition(match[1], _OPERATORS[match[2]], (match[3],))


_Resolved = dict[str, tuple[str, list[dict[str, str]]]]


def _resolve(
    parsed: list[_Condition], request: Mapping[str, Any], types: Mapping[str, str]
) -> _Resolved | None:
    names = request.get("ExpressionAttributeNames") or {}
    values = request.get("ExpressionAttributeValues") or {}
    if not isinstance(names, dict) or not isinstance(values, dict):
        return None
    resolved: _Resolved = {}
    for condition in parsed:
        name = names.get(condition.name) if condition.name[0] == "#" else condition.name
        operands = [values.get(reference) for reference in condition.references]
        if not isinstance(name, str) or name in resolved:
            return None
        if not all(_is_plain(operand, types.get(name)) for operand in operands):
            return None
        if condition.operator == "BEGINS_WITH" and types[name] != "S":
            return None
        resolved[name] = (condition.operator, operands)  # type: ignore[assignment]  # checked by _is_plain
    return resolved


def _fits(resolved: _Resolved, hash_name: str, ranges: list[str]) -> bool:
    if resolved.get(hash_name, ("", []))[0] != "EQ":
        return False
    for name, (operator, values) in resolved.items():
        if name != hash_name and name not in ranges:
            return False
        if operator == "BETWEEN" and comparable(values[0]) > comparable(values[1]):
            return False
    return True


def _is_plain(value: object, expected: str | None) -> bool:
    """A non-empty value of the key's own type."""
    if not isinstance(value, dict) or list(value) != [expected]:
        return False
    text = value[expected]
    if not isinstance(text, str) or not text:
        return False
    try:
        return comparable(value) is not None
    except (InvalidOperation, binascii.Error, ValueError):
        return False


def comparable(value: Mapping[str, str]) -> Any:
    """A key value as Python compares it: bytes for S and B, a Decimal for N.

    Raises:
        ValueError, ArithmeticError: it is no such value.
    """
    (kind, text), *_ = value.items()
    if kind == "N":
        number = Decimal(text)
        if not number.is_finite():
            raise ValueError(text)
        return number
    return text.encode() if kind == "S" else base64.b64decode(text, validate=True)


def _start_key_fits(start: object, resolved: _Resolved) -> bool:
    """False where the start key breaks a condition: the emulator refuses that in its own words."""
    if start is None:
        return True
    if not isinstance(start, dict):
        return False
    return all(_meets(start.get(name), *condition) for name, condition in resolved.items())


def _meets(value: object, operator: str, operands: list[dict[str, str]]) -> bool:
    if not _is_plain(value, next(iter(operands[0]))):
        return False
    left, right = comparable(value), comparable(operands[0])  # type: ignore[arg-type]  # checked by _is_plain
    if operator == "BEGINS_WITH":
        return bool(left.startswith(right))
    if operator == "BETWEEN":
        return bool(right <= left <= comparable(operands[1]))
    return bool(
        {
            "EQ": left == right,
            "LT": left < right,
            "LE": left <= right,
            "GT": left > right,
            "GE": left >= right,
        }[operator]
    )


def _drop_references(request: dict[str, Any], expression: str) -> bool:
    """Takes away what only the key condition used; False where something is used by nothing."""
    elsewhere = {r for key in _OTHER_EXPRESSIONS for r in _REFERENCE.findall(request.get(key, ""))}
    used = set(_REFERENCE.findall(expression))
    for key in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
        given = request.pop(key, None) or {}
        if not used.union(elsewhere).issuperset(given):
            return False
        kept = {k: v for k, v in given.items() if k in elsewhere}
        if kept:
            request[key] = kept
    return True
