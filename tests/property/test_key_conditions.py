"""A Query answers alike in both forms of its key condition, with and without our shortcuts."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.local.emulator import Emulator
from core.local.journal import Journal
from core.local.key_conditions import hand_over
from tests.emulated import borrowed_emulator

KINDS = ("S", "N", "B")
TEXTS = ("a", "a#", "a#b", "ab", "b", "é", "😀", "\U0010ffff", "zz")
NUMBERS = ("-12.5", "-1", "0", "1", "2", "10", "1e3", "99999999999999999999")


def _value(kind: str, index: int) -> dict[str, str]:
    if kind == "N":
        return {"N": NUMBERS[index % len(NUMBERS)]}
    text = TEXTS[index % len(TEXTS)]
    return {"S": text} if kind == "S" else {"B": base64.b64encode(text.encode()).decode()}


class Tables:
    """Three tables in this process, one a type of sort key, each with an index."""

    def __init__(self, folder: Path) -> None:
        from ministack.services import dynamodb

        self.module = dynamodb
        self.plain_query = dynamodb._query
        self.emulator = Emulator()
        journal = Journal(folder / "journal")
        self.emulator.journal_to(lambda: journal)
        self.emulator.speed_up(lambda: journal.lock)
        self.quick_query = dynamodb._query
        for kind in KINDS:
            self._make(kind)

    def _make(self, kind: str) -> None:
        name = f"table-{kind}"
        names = {"p": "S", "s": kind, "g": "S", "h": "N"}
        self.module._create_table(
            {
                "TableName": name,
                "KeySchema": _keys("p", "s"),
                "AttributeDefinitions": [
                    {"AttributeName": n, "AttributeType": t} for n, t in names.items()
                ],
                "BillingMode": "PAY_PER_REQUEST",
                "GlobalSecondaryIndexes": [
                    {
                        "IndexName": "other",
                        "KeySchema": _keys("g", "h"),
                        "Projection": {"ProjectionType": "ALL"},
                    }
                ],
            }
        )
        for partition in ("one", "two"):
            for index in range(9):
                item = {"p": {"S": partition}, "s": _value(kind, index), "n": {"N": str(index)}}
                if index % 4:
                    item |= {"g": {"S": "all"}, "h": {"N": str(index % 3)}}
                self.module._put_item({"TableName": name, "Item": item})

    def ask(self, request: dict[str, Any], *, quick: bool) -> tuple[int, Any]:
        """A Query's status and answer."""
        query = self.quick_query if quick else self.plain_query
        status, _, body = query(json.loads(json.dumps(request)))
        return status, json.loads(body)


def _keys(*names: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": name, "KeyType": kind}
        for name, kind in zip(names, ("HASH", "RANGE"), strict=True)
    ]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    """The tables, with every partition long enough to be kept in order."""
    from core.local import quick_reads

    with pytest.MonkeyPatch.context() as patch, borrowed_emulator():
        patch.setattr(quick_reads, "MIN_ITEMS", 1)
        yield Tables(tmp_path_factory.mktemp("tables"))


RANGE_FORMS = (
    "#s = :a",
    "#s < :a",
    "#s <= :a",
    "#s > :a",
    "#s>=:a",
    "#s BETWEEN :a AND :b",
    "#s between :a and :b",
    "begins_with(#s, :a)",
)


@st.composite
def queries(draw: st.DrawFn) -> dict[str, Any]:
    """Queries, right and wrong ones, on table and index."""
    kind = draw(st.sampled_from(KINDS))
    on_index = draw(st.booleans())
    form = draw(st.sampled_from((None, *RANGE_FORMS)))
    hash_name, range_name = ("g", "h") if on_index else ("p", "s")
    operand_kind = draw(st.sampled_from(KINDS)) if draw(st.integers(0, 9)) == 0 else None
    operand_kind = operand_kind or ("N" if on_index else kind)
    request: dict[str, Any] = {
        "TableName": f"table-{kind}",
        "ExpressionAttributeNames": {"#p": hash_name},
        "ExpressionAttributeValues": {
            ":p": {"S": draw(st.sampled_from(("one", "all", "none")))},
        },
        "ScanIndexForward": draw(st.booleans()),
    }
    expression = "#p = :p"
    if form:
        expression = draw(st.sampled_from((f"{expression} AND {form}", f"{form} AND #p = :p")))
        request["ExpressionAttributeNames"]["#s"] = range_name
        request["ExpressionAttributeValues"][":a"] = _value(operand_kind, draw(st.integers(0, 8)))
        if ":b" in form:
            other = _value(operand_kind, draw(st.integers(0, 8)))
            request["ExpressionAttributeValues"][":b"] = other
    request["KeyConditionExpression"] = expression
    return _with_options(draw, request, on_index=on_index)


