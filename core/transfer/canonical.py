"""One spelling for equal values: of numbers, of base64, of sets. Pure, and quick."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

from core.aws.codec import WireItem

_MAX_DIGITS = 38
_MAX_EXPONENT = 125
_MIN_EXPONENT = -130
# Plain decimals reach this far behind the point; smaller numbers are written with an exponent.
_MOST_PLACES = 60
# Spellings that are canonical as they stand: what DynamoDB itself gives nearly always.
_CANONICAL = r"(?:-?(?:0|[1-9][0-9]{0,17})\.[0-9]{0,19}[1-9]|-?[1-9][0-9]{0,37}|0)"
_CANONICAL_NUMBER = re.compile(_CANONICAL)
_CANONICAL_NUMBERS = re.compile(rf"(?:{_CANONICAL},)*")
_NUMBER = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,9}))?")
# What the last character before the padding may be if its unused bits are zero.
_LAST_OF_PADDED = {"==": frozenset("AQgw"), "=": frozenset("AEIMQUYcgkosw048")}


def canonical_number(text: str) -> str | None:
    """The one spelling of a number; None where DynamoDB has no such number."""
    if _CANONICAL_NUMBER.fullmatch(text):
        return text
    match = _NUMBER.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        return None
    sign, whole, places, exponent = match[1], match[2], match[3] or "", int(match[4] or 0)
    digits = (whole + places).lstrip("0")
    if not digits:
        return "0"
    significant = digits.rstrip("0")
    power = exponent - len(places) + len(digits) - len(significant)
    adjusted = power + len(significant) - 1
    if len(significant) > _MAX_DIGITS or not _MIN_EXPONENT <= adjusted <= _MAX_EXPONENT:
        return None
    return ("-" if sign == "-" else "") + _spelled(significant, power)


def _spelled(digits: str, power: int) -> str:
    if power >= 0:
        plain = digits + "0" * power
        return plain if len(plain) <= _MAX_DIGITS else f"{digits}E{power}"
    if -power > _MOST_PLACES:
        return f"{digits}E{power}"
    if len(digits) > -power:
        return f"{digits[:power]}.{digits[power:]}"
    return "0." + digits.rjust(-power, "0")


def joined_numbers(members: Sequence[Any]) -> str | None:
    """The numbers of a list, each with a comma, if it holds only numbers in canonical spelling.

    Embeddings are lists of hundreds of numbers: one look at all costs a tenth of one at each.
    """
    try:
        texts = [member["N"] for member in members]
        joined = ",".join(texts) + ","
    except (KeyError, TypeError, IndexError):
        return None
    if not texts or joined.count(",") != len(texts) or set(map(len, members)) != {1}:
        return None
    return joined if _CANONICAL_NUMBERS.fullmatch(joined) else None


def canonical_binary(value: str | bytes) -> str:
    """The one base64 text of binary: the unused bits of its last character are zero."""
    if not isinstance(value, str):
        return binascii.b2a_base64(value, newline=False).decode()
    if not value.endswith("="):
        return value
    padding = "==" if value.endswith("==") else "="
    if value[-len(padding) - 1] in _LAST_OF_PADDED[padding]:
        return value
    return binascii.b2a_base64(binascii.a2b_base64(value), newline=False).decode()


def canonical_item(item: WireItem) -> dict[str, Any]:
    """An item whose values are all in their one spelling; names are not ordered."""
    return {name: _canonical(value) for name, value in item.items()}


def _canonical(value: Mapping[str, Any]) -> Mapping[str, Any]:
    for kind, held in value.items():
        make = _CANONICAL_OF.get(kind)
        if make is not None:
            return {kind: make(held)}
    return value


def _number(text: str) -> str:
    return canonical_number(text) or text


def _list(members: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
    if joined_numbers(members) is not None:
        return members
    return [_canonical(member) for member in members]


# Text, truth and NULL have one spelling anyway.
_CANONICAL_OF: Mapping[str, Any] = {
    "N": _number,
    "B": canonical_binary,
    "L": _list,
    "M": canonical_item,
    "SS": sorted,
    "NS": lambda members: sorted(map(_number, members)),
    "BS": lambda members: sorted(map(canonical_binary, members)),
}
