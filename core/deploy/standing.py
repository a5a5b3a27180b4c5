"""Reads what stands of a project; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from core.deploy.client import Client, Clients
from core.deploy.phases import Phase
from core.deploy.stacks import Stack, project_stacks, stack_resources
from core.deploy.values import StackStatus, Status, TableStatus
from core.errors import NotFoundError
from core.memory.active import active_engine


def read_status(clients: Clients, project: str, phases: Sequence[Phase]) -> Status:
    """Every phase's stack with its tables, stacks of this project without a phase, the engine."""
    cloudformation, dynamodb = clients.client("cloudformation"), clients.client("dynamodb")
    stacks = {stack.name: stack for stack in project_stacks(cloudformation, project)}
    shown = []
    for phase in phases:
        name = phase.stack_name(project)
        stack = stacks.pop(name, None)
        shown.append(
            StackStatus(
                phase.id,
                name,
                stack.status if stack else "",
                stack.reason if stack else "",
                phase.optional,
                _tables(cloudformation, dynamodb, stack) if stack else (),
            )
        )
    return Status(tuple(shown), active_engine(dynamodb, project), tuple(stacks))


def _tables(cloudformation: Client, dynamodb: Client, stack: Stack) -> tuple[TableStatus, ...]:
    names = [
        str(r["PhysicalResourceId"])
        for r in stack_resources(cloudformation, stack.id)
        if r.get("ResourceType") == "AWS::DynamoDB::Table" and r.get("PhysicalResourceId")
    ]
    return tuple(_table(dynamodb, name) for name in names)


def _table(dynamodb: Client, name: str) -> TableStatus:
    try:
        found = dynamodb.describe_table(TableName=name)["Table"]
    except NotFoundError:
        return TableStatus(name, "MISSING", 0, 0)
    return TableStatus(
        name,
        str(found["TableStatus"]),
        int(found.get("ItemCount", 0)),
        int(found.get("TableSizeBytes", 0)),
    )
