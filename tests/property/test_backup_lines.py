"""Lines of a backup: every item goes through them whole, and what is not an item never does."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.aws.capacity import item_size, number_size
from core.errors import BadLineError
from core.transfer.canonical import canonical_number
from core.transfer.lines import (
    Change,
    Keys,
    change_line,
    item_digest,
    item_line,
    key_digest,
    parse_change,
    parse_item,
)
from tests.backups import KEYS, numbers, values, wire_items


@given(wire_items())
def test_items_round_trip(item: dict[str, Any]) -> None:
    """What is written as a line is read as the same item, by us and by any JSON parser."""
    line = item_line(item)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert parse_item(line, KEYS) == item
    assert json.loads(line) == {"Item": item}


@given(wire_items(), st.booleans())
def test_spaces_and_escapes_change_nothing(item: dict[str, Any], escaped: bool) -> None:
    """A line that another writer spelled differently is the same item."""
    line = json.dumps({"Item": item}, ensure_ascii=escaped, indent=None).encode()
    assert parse_item(line, KEYS) == item


@given(wire_items(), wire_items(), st.integers(0, 10**17))
def test_changes_round_trip(old: dict[str, Any], new: dict[str, Any], at: int) -> None:
    """A change is read as it was written, whichever images it has."""
    new = {**new, **KEYS.of(old)}
    for before, after in ((old, new), (None, new), (old, None), (None, None)):
        change = Change(KEYS.of(old), before, after, at)
        assert parse_change(change_line(change), KEYS) == change


@given(wire_items(), st.randoms(use_true_random=False))
def test_the_digest_is_of_the_item_not_of_its_spelling(item: dict[str, Any], rng: Any) -> None:
    """Order of names and members, numbers' and base64's spelling make no difference."""
    assert item_digest(respelled(item, rng)) == item_digest(item)
    assert key_digest(KEYS.of(respelled(item, rng))) == key_digest(KEYS.of(item))


@given(wire_items(), values)
def test_the_digest_tells_values_apart(item: dict[str, Any], value: dict[str, Any]) -> None:
    """One attribute more is another item."""
    changed = {**item, "one more": value}
    assert item_digest(changed) != item_digest(item)


@given(numbers)
def test_a_number_s_one_spelling_is_equal_and_final(text: str) -> None:
    """The canonical spelling is the same number, and its own canonical spelling."""
    found = canonical_number(text)
    assert found is not None
    assert Decimal(found) == Decimal(text)
    assert canonical_number(found) == found
    assert canonical_number(f"{Decimal(text):e}") == found


@given(numbers)
def test_the_size_of_a_number_is_that_of_its_digits(text: str) -> None:
    """Half the significant digits and one, one more below zero, as decimal arithmetic says."""
    digits = "".join(map(str, Decimal(text).as_tuple().digits)).strip("0")
    assert number_size(text) == -(-len(digits) // 2) + 1 + text.startswith("-")


@given(st.lists(numbers, max_size=30), values)
def test_a_list_s_size_is_that_of_its_members(texts: list[str], other: dict[str, Any]) -> None:
    """Numbers added up together take what they take one by one."""
    members = [{"N": text} for text in texts]
    expected = 3 + sum(1 + number_size(text) for text in texts)
    assert item_size({"": {"L": members}}) == expected
    mixed = item_size({"": {"L": [*members, other]}})
    assert mixed == expected + 1 + item_size({"": other})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"{}", "Item"),
        (b'{"Item":{},"x":1}', "Item"),
        (b'{"Item":{}}', "no item"),
        (b'{"Item":{"a":{"S":"\xff"}}}', "not JSON"),
        (b'{"Item":{"a":{"S":"x","N":"1"}}}', "not one value"),
        (b'{"Item":{"a":{}}}', "not one value"),
        (b'{"Item":{"a":"x"}}', "not one value"),
        (b'{"Item":{"a":{"X":"x"}}}', "unknown type"),
        (b'{"Item":{"a":{"S":1}}}', "no string"),
        (b'{"Item":{"a":{"N":1}}}', "quotes"),
        (b'{"Item":{"a":{"N":"NaN"}}}', "no number"),
        (b'{"Item":{"a":{"N":""}}}', "no number"),
        (b'{"Item":{"a":{"N":"."}}}', "no number"),
        (b'{"Item":{"a":{"N":" 1"}}}', "no number"),
        (b'{"Item":{"a":{"N":"1E126"}}}', "no number"),
        (b'{"Item":{"a":{"N":"1E-131"}}}', "no number"),
        (b'{"Item":{"a":{"N":"' + b"1" * 39 + b'"}}}', "38 digits"),
        (b'{"Item":{"a":{"B":"x"}}}', "base64"),
        (b'{"Item":{"a":{"B":"QQ==QQ=="}}}', "base64"),
        ('{"Item":{"a":{"B":"é==="}}}'.encode(), "base64"),
        (b'{"Item":{"a":{"B":7}}}', "base64"),
        (b'{"Item":{"a":{"BOOL":"true"}}}', "neither"),
        (b'{"Item":{"a":{"NULL":null}}}', "not true"),
        (b'{"Item":{"a":{"NULL":false}}}', "not true"),
        (b'{"Item":{"a":{"L":{}}}}', "no array"),
        (b'{"Item":{"a":{"L":[{"N":"1,2"},{"N":"3"}]}}}', "no number"),
        (b'{"Item":{"a":{"L":[{"N":"1"},"x"]}}}', "not one value"),
        (b'{"Item":{"a":{"L":[{"N":"1","S":"x"}]}}}', "not one value"),
        (b'{"Item":{"a":{"M":[]}}}', "no object"),
        (b'{"Item":{"a":{"SS":[]}}}', "empty"),
        (b'{"Item":{"a":{"SS":"x"}}}', "empty or no array"),
        (b'{"Item":{"a":{"SS":["x","x"]}}}', "twice"),
        (b'{"Item":{"a":{"NS":["1","1.0"]}}}', "twice"),
        (b'{"Item":{"a":{"BS":["QQ==","QR=="]}}}', "twice"),
        (b'{"Item":{"a":{"S":"x"},"a":{"S":"x"}}}', "stands twice"),
        (b'{"Item":{"a":{"M":{"b":{"S":""},"b":{"S":""}}}}}', "stands twice"),
        (b'{"Item":{"a":' + b'{"L":[' * 33 + b'{"S":""}' + b"]}" * 33 + b"}}", "nested"),
        (b'{"Item":{"a":' + b'{"L":[' * 2000 + b"]}" * 2000 + b"}}", "JSON"),
        (b'{"Item":{"a":{"S":"' + b"x" * 409_600 + b'"}}}', "400 KB"),
        (b'{"Item":{"a":{"S":"' + b"x" * 8_388_608 + b'"}}}', "8 MiB"),
    ],
)
def test_what_is_no_item_is_refused(line: bytes, reason: str) -> None:
    """Each is refused for what it is, in words."""
    with pytest.raises(BadLineError, match=reason):
        parse_item(line, None)


@pytest.mark.parametrize(
    "value",
    [
        {"S": ""},
        {"B": ""},
        {"N": "-0"},
        {"N": "+1.5"},
        {"N": "9" * 38},
        {"N": "-9.9999999999999999999999999999999999999E+125"},
        {"N": "1E-130"},
        {"N": "0" * 50 + "1" + "0" * 50},
        {"L": []},
        {"M": {}},
        {"NULL": True},
        {"S": "x" * 409_599},
    ],
)
def test_what_dynamodb_holds_is_taken(value: dict[str, Any]) -> None:
    """Empty text, numbers of 38 digits and items of 400 KB are items."""
    assert parse_item(item_line({"a": value}), None) == {"a": value}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"sk": {"N": "1"}}, "'pk' is missing"),
        ({"pk": {"N": "1"}, "sk": {"N": "1"}}, "'pk' is of type N, not S"),
        ({"pk": {"S": ""}, "sk": {"N": "1"}}, "'pk' is empty"),
        ({"pk": {"S": "ä" * 1025}, "sk": {"N": "1"}}, "'pk' is longer than 2048"),
    ],
)
def test_an_item_without_its_key_is_refused(item: dict[str, Any], reason: str) -> None:
    """The table's keys have to be there, of their types, not empty, not too long."""
    with pytest.raises(BadLineError, match=reason):
        parse_item(item_line(item), KEYS)


