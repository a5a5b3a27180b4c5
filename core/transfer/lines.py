"""Lines of DynamoDB's export format: written, read with every doubt settled, and compared.

Source: Amazon DynamoDB Developer Guide, "DynamoDB table export output format". A line holds one
item in DynamoDB's own JSON, numbers as text, binary as base64; an incremental export's line holds
the keys and the images before and after.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from core.aws.capacity import item_size
from core.aws.codec import WireItem
from core.errors import BadLineError
from core.transfer.canonical import (
    canonical_binary,
    canonical_item,
    canonical_number,
    joined_numbers,
)

MAX_LINE_BYTES = 8 * 1024 * 1024
MAX_ITEM_BYTES = 400 * 1024
MAX_NESTING = 32
DIGEST_BYTES = 16
_KEY_BYTES = (2048, 1024)
# No item is larger than its line: only a line of more than this can hold one that is too large.
_LARGE_LINE_BYTES = 400_000


@dataclass(frozen=True)
class Keys:
    """A table's key attributes: each name with its type (S, N or B), the hash key first."""

    attributes: tuple[tuple[str, str], ...]

    def of(self, item: WireItem) -> WireItem:
        """The key of an item that has one."""
        return {name: item[name] for name, _ in self.attributes}


@dataclass(frozen=True)
class Change:
    """What became of one key; an image that is None did not exist, or was not exported."""

    keys: WireItem
    old: WireItem | None
    new: WireItem | None
    written_us: int


def item_line(item: WireItem) -> bytes:
    """An item as a line of a full export; binary may be bytes or base64 text."""
    return b'{"Item":' + orjson.dumps(item, default=_base64) + b"}\n"


def change_line(change: Change) -> bytes:
    """A change as a line of an incremental export."""
    line: dict[str, Any] = {
        "Metadata": {"WriteTimestampMicros": {"N": str(change.written_us)}},
        "Keys": change.keys,
    }
    if change.old is not None:
        line["OldImage"] = change.old
    if change.new is not None:
        line["NewImage"] = change.new
    return orjson.dumps(line, default=_base64, option=orjson.OPT_APPEND_NEWLINE)


def parse_item(line: bytes, keys: Keys | None) -> WireItem:
    """The item of a full export's line, with everything checked that a table would refuse.

    Args:
        line: with or without its line feed.
        keys: the table's, where they are known.

    Raises:
        BadLineError: says what is wrong with the line.
    """
    found = _object(line)
    if len(found) != 1 or "Item" not in found:
        raise BadLineError('it is not {"Item": …}')
    item = _checked_item(found["Item"], keys)
    _refuse_doubled_names(line, found)
    if len(line) > _LARGE_LINE_BYTES:
        _refuse_large(item)
    return item


def parse_change(line: bytes, keys: Keys | None) -> Change:
    """The change of an incremental export's line, checked as an item's is.

    Raises:
        BadLineError: says what is wrong with the line.
    """
    found = _object(line)
    unknown = found.keys() - {"Metadata", "Keys", "OldImage", "NewImage"}
    if unknown or "Metadata" not in found or "Keys" not in found:
        raise BadLineError("it is not the line of a change, with Metadata, Keys and images")
    key = _checked_item(found["Keys"], keys)
    if not 1 <= len(key) <= 2 or (keys is not None and len(key) != len(keys.attributes)):
        raise BadLineError("its Keys are not the table's key attributes")
    old, new = (_image(found, name, key, keys) for name in ("OldImage", "NewImage"))
    written_us = _written_us(found["Metadata"])
    _refuse_doubled_names(line, found)
    if len(line) > _LARGE_LINE_BYTES:
        _refuse_large(old)
        _refuse_large(new)
    return Change(key, old, new, written_us)


def item_digest(item: WireItem) -> bytes:
    """16 bytes that are the same for equal items, however they are written.

    The order of attributes and of a set's members, the spelling of numbers ("1.0" is "1") and of
    base64 make no difference. The item is a valid one.
    """
    text = orjson.dumps(canonical_item(item), option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=DIGEST_BYTES).digest()


def key_digest(key: WireItem) -> bytes:
    """16 bytes that are the same for equal keys; `key` holds the key attributes alone."""
    return item_digest(key)


