"""Which indexes of a table an update would take away, or make anew.

A change set calls that a change in place. Queries on the index fail until it stands again, and
filling it reads the whole table: it is asked for like the loss of data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from core.deploy.changes import Change
from core.deploy.client import Client
from core.deploy.phases import Phase
from core.deploy.resolve import Resolver, Scope
from core.deploy.tables import compare_indexes, read_table

_TABLE = "AWS::DynamoDB::Table"


def with_lost_indexes(
    dynamodb: Client, phase: Phase, scope: Scope, changes: tuple[Change, ...]
) -> tuple[Change, ...]:
    """The changes, each with the names of the indexes that it would take from its table."""
    resolver = Resolver(phase.template, scope)
    return tuple(
        dataclasses.replace(change, lost_indexes=tuple(_lost(dynamodb, resolver, phase, change)))
        if change.type == _TABLE and change.action == "Modify" and change.physical_id
        else change
        for change in changes
    )


def _lost(dynamodb: Client, resolver: Resolver, phase: Phase, change: Change) -> Iterator[str]:
    table = read_table(dynamodb, change.physical_id)
    resource = phase.template.resources.get(change.logical_id)
    if table is None or resource is None:
        return
    properties: Mapping[str, Any] = resolver.value(resource.get("Properties") or {})
    for aspect, _, found in compare_indexes(properties, table):
        if found is not None:  # one that stands; the others are only added
            yield aspect.removeprefix("index ")