def _with_options(draw: st.DrawFn, request: dict[str, Any], *, on_index: bool) -> dict[str, Any]:
    if on_index:
        request["IndexName"] = "other"
    if draw(st.booleans()):
        request["Limit"] = draw(st.integers(1, 12))
    if draw(st.integers(0, 3)) == 0:
        request["FilterExpression"] = "n > :n"
        request["ExpressionAttributeValues"][":n"] = {"N": "3"}
    if draw(st.integers(0, 3)) == 0:
        request["ProjectionExpression"] = "n, #x"
        request["ExpressionAttributeNames"]["#x"] = "s"
    if draw(st.integers(0, 5)) == 0:
        request["ExpressionAttributeValues"][":unused"] = {"S": "x"}
    return request


@settings(max_examples=400)
@given(request=queries())
def test_both_forms_answer_alike_on_every_page(tables: Tables, request: dict[str, Any]) -> None:
    """Items, counts, errors and start keys are the same, page after page."""
    for _ in range(12):
        expected = tables.ask(request, quick=False)
        assert tables.ask(request, quick=True) == expected
        start = expected[1].get("LastEvaluatedKey")
        if start is None:
            return
        request = {**request, "ExclusiveStartKey": start}


@settings(max_examples=100)
@given(request=queries(), start=st.integers(0, 8))
def test_a_start_key_from_elsewhere_is_refused_alike(
    tables: Tables, request: dict[str, Any], start: int
) -> None:
    """A start key that no page gave is answered as the emulator answers it."""
    kind = request["TableName"][-1]
    key = {"p": {"S": "one"}, "s": _value(kind, start), "g": {"S": "all"}, "h": {"N": "1"}}
    request = {**request, "ExclusiveStartKey": key}
    assert tables.ask(request, quick=True) == tables.ask(request, quick=False)


@settings(max_examples=60)
@given(
    request=queries(),
    changes=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), max_size=6),
)
def test_writes_between_queries_are_seen(
    tables: Tables, request: dict[str, Any], changes: list[tuple[int, int]]
) -> None:
    """The order that is kept follows puts, moves within an index, and deletes."""
    kind = request["TableName"][-1]
    emulator = tables.module
    for index, change in changes:
        key = {"p": {"S": "one"}, "s": _value(kind, index)}
        if change == 3:
            emulator._delete_item({"TableName": request["TableName"], "Key": key})
        else:
            item = {**key, "n": {"N": "7"}, "g": {"S": "all"}, "h": {"N": str(change)}}
            emulator._put_item({"TableName": request["TableName"], "Item": item})
        assert tables.ask(request, quick=True) == tables.ask(request, quick=False)


@pytest.mark.parametrize(
    "expression",
    [
        "p = :p OR s = :s",
        "(p = :p) AND s = :s",
        "p = :p AND s = :s AND n = :s",
        "p = :p AND n = :s",
        "s = :s",
        "p > :p",
        "p = :missing",
        "p = :p AND",
        "",
    ],
)
def test_what_is_not_simple_is_left_to_the_emulator(expression: str) -> None:
    """Only one equality on the partition key and at most one sort condition are handed over."""
    request = {
        "KeyConditionExpression": expression,
        "ExpressionAttributeValues": {":p": {"S": "x"}, ":s": {"S": "y"}},
    }
    assert hand_over(request, ["p"], ["s"], {"p": "S", "s": "S"}) is None
