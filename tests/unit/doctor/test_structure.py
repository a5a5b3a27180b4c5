"""What stands against what is described: indexes, stacks, billing, switches."""

from __future__ import annotations

from typing import Any

import pytest

from core.deploy.stacks import Stack
from core.deploy.tables import Table
from core.doctor.finding import Finding
from core.doctor.shell import AwsCli
from core.doctor.standing import Described, Seen, Structure, Wanted
from core.doctor.structure import stacks_finding, structure_findings

AWS = AwsCli(("--region", "r"))
KEYS = [{"AttributeName": "a", "KeyType": "HASH"}]
INDEX = {"IndexName": "I", "KeySchema": KEYS, "Projection": {"ProjectionType": "ALL"}}
PROPERTIES: dict[str, Any] = {
    "KeySchema": KEYS,
    "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
    "GlobalSecondaryIndexes": [INDEX],
    "BillingMode": "PAY_PER_REQUEST",
}
STANDS: dict[str, Any] = {
    **PROPERTIES,
    "TableStatus": "ACTIVE",
    "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
}


def _found(
    about: dict[str, Any] | None, *, native: bool = False, **wanted: Any
) -> dict[str, Finding]:
    table = None if about is None else Table({**STANDS, **about}, {}, {})
    seen = Seen(Wanted("s", "t", {**PROPERTIES, **wanted}), table)
    structure = Structure(Described("p", (), {}, (), ()), (seen,))
    return {f.name: f for f in structure_findings(structure, AWS, native=native)}


def _stack(status: str) -> Stack:
    return Stack("p-d-n", "id", status, "", {}, {}, {})


def test_as_described() -> None:
    """Nothing but stacks, of which there are none here, is in trouble."""
    found = _found({})
    assert [name for name, f in found.items() if f.state != "ok"] == ["stacks"]


@pytest.mark.parametrize(
    ("about", "name", "state", "says"),
    [
        ({"TableStatus": "UPDATING"}, "tables", "trouble", "t is UPDATING"),
        ({"KeySchema": [{"AttributeName": "b", "KeyType": "HASH"}]}, "tables", "trouble", "keys"),
        ({"GlobalSecondaryIndexes": []}, "indexes", "trouble", "index I is missing"),
        (
            {"GlobalSecondaryIndexes": [{**INDEX, "IndexStatus": "ACTIVE", "Backfilling": True}]},
            "indexes",
            "warning",
            "I is being filled",
        ),
        (
            {"GlobalSecondaryIndexes": [{**INDEX, "IndexStatus": "CREATING"}]},
            "indexes",
            "warning",
            "CREATING",
        ),
        (
            {"GlobalSecondaryIndexes": [{**INDEX, "Projection": {"ProjectionType": "KEYS_ONLY"}}]},
            "indexes",
            "trouble",
            "another than described",
        ),
        ({"BillingModeSummary": {}}, "billing", "warning", "t is PROVISIONED"),
    ],
)
def test_what_differs(about: dict[str, Any], name: str, state: str, says: str) -> None:
    """Each aspect is the finding of its own name, and of no other."""
    found = _found(about)
    assert (found[name].state, says in found[name].found) == (state, True)
    assert [n for n, f in found.items() if f.state not in ("ok", "skipped")] == ["stacks", name]


def test_a_table_that_is_missing() -> None:
    """What can be said of no table is skipped."""
    found = _found(None)
    assert (found["tables"].state, found["indexes"].state) == ("trouble", "skipped")


def test_a_vector_index_that_is_in_use_and_missing() -> None:
    """Searching by a table's own vector index needs one."""
    assert "NativeVectorIndexes" in _found({}, native=True)["indexes"].cure


def test_what_switches_it_on() -> None:
    """On AWS, where no start repairs, the command is printed."""
    protected = _found({}, DeletionProtectionEnabled=True)["protection"]
    assert protected.state == "warning"
    assert "--table-name t --deletion-protection-enabled --region r" in protected.shell
    ttl = {"AttributeName": "ttl", "Enabled": True}
    assert _found({}, TimeToLiveSpecification=ttl)["time to live"].state == "trouble"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("UPDATE_COMPLETE", "ok"),
        ("UPDATE_IN_PROGRESS", "warning"),
        ("UPDATE_ROLLBACK_COMPLETE", "trouble"),
        ("ROLLBACK_FAILED", "trouble"),
    ],
)
def test_stacks(status: str, state: str) -> None:
    """At rest and succeeded, under way, or failed; where nobody can be asked, skipped."""
    about = Described("p", (), {"p-d-n": _stack(status)}, (), ())
    assert stacks_finding(about).state == state
    assert stacks_finding(Described("p", (), None, (), ())).state == "skipped"
