"""What stands against what the templates of the phases describe: each aspect a finding. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.deploy.stacks import in_progress, succeeded
from core.deploy.tables import Aspect, compare
from core.doctor.finding import Finding, State, ok, skipped, trouble, warning
from core.doctor.shell import AwsCli
from core.doctor.standing import RECOVERY, Described, Structure

NAMES = ("stacks", "tables", "indexes", "time to live", "recovery", "protection", "billing")
_START = "`ialctl start` deploys what is missing."
_SHOWN = 3


def structure_findings(structure: Structure, aws: AwsCli, *, native: bool) -> Iterator[Finding]:
    """What the tables and stacks are like. `native`: the vector index of a table is in use."""
    yield stacks_finding(structure.described)
    aspects = {
        seen.wanted.name: tuple(
            found
            for found in compare(seen.wanted.properties, seen.table)
            if found[0] not in seen.unseen
        )
        for seen in structure.tables
        if seen.table is not None
    }
    yield tables_finding(structure, aspects)
    if not structure.standing:
        yield from (skipped(name, "no table stands") for name in NAMES[2:])
        return
    yield indexes_finding(structure, aspects, aws, native=native)
    unseen = frozenset[str]().union(*(seen.unseen for seen in structure.standing))
    for switch in SWITCHES:
        if switch.aspect in unseen:
            yield skipped(switch.name, "may not be looked at, by these credentials")
        else:
            yield switch_finding(switch, aspects, aws)
    yield billing_finding(structure, aws)


def stacks_finding(described: Described) -> Finding:
    """Whether every phase's stack stands, and is at rest."""
    if described.stacks is None:
        return skipped("stacks", "this endpoint has no CloudFormation, or it may not be asked")
    states = {stack.name: stack.status for stack in described.stacks.values()}
    names = {phase.id: phase.stack_name(described.project) for phase in described.phases}
    missing = [phase for phase, name in names.items() if name not in states]
    broken = [f"{n} {s}" for n, s in states.items() if not succeeded(s) and not in_progress(s)]
    busy = [f"{name} {status}" for name, status in states.items() if in_progress(status)]
    if not states:
        return trouble(
            "stacks", "none is deployed", "There is no memory here yet.", "`ialctl start`"
        )
    if missing or broken:
        found = _some([*broken, *(f"{name} is missing" for name in missing)])
        means = "A deployment failed, was interrupted, or a stack was deleted."
        cure = "`ialctl start` goes on from there; `ialctl plan` shows what it would do."
        return trouble("stacks", found, means, cure)
    if busy:
        means = "CloudFormation is at work; what stands may change under this look."
        return warning("stacks", _some(busy), means, "Look again in a minute.")
    return ok("stacks", f"{len(states)} deployed, all at rest")


def tables_finding(structure: Structure, aspects: Mapping[str, Sequence[Aspect]]) -> Finding:
    """Whether every table stands, is active, and has its keys, stream and encryption."""
    hidden = [seen.wanted.name for seen in structure.tables if seen.hidden]
    wrong = [
        f"{seen.wanted.name} is missing"
        for seen in structure.tables
        if seen.table is None and not seen.hidden
    ]
    for seen in structure.standing:
        status = str(seen.about.get("TableStatus"))
        if status != "ACTIVE":
            wrong.append(f"{seen.wanted.name} is {status}")
    wrong += [
        f"{name}: {aspect} not as described"
        for name, differing in aspects.items()
        for aspect, _, _ in differing
        if aspect in ("keys", "stream", "encryption")
        # An index that is missing takes its attributes along.
        or (
            aspect == "attribute types" and not any(a.startswith("index ") for a, _, _ in differing)
        )
    ]
    if wrong:
        means = "The memory can't work, or not as safely, as its templates say."
        cure = f"{_START} `ialctl drift` shows what was changed by hand."
        return trouble("tables", _some(wrong), means, cure)
    more = f"; {_some(hidden)} may not be looked at" if hidden else ""
    return ok("tables", f"{len(structure.standing)} active, as the templates say{more}")


def indexes_finding(
    structure: Structure, aspects: Mapping[str, Sequence[Aspect]], aws: AwsCli, *, native: bool
) -> Finding:
    """Whether every index stands, is as described, active and filled."""
    wrong = [
        f"{name}: {aspect} {'is missing' if found is None else 'is another than described'}"
        for name, differing in aspects.items()
        for aspect, expected, found in differing
        if aspect.startswith("index ") and expected is not None
    ]
    if wrong:
        means = "What is read by it fails: sessions, newest messages, or searches."
        shell = next(_index_commands(structure, aspects, aws), "")
        cure = "Make it:" if shell else "`ialctl drift` shows what was changed; change it back."
        return Finding("indexes", "trouble", _some(wrong), means, cure, shell)
    every = [(s.wanted.name, index) for s in structure.standing for index in _indexes(s.about)]
    filling = [
        f"{name}: {index['IndexName']} {_index_state(index)}"
        for name, index in every
        if _index_state(index) != "ACTIVE"
    ]
    if filling:
        means = "Reads by it fail or find too little until it is filled."
        return warning("indexes", _some(filling), means, "Wait; `ialctl doctor` tells when.")
    if native and not any(s.about.get("VectorIndexes") for s in structure.standing):
        return trouble(
            "indexes",
            "vector_search is native, and no table has a vector index",
            "Searches find by words only.",
            "`ialctl start --parameter NativeVectorIndexes=true`, or set vector_search: segments.",
        )
    return ok("indexes", f"{len(every)} active and filled")


