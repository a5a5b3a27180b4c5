"""A Scan answers alike with and without our shortcuts, whatever is written in between."""

from __future__ import annotations

import base64
import gc
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.local import scanning
from core.local.emulator import Emulator
from core.local.journal import Journal
from core.local.ordered import MIN_ITEMS
from tests.emulated import borrowed_emulator

PARTITIONS = [f"user-{number}" for number in range(12)] + ["é", "😀", "\U0010ffff", "a#b"]
SORTS = {
    "S": [f"{number:03d}" for number in range(10)] + ["é", "😀"],
    "N": ["-12.5", "-1", "0", "1", "2", "10", "1e3", "99999999999999999999"],
    "B": [base64.b64encode(bytes([number])).decode() for number in (0, 7, 255)],
    "": [""],
}


class Tables:
    """Tables in this process, one a type of sort key and one without."""

    def __init__(self, folder: Path) -> None:
        from ministack.services import dynamodb

        self.module = dynamodb
        self.plain_scan = dynamodb._scan
        self.emulator = Emulator()
        journal = Journal(folder / "journal")
        self.emulator.journal_to(lambda: journal)
        self.emulator.speed_up(lambda: journal.lock)
        self.quick_scan = dynamodb._scan
        for kind in SORTS:
            names = {"p": "S", **({"s": kind} if kind else {})}
            dynamodb._create_table(
                {
                    "TableName": f"scanned-{kind}",
                    "KeySchema": [
                        {"AttributeName": n, "KeyType": "HASH" if n == "p" else "RANGE"}
                        for n in names
                    ],
                    "AttributeDefinitions": [
                        {"AttributeName": n, "AttributeType": t} for n, t in names.items()
                    ],
                    "BillingMode": "PAY_PER_REQUEST",
                }
            )

    def write(self, kind: str, partition: str, sort: str, size: int | None) -> None:
        """Puts an item of a size, or deletes it."""
        key = {"p": {"S": partition}, **({"s": {kind: sort}} if kind else {})}
        if size is None:
            self.module._delete_item({"TableName": f"scanned-{kind}", "Key": key})
        else:
            item = {**key, "x": {"S": "x" * size}}
            self.module._put_item({"TableName": f"scanned-{kind}", "Item": item})

    def both(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The answer of both ways, which must be one."""
        quick, plain = (
            scan(json.loads(json.dumps(request))) for scan in (self.quick_scan, self.plain_scan)
        )
        assert quick[:2] == plain[:2]
        found = json.loads(quick[2])
        assert found == json.loads(plain[2])
        return quick[0], found

    def pages(self, request: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
        """All pages of a Scan, each asked for in both ways."""
        while True:
            status, found = self.both(request)
            assert status == 200, found
            yield found.get("Items", [])
            if "LastEvaluatedKey" not in found:
                return
            request = {**request, "ExclusiveStartKey": found["LastEvaluatedKey"]}


@pytest.fixture(scope="module", params=[scanning.LONG_PARTITION, 2])
def tables(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tables]:
    """The tables; with partitions taken for long at once, and never."""
    with pytest.MonkeyPatch.context() as patch, borrowed_emulator():
        patch.setattr(scanning, "LONG_PARTITION", request.param)
        made = Tables(tmp_path_factory.mktemp("scans"))
        yield made
        for kind in SORTS:
            made.module._delete_table({"TableName": f"scanned-{kind}"})


WRITES = st.lists(
    st.tuples(
        st.sampled_from(PARTITIONS),
        st.integers(0, 11),
        st.none() | st.sampled_from([1, 50, 150_000, 390_000]),
    ),
    max_size=30,
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "Limit": st.integers(1, 9),
        "ConsistentRead": st.booleans(),
        "ReturnConsumedCapacity": st.sampled_from(["TOTAL", "INDEXES", "NONE"]),
        "Select": st.sampled_from(["COUNT", "ALL_ATTRIBUTES"]),
        "FilterExpression": st.just("attribute_exists(x)"),
    },
)


@settings(max_examples=150)
@given(
    kind=st.sampled_from(list(SORTS)),
    writes=WRITES,
    between=WRITES,
    options=OPTIONS,
    segments=st.sampled_from([None, 1, 2, 4, 7, 1024]),
)
def test_every_page_is_the_same(
    tables: Tables,
    kind: str,
    writes: list[Any],
    between: list[Any],
    options: dict[str, Any],
    segments: int | None,
) -> None:
    """Items, order, counts, keys to go on from and capacity; the segments make up the table."""
    changes = iter(between)
    for change in writes:
        _apply(tables, kind, change)
    request = {"TableName": f"scanned-{kind}", **options}
    for segment in (0, 1, 2, 3, 6) if segments else (None,):
        if segment is None or segment < (segments or 1):
            more = {} if segments is None else {"Segment": segment, "TotalSegments": segments}
            for _ in tables.pages({**request, **more}):
                for change in [c for c in [next(changes, None)] if c]:
                    _apply(tables, kind, change)
    plain = {"TableName": f"scanned-{kind}"}
    whole = [item for page in tables.pages(plain) for item in page]
    count = min(segments or 1, 7)
    divided = [
        item
        for segment in range(count)
        for page in tables.pages({**plain, "Segment": segment, "TotalSegments": count})
        for item in page
    ]
    assert sorted(map(str, divided)) == sorted(map(str, whole))


def _apply(tables: Tables, kind: str, change: tuple[str, int, int | None]) -> None:
    partition, number, size = change
    sorts = SORTS[kind]
    tables.write(kind, partition, sorts[number % len(sorts)], size)


@given(
    request=st.fixed_dictionaries(
        {"TableName": st.sampled_from(["scanned-S", "scanned-", "none-such"])},
        optional={
            "Limit": st.sampled_from([0, -1, 1, "2", True, 1.5]),
            "Segment": st.sampled_from([-1, 0, 1, 5, "0", True]),
            "TotalSegments": st.sampled_from([0, 1, 2, 1025, 1_000_001, "2", True]),
            "ExclusiveStartKey": st.sampled_from(
                [
                    {},
                    {"p": {"S": "user-1"}},
                    {"p": {"S": "user-1"}, "s": {"S": "003"}},
                    {"p": {"S": "user-1"}, "s": {"N": "3"}},
                    {"p": {}, "s": {"S": "003"}},
                    {"p": {"S": "nobody"}, "s": {"S": "\ud800"}},
                    {"q": {"S": "user-1"}},
                ]
            ),
            "Select": st.sampled_from(["ALL_PROJECTED_ATTRIBUTES", "NONSENSE"]),
            "IndexName": st.just("none"),
            "FilterExpression": st.sampled_from(["((x = :a))", "nonsense("]),
        },
    )
)
def test_what_is_refused_is_refused_alike(tables: Tables, request: dict[str, Any]) -> None:
    """Wrong limits, segments, keys to start from: the same refusal, or the same answer."""
    answers = []
    for scan in (tables.quick_scan, tables.plain_scan):
        try:
            answers.append(scan(dict(request)))
        except (ValueError, TypeError, AttributeError) as error:  # the emulator's own slips
            answers.append((type(error), str(error), b"{}"))
    (first, second) = answers
    assert first[:2] == second[:2]
    assert json.loads(first[2]) == json.loads(second[2])


@settings(max_examples=30)
@given(
    stand=st.sets(st.tuples(st.sampled_from(PARTITIONS), st.integers(0, 11)), min_size=1),
    writes=WRITES,
    segments=st.integers(1, 5),
)
def test_what_stands_throughout_is_seen_once(
    tables: Tables, stand: set[tuple[str, int]], writes: list[Any], segments: int
) -> None:
    """Whatever is written and deleted beside it between the pages of a parallel scan."""
    for partition, number in stand:
        _apply(tables, "S", (partition, number, 50))
    others = iter([w for w in writes if (w[0], w[1]) not in stand])
    seen: list[tuple[str, str]] = []
    for segment in range(segments):
        request = {"TableName": "scanned-S", "Segment": segment, "TotalSegments": segments}
        for page in tables.pages({**request, "Limit": 3}):
            seen += [(item["p"]["S"], item["s"]["S"]) for item in page]
            for change in [c for c in [next(others, None)] if c]:
                _apply(tables, "S", change)
    for partition, number in stand:
        assert seen.count((partition, SORTS["S"][number])) == 1


def test_a_deleted_table_is_not_kept_in_memory(tables: Tables) -> None:
    """However often it was scanned and queried: nobody but this test holds its items."""
    module, name = tables.module, "scanned-and-gone"
    parts = (("p", "HASH"), ("s", "RANGE"))
    module._create_table(
        {
            "TableName": name,
            "KeySchema": [{"AttributeName": n, "KeyType": kind} for n, kind in parts],
            "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n, _ in parts],
            "BillingMode": "PAY_PER_REQUEST",
        }
    )
    for number in range(MIN_ITEMS + 1):
        key = {"p": {"S": "one"}, "s": {"S": f"{number:04d}"}}
        module._put_item({"TableName": name, "Item": key})
    tables.quick_scan({"TableName": name, "Limit": 2, "Segment": 0, "TotalSegments": 1})
    module._query(
        {
            "TableName": name,
            "Limit": 2,
            "KeyConditionExpression": "p = :p",
            "ExpressionAttributeValues": {":p": {"S": "one"}},
        }
    )
    rows = module._tables[name]["items"]
    item = rows["one"]["0000"]
    assert sys.getrefcount(rows) > 3
    module._delete_table({"TableName": name})
    assert sys.getrefcount(rows) == 2  # this name, and the call's argument
    del rows
    gc.collect()
    assert sys.getrefcount(item) == 2
