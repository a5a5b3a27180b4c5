"""Python values to DynamoDB's typed JSON and back.

Numbers: whole ones come back as int; others as float where a float holds exactly the digits that
are stored, as Decimal otherwise. So nothing that was stored loses a digit.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from core.errors import UsageError

Value: TypeAlias = Any
"""str, int, float, Decimal, bytes, bool, None, list, dict with str keys, or a set of one kind."""
Item: TypeAlias = Mapping[str, Value]
"""An item as Python values."""
WireValue: TypeAlias = Mapping[str, Any]
"""A value as DynamoDB writes it: `{"S": "x"}`."""
WireItem: TypeAlias = Mapping[str, WireValue]
"""An item as DynamoDB writes it."""

MAX_DIGITS = 38
_MAX_EXPONENT = 125
_MIN_EXPONENT = -130


def encode_item(item: Item) -> dict[str, dict[str, Any]]:
    """An item as DynamoDB takes it.

    Raises:
        UsageError: a value of a type or size that DynamoDB has no place for.
    """
    return {name: encode(value) for name, value in item.items()}


def decode_item(wire: WireItem) -> dict[str, Value]:
    """An item of DynamoDB's as Python values."""
    return {name: decode(value) for name, value in wire.items()}


def encode(value: Value) -> dict[str, Any]:
    """One value as DynamoDB takes it.

    Raises:
        UsageError: a value of a type or size that DynamoDB has no place for.
    """
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        encoder = next((e for kind, e in _ENCODERS.items() if isinstance(value, kind)), _refuse)
    return encoder(value)


def decode(wire: WireValue) -> Value:
    """One value of DynamoDB's as a Python value.

    Raises:
        UsageError: a type descriptor that DynamoDB does not have.
    """
    for kind, value in wire.items():
        decoder = _DECODERS.get(kind)
        if decoder is not None:
            return decoder(value)
    raise UsageError(f"{dict(wire)!r:.100} is not a DynamoDB value.", "Write `{type: value}`.")


def number_text(value: int | float | Decimal) -> str:
    """A number as DynamoDB takes it.

    Raises:
        UsageError: not finite, over 38 digits, or out of DynamoDB's range.
    """
    if isinstance(value, int):
        text = str(value)
        if len(text) <= MAX_DIGITS:
            return text
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"The number {value} can't be stored.", "DynamoDB has finite ones.")
    return _decimal_text(Decimal(repr(value)) if isinstance(value, float) else Decimal(value))


def _decimal_text(number: Decimal) -> str:
    if not number.is_finite():
        raise UsageError(f"The number {number} can't be stored.", "DynamoDB has finite ones only.")
    if number == 0:
        return "0"
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    if len(digits) > MAX_DIGITS or not _MIN_EXPONENT <= number.adjusted() <= _MAX_EXPONENT:
        raise UsageError(
            f"The number {number!s:.60} can't be stored.",
            f"DynamoDB holds {MAX_DIGITS} digits, from 1E{_MIN_EXPONENT} to 9.9E+{_MAX_EXPONENT}.",
        )
    return str(number)


def parse_number(text: str) -> int | float | Decimal:
    """The Python number that stands for DynamoDB's text, without loss."""
    if text.lstrip("-").isdecimal():
        return int(text)
    exact = Decimal(text)
    if exact == exact.to_integral_value() and exact.adjusted() < MAX_DIGITS:
        return int(exact)
    near = float(text)
    return near if Decimal(repr(near)) == exact else exact


def decode_binary(value: bytes | str) -> bytes:
    """Binary as boto3 gives it (bytes) or as DynamoDB writes it (base64 text)."""
    return base64.b64decode(value) if isinstance(value, str) else bytes(value)


def _encode_set(value: set[Any] | frozenset[Any]) -> dict[str, Any]:
    members = list(value)
    if members and all(isinstance(m, str) for m in members):
        return {"SS": sorted(members)}
    if members and all(isinstance(m, bytes) for m in members):
        return {"BS": sorted(members)}
    if members and all(
        isinstance(m, int | float | Decimal) and not isinstance(m, bool) for m in members
    ):
        return {"NS": sorted(map(number_text, members))}
    raise UsageError(
        "A set that is empty or of mixed kinds can't be stored.",
        "Store a list, or leave the attribute out.",
    )


def _refuse(value: object) -> dict[str, Any]:
    raise UsageError(
        f"A value of type {type(value).__name__} can't be stored.",
        "Store text, numbers, bytes, booleans, None, lists, dicts or sets of one kind.",
    )


def _encode_map(value: Mapping[str, Value]) -> dict[str, Any]:
    if not all(isinstance(name, str) for name in value):
        raise UsageError("A map with names that are not text can't be stored.", "Use text.")
    return {"M": encode_item(value)}


_ENCODERS: dict[type, Callable[[Any], dict[str, Any]]] = {
    str: lambda value: {"S": value},
    bool: lambda value: {"BOOL": value},  # before int, which it is a kind of
    int: lambda value: {"N": number_text(value)},
    float: lambda value: {"N": number_text(value)},
    Decimal: lambda value: {"N": number_text(value)},
    type(None): lambda value: {"NULL": value is None},
    bytes: lambda value: {"B": value},
    bytearray: lambda value: {"B": bytes(value)},
    list: lambda value: {"L": [encode(v) for v in value]},
    tuple: lambda value: {"L": [encode(v) for v in value]},
    set: _encode_set,
    frozenset: _encode_set,
    dict: _encode_map,
    Mapping: _encode_map,
}

_DECODERS: Mapping[str, Callable[[Any], Value]] = {
    "S": str,
    "N": parse_number,
    "B": decode_binary,
    "BOOL": bool,
    "NULL": lambda value: None if value else False,
    "L": lambda value: [decode(v) for v in value],
    "M": decode_item,
    "SS": frozenset,
    "NS": lambda value: frozenset(map(parse_number, value)),
    "BS": lambda value: frozenset(map(decode_binary, value)),
}