def _index_commands(
    structure: Structure, aspects: Mapping[str, Sequence[Aspect]], aws: AwsCli
) -> Iterator[str]:
    """What makes each secondary index that is missing: neither a stack's update nor a start
    does."""
    for seen in structure.standing:
        missing = {aspect for aspect, _, found in aspects[seen.wanted.name] if found is None}
        properties = seen.wanted.properties
        for index in properties.get("GlobalSecondaryIndexes") or ():
            if f"index {index['IndexName']}" in missing:
                yield aws(
                    *("dynamodb", "update-table", "--table-name", seen.wanted.name),
                    "--attribute-definitions",
                    *_definitions(properties, index),
                    "--global-secondary-index-updates",
                    [{"Create": index}],
                )


def _definitions(properties: Mapping[str, Any], index: Mapping[str, Any]) -> Iterator[str]:
    keys = {key["AttributeName"] for key in index["KeySchema"]}
    for one in properties["AttributeDefinitions"]:
        if one["AttributeName"] in keys:
            yield f"AttributeName={one['AttributeName']},AttributeType={one['AttributeType']}"


def _indexes(about: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*(about.get("GlobalSecondaryIndexes") or ()), *(about.get("VectorIndexes") or ())]


def _index_state(index: Mapping[str, Any]) -> str:
    status = str(index.get("IndexStatus", "ACTIVE"))
    return "is being filled" if status == "ACTIVE" and index.get("Backfilling") else status


@dataclass(frozen=True)
class Switch:
    """Something that templates switch on: its aspect, the finding's name, what it means if off,
    and the operation and arguments that switch it on."""

    aspect: str
    name: str
    grave: bool
    means: str
    operation: str
    arguments: tuple[str, ...]


SWITCHES = (
    Switch(
        "time to live",
        "time to live",
        True,
        "Nothing that has expired is deleted: tables grow, and cost more, for good.",
        "update-time-to-live",
        ("--time-to-live-specification", "Enabled=true,AttributeName=ttl"),
    ),
    Switch(
        RECOVERY,
        "recovery",
        True,
        "What is deleted or overwritten by mistake can't be brought back to the second.",
        "update-continuous-backups",
        ("--point-in-time-recovery-specification", "PointInTimeRecoveryEnabled=true"),
    ),
    Switch(
        "deletion protection",
        "protection",
        False,
        "One call deletes the table with all it holds.",
        "update-table",
        ("--deletion-protection-enabled",),
    ),
)


def switch_finding(switch: Switch, aspects: Mapping[str, Sequence[Aspect]], aws: AwsCli) -> Finding:
    """Whether something is switched on wherever its template says so."""
    off = [t for t, differing in aspects.items() if switch.aspect in [a for a, _, _ in differing]]
    if not off:
        return ok(switch.name, f"as described, on {len(aspects)} tables")
    state: State = "trouble" if switch.grave else "warning"
    found = f"not as described on {', '.join(off)}"
    # On AWS a stack that CloudFormation takes to be up to date is not put right by a start.
    if aws.local:
        return Finding(switch.name, state, found, switch.means, "`ialctl start` sets it again.")
    shell = aws("dynamodb", switch.operation, "--table-name", off[0], *switch.arguments)
    return Finding(switch.name, state, found, switch.means, "Switch it on:", shell)


def billing_finding(structure: Structure, aws: AwsCli) -> Finding:
    """Whether tables are paid as described."""
    other = []
    for seen in structure.standing:
        wanted = seen.wanted.properties.get("BillingMode", "PROVISIONED")
        summary = seen.about.get("BillingModeSummary") or {}
        # A table that was always provisioned has no summary.
        found = summary.get("BillingMode", "PROVISIONED")
        if wanted != found:
            other.append(f"{seen.wanted.name} is {found}")
    if not other:
        return ok("billing", "on demand, as described")
    means = "Above what is provisioned, requests are throttled; below it, it is paid all the same."
    table = other[0].split()[0]
    arguments = ("--table-name", table, "--billing-mode", "PAY_PER_REQUEST")
    shell = aws("dynamodb", "update-table", *arguments)
    return Finding("billing", "warning", _some(other), means, "Pay on demand:", shell)


def _some(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more
