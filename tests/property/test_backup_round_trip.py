"""Tables of items of every type go through a backup and come back, whatever their keys are."""

from __future__ import annotations

import base64
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.aws.session import AwsSession
from core.backup.against import compare_tables
from core.backup.folder import FolderPlace
from core.backup.verifying import verify
from core.clock import SYSTEM_CLOCK, new_id, system_random
from core.transfer.lines import Keys
from tests.backups import wire_items
from tests.restoring import Bench

Row = dict[str, Any]
KINDS = {"S": ("S", "B"), "N": ("N", "S"), "B": ("B", "N")}
COPIES = 6


def as_boto(value: Row) -> Row:
    """A value of DynamoDB's JSON as boto3 takes it: binary as bytes."""
    ((kind, held),) = value.items()
    if kind == "B":
        return {"B": base64.b64decode(held)}
    if kind == "BS":
        return {"BS": [base64.b64decode(member) for member in held]}
    if kind == "L":
        return {"L": [as_boto(member) for member in held]}
    if kind == "M":
        return {"M": {name: as_boto(member) for name, member in held.items()}}
    return {kind: held}


def meant(value: Row) -> Any:
    """What a value of boto3's means: numbers by their size, sets without an order."""
    ((kind, held),) = value.items()
    if kind == "N":
        return kind, Decimal(held)
    if kind == "NS":
        return kind, frozenset(map(Decimal, held))
    if kind in ("SS", "BS"):
        return kind, frozenset(held)
    if kind == "L":
        return kind, tuple(map(meant, held))
    if kind == "M":
        return kind, frozenset((name, meant(member)) for name, member in held.items())
    return kind, held


def meant_item(item: Row) -> Any:
    """What an item means."""
    return frozenset((name, meant(value)) for name, value in item.items())


def copies(item: Row, names: tuple[str, str]) -> list[Row]:
    """The item under several keys, each with another range key."""
    name = names[1]
    ((kind, held),) = item[name].items()
    if kind == "N":
        others = [str(number) for number in range(1, COPIES)]
    elif kind == "B":
        whole = base64.b64decode(held)
        others = [base64.b64encode(whole + bytes([n])).decode() for n in range(1, COPIES)]
    else:
        others = [f"{held}{number}" for number in range(1, COPIES)]
    return [item, *({**item, name: {kind: other}} for other in others)]


def scanned(aws: AwsSession, table: str) -> list[Row]:
    """All items of a table, by boto3."""
    found: list[Row] = []
    more: Row = {}
    while True:
        page = aws.client("dynamodb").scan(TableName=table, ConsistentRead=True, **more)
        found += page["Items"]
        if "LastEvaluatedKey" not in page:
            return found
        more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def put(aws: AwsSession, table: str, items: list[Row]) -> None:
    """Writes items by boto3."""
    for start in range(0, len(items), 25):
        requests = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        answer = aws.client("dynamodb").batch_write_item(RequestItems={table: requests})
        assert not answer["UnprocessedItems"]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(
    max_examples=2,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_item_comes_back_as_it_was(
    aws: AwsSession, project: str, tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    """Written by boto3, backed up, verified, restored; read by boto3 again: the same items."""
    first, second = KINDS[kind]
    keys = Keys((("pk", first), ("sk", second)))
    drawn = data.draw(st.lists(wire_items(keys), min_size=1, max_size=12))
    found: dict[Any, Row] = {}
    for item in (copy for one in drawn for copy in copies(one, ("pk", "sk"))):
        made = {name: as_boto(value) for name, value in item.items()}
        found[meant(made["pk"]), meant(made["sk"])] = made
    written = list(found.values())
    table = f"{project}-{new_id()[:8]}"
    bench = Bench(aws, table, FolderPlace(tmp_path / table), tmp_path, keys)
    bench.make()
    put(aws, table, written)
    compression = data.draw(st.sampled_from(["gzip", "zstd"]))
    backup = bench.opened(bench.take(compression=compression))
    verification = verify(backup, tmp_path, system_random())
    assert verification.problems == ()
    assert verification.tables[0].items_read == len(written)
    bench.restore(backup, suffix="-r1")
    back = scanned(aws, f"{table}-r1")
    assert len(back) == len(written)
    assert set(map(meant_item, back)) == set(map(meant_item, written))
    assert set(map(meant_item, scanned(aws, table))) == set(map(meant_item, written))
    targets = {table: f"{table}-r1"}
    (compared,) = compare_tables(aws, backup, targets, tmp_path, SYSTEM_CLOCK)
    assert compared.equal
    altered = {**written[0], "altered": {"BOOL": True}}
    put(aws, f"{table}-r1", [altered])
    (compared,) = compare_tables(aws, backup, targets, tmp_path, SYSTEM_CLOCK)
    assert (compared.equal, compared.different) == (False, 1)
    for name in (table, f"{table}-r1"):
        aws.client("dynamodb").delete_table(TableName=name)