def test_binary_keys_are_taken() -> None:
    """A binary key is one like any other; an empty one is none."""
    keys = Keys((("k", "B"),))
    line = item_line({"k": {"B": b"\x00\xff"}})
    assert parse_item(line, keys) == {"k": {"B": "AP8="}}
    with pytest.raises(BadLineError, match="empty"):
        parse_item(item_line({"k": {"B": b""}}), keys)


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ({"Metadata": {}}, "WriteTimestampMicros"),
        ({"Metadata": {"WriteTimestampMicros": {"N": "-1"}}}, "WriteTimestampMicros"),
        ({"Keys": {"pk": {"S": "a"}}}, "missing|key attributes"),
        ({"Keys": {"pk": {"S": "a"}, "sk": {"N": "1"}, "x": {"S": ""}}}, "key attributes"),
        ({"NewImage": {"pk": {"S": "b"}, "sk": {"N": "1"}}}, "NewImage is not its Keys"),
        ({"OldImage": {"pk": {"S": "a"}, "sk": {"N": "2"}}}, "OldImage is not its Keys"),
        ({"Other": {}}, "not the line of a change"),
    ],
)
def test_what_is_no_change_is_refused(spoilt: dict[str, Any], reason: str) -> None:
    """A change has a time, a whole key, and images of that very key."""
    line = {
        "Metadata": {"WriteTimestampMicros": {"N": "1"}},
        "Keys": {"pk": {"S": "a"}, "sk": {"N": "1"}},
        "NewImage": {"pk": {"S": "a"}, "sk": {"N": "1.0"}},
    }
    parse_change(orjson.dumps(line), KEYS)
    with pytest.raises(BadLineError, match=reason):
        parse_change(orjson.dumps({**line, **spoilt}), KEYS)


def respelled(item: dict[str, Any], rng: Any) -> dict[str, Any]:
    """The same item as another writer might spell it."""
    names = list(item)
    rng.shuffle(names)
    return {name: _respelled(item[name], rng) for name in names}


def _respelled(value: dict[str, Any], rng: Any) -> dict[str, Any]:
    ((kind, held),) = value.items()
    if kind == "N":
        return {kind: _respelled_number(held)}
    if kind == "B":
        return {kind: base64.b64decode(held)}
    if kind == "L":
        return {kind: [_respelled(member, rng) for member in held]}
    if kind == "M":
        return {kind: respelled(held, rng)}
    if kind == "NS":
        return {kind: [_respelled_number(member) for member in reversed(held)]}
    return {kind: held[::-1]} if kind in ("SS", "BS") else value


def _respelled_number(text: str) -> str:
    return f"{Decimal(text):e}" if "E" not in text else f"{Decimal(text):f}"
