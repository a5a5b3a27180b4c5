"""Reads what the templates of the phases describe, and what stands of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.aws.lease import OPERATIONS
from core.deploy.client import Client, Clients
from core.deploy.phases import Phase, select_phases
from core.deploy.resolve import Resolver, Scope
from core.deploy.send import parameter_values
from core.deploy.stacks import Stack, exported_values, project_stacks, stack_resources
from core.deploy.tables import Table, read_table
from core.deploy.verify import ALARM_TYPE, TABLE_TYPE
from core.errors import AccessDeniedError, AwsError, EndpointAnswerError

RECOVERY = "point-in-time recovery"


@dataclass(frozen=True)
class Wanted:
    """A resource as its template describes it, under the name that it goes by."""

    stack: str
    name: str
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class Described:
    """What should stand, by the templates and the parameters that the stacks were deployed with.

    `stacks` is None where the endpoint has no CloudFormation, or it may not be asked.
    """

    project: str
    phases: tuple[Phase, ...]
    stacks: Mapping[str, Stack] | None
    tables: tuple[Wanted, ...]
    alarms: tuple[Wanted, ...]


@dataclass(frozen=True)
class Seen:
    """A table that should stand, and what stands (None: nothing, or it is `hidden` from us).

    Of the aspects `unseen` nothing may be known: who runs the engine alone may not ask for all.
    """

    wanted: Wanted
    table: Table | None
    hidden: bool = False
    unseen: frozenset[str] = frozenset()

    @property
    def about(self) -> Mapping[str, Any]:
        """DescribeTable's words; empty where there is no table."""
        return self.table.description if self.table else {}


@dataclass(frozen=True)
class Structure:
    """All tables that should stand, beside what does."""

    described: Described
    tables: tuple[Seen, ...] = ()

    @property
    def standing(self) -> tuple[Seen, ...]:
        """Those that stand."""
        return tuple(seen for seen in self.tables if seen.table is not None)

    @property
    def items(self) -> int:
        """How many items the memory has by DynamoDB's own count, hours old on AWS."""
        own = [seen for seen in self.standing if not seen.wanted.name.endswith(OPERATIONS)]
        return sum(int(seen.about.get("ItemCount") or 0) for seen in own)


def describe(clients: Clients, project: str, phases: Sequence[Phase]) -> Described:
    """Works out what should stand; sends a few requests to CloudFormation."""
    stacks = _stacks(clients, project)
    chosen = select_phases(phases, (), project, tuple(stacks or ()))
    exports = _exports(clients) if stacks else {}
    tables: list[Wanted] = []
    alarms: list[Wanted] = []
    for phase in chosen:
        stack = (stacks or {}).get(phase.stack_name(project))
        tables += _resources(clients, phase, project, stack, exports, TABLE_TYPE)
        alarms += _resources(clients, phase, project, stack, exports, ALARM_TYPE)
    return Described(project, chosen, stacks, tuple(tables), tuple(alarms))


def look(clients: Clients, described: Described) -> Structure:
    """Reads every table that should stand."""
    dynamodb = clients.client("dynamodb")
    return Structure(described, tuple(_seen(dynamodb, wanted) for wanted in described.tables))


def _seen(dynamodb: Client, wanted: Wanted) -> Seen:
    with contextlib.suppress(AccessDeniedError):
        return Seen(wanted, read_table(dynamodb, wanted.name))
    try:
        about = dynamodb.describe_table(TableName=wanted.name)["Table"]
        ttl = dynamodb.describe_time_to_live(TableName=wanted.name)["TimeToLiveDescription"]
    except AccessDeniedError:
        return Seen(wanted, None, hidden=True)
    return Seen(wanted, Table(about, ttl, {}), unseen=frozenset({RECOVERY}))


def _stacks(clients: Clients, project: str) -> Mapping[str, Stack] | None:
    try:
        found = project_stacks(clients.client("cloudformation"), project)
    except (AwsError, EndpointAnswerError, AccessDeniedError):
        return None  # an endpoint with DynamoDB alone, or a reader who may not ask
    return {stack.name: stack for stack in found}


def _exports(clients: Clients) -> Mapping[str, str]:
    with contextlib.suppress(AccessDeniedError):
        return exported_values(clients.client("cloudformation"))
    return {}  # what depends on them counts as unknown


def _resources(
    clients: Clients,
    phase: Phase,
    project: str,
    stack: Stack | None,
    exports: Mapping[str, str],
    kind: str,
) -> Iterator[Wanted]:
    wanted = {n: r for n, r in phase.template.resources.items() if r["Type"] == kind}
    if not wanted:
        return
    names = _physical(clients, stack)
    previous = stack.parameters if stack else {}
    given = parameter_values(phase.template, {"ProjectName": project}, previous)
    # The account is that of the exports' values: nothing of a table or an alarm depends on it.
    scope = Scope({**names, **given}, clients.region, "", exports)
    resolver = Resolver(phase.template, scope)
    for logical_id, resource in wanted.items():
        if resolver.present(resource):
            properties = resolver.value(resource.get("Properties") or {})
            own = properties.get("TableName") or properties.get("AlarmName")
            name = names.get(logical_id) or (own if isinstance(own, str) else logical_id)
            yield Wanted(phase.stack_name(project), name, properties)


def _physical(clients: Clients, stack: Stack | None) -> Mapping[str, str]:
    if stack is None:
        return {}
    resources: Sequence[Mapping[str, Any]] = ()
    with contextlib.suppress(AccessDeniedError):  # then names are the templates'
        resources = stack_resources(clients.client("cloudformation"), stack.name)
    return {
        str(r["LogicalResourceId"]): str(r["PhysicalResourceId"])
        for r in resources
        if r.get("PhysicalResourceId")
    }