def _base64(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return binascii.b2a_base64(value, newline=False).decode()
    raise TypeError(f"{type(value).__name__} is no value of DynamoDB's")


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise BadLineError(f"it is longer than {MAX_LINE_BYTES // 1024 // 1024} MiB")
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadLineError(f"it is not JSON ({error.msg})") from error
    if type(found) is not dict:
        raise BadLineError("it is not a JSON object")
    return found


def _image(line: Mapping[str, Any], name: str, key: WireItem, keys: Keys | None) -> WireItem | None:
    if name not in line:
        return None
    image = _checked_item(line[name], keys)
    own = {attribute: image[attribute] for attribute in key if attribute in image}
    # Mostly written alike; only where they are not, the spelling has to be looked through.
    if own != key and (len(own) < len(key) or key_digest(own) != key_digest(key)):
        raise BadLineError(f"the key in its {name} is not its Keys")
    return image


def _written_us(metadata: object) -> int:
    found = metadata.get("WriteTimestampMicros") if type(metadata) is dict else None
    text = found.get("N") if type(found) is dict else None
    if type(text) is not str or not re.fullmatch(r"[0-9]{1,18}", text):
        raise BadLineError("its Metadata names no WriteTimestampMicros")
    return int(text)


def _checked_item(item: object, keys: Keys | None) -> WireItem:
    if type(item) is not dict or not item:
        raise BadLineError("it holds no item")
    for name, value in item.items():
        try:
            _check(value, 0)
        except BadLineError as error:
            raise BadLineError(f"the attribute {name[:80]!r} {error.what}") from None
    if keys is not None:
        for position, (name, kind) in enumerate(keys.attributes):
            _check_key(item.get(name), name, kind, _KEY_BYTES[position])
    return item


def _check_key(value: Mapping[str, Any] | None, name: str, kind: str, most_bytes: int) -> None:
    if value is None:
        raise BadLineError(f"the key attribute {name!r} is missing")
    held = value.get(kind)
    if held is None:
        raise BadLineError(f"the key attribute {name!r} is of type {next(iter(value))}, not {kind}")
    if not held:
        raise BadLineError(f"the key attribute {name!r} is empty")
    if kind != "N" and len(held) * 4 > most_bytes and item_size({"": value}) > most_bytes:
        raise BadLineError(f"the key attribute {name!r} is longer than {most_bytes} bytes")


def _refuse_large(item: WireItem | None) -> None:
    if item is not None and item_size(item) > MAX_ITEM_BYTES:
        raise BadLineError("its item is larger than 400 KB")


def _refuse_doubled_names(line: bytes, found: Mapping[str, Any]) -> None:
    # orjson keeps the last of doubled names. It writes the shortest JSON there is, so a line of
    # that very length has lost nothing; any other is looked through by a slower parser.
    if len(orjson.dumps(found)) != len(line) - line.endswith(b"\n"):
        json.loads(line, object_pairs_hook=_distinct)


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise BadLineError("a name stands twice in one of its objects")


def _check(value: object, depth: int) -> None:
    if type(value) is not dict or len(value) != 1:
        raise BadLineError("is not one value with its type")
    for kind, held in value.items():
        check = _CHECKS.get(kind)
        if check is None:
            raise BadLineError(f"has the unknown type {kind[:20]!r}")
        check(held, depth)


def _check_text(held: object, _: int) -> None:
    if type(held) is not str:
        raise BadLineError("is text (S) that is no string")


def _check_number(held: object, _: int) -> None:
    if type(held) is not str:
        raise BadLineError("is a number (N) that does not stand in quotes")
    if canonical_number(held) is None:
        raise BadLineError(f"is {held[:60]!r}, which is no number of DynamoDB's (38 digits)")


def _check_binary(held: object, _: int) -> None:
    try:
        if type(held) is str:
            binascii.a2b_base64(held, strict_mode=True)
            return
    except ValueError:  # binascii.Error, and characters that are not ASCII
        pass
    raise BadLineError("is binary (B) that is not base64")


def _check_truth(held: object, _: int) -> None:
    if type(held) is not bool:
        raise BadLineError("is BOOL, but neither true nor false")


def _check_null(held: object, _: int) -> None:
    # DynamoDB takes no other, so a restore would fail half-way at it.
    if held is not True:
        raise BadLineError("is NULL, but not true")


def _check_list(held: object, depth: int) -> None:
    if type(held) is not list:
        raise BadLineError("is a list (L) that is no array")
    _check_depth(depth)
    if joined_numbers(held) is None:
        for member in held:
            _check(member, depth + 1)


def _check_map(held: object, depth: int) -> None:
    if type(held) is not dict:
        raise BadLineError("is a map (M) that is no object")
    _check_depth(depth)
    for member in held.values():
        _check(member, depth + 1)


def _check_depth(depth: int) -> None:
    if depth >= MAX_NESTING:
        raise BadLineError(f"is nested deeper than {MAX_NESTING} levels")


def _set_check(
    check: Callable[[object, int], None], canonical: Callable[[str], str | None]
) -> Callable[[object, int], None]:
    def run(held: object, depth: int) -> None:
        if type(held) is not list or not held:
            raise BadLineError("is a set that is empty or no array")
        for member in held:
            check(member, depth)
        if not _all_distinct(held, canonical):
            raise BadLineError("is a set with a member that stands twice")

    return run


def _all_distinct(members: Sequence[str], canonical: Callable[[str], str | None]) -> bool:
    return len({canonical(member) for member in members}) == len(members)


_CHECKS: Mapping[str, Callable[[object, int], None]] = {
    "S": _check_text,
    "N": _check_number,
    "B": _check_binary,
    "BOOL": _check_truth,
    "NULL": _check_null,
    "L": _check_list,
    "M": _check_map,
    "SS": _set_check(_check_text, str),
    "NS": _set_check(_check_number, canonical_number),
    "BS": _set_check(_check_binary, canonical_binary),
}
