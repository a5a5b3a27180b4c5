"""After deploying: is what stands what the template says?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.deploy.client import Client, Clients
from core.deploy.phases import Phase
from core.deploy.progress import Pacer
from core.deploy.repair import repair
from core.deploy.resolve import Resolver, Scope
from core.deploy.tables import Difference, Table, compare, read_table, wait_until_ready

TABLE_TYPE = "AWS::DynamoDB::Table"
ALARM_TYPE = "AWS::CloudWatch::Alarm"


def table_names(phase: Phase, scope: Scope) -> tuple[str, ...]:
    """The names of the tables of a phase."""
    found = _resources(phase, Resolver(phase.template, scope), TABLE_TYPE)
    return tuple(str(properties["TableName"]) for _, properties in found)


class Verifier:
    """Compares what stands with templates. Thread-safe."""

    def __init__(self, clients: Clients, pacer: Pacer, *, repairs: bool) -> None:
        """With `repairs`, what an emulator left out of a template is set through the API."""
        self._clients, self._pacer, self._repairs = clients, pacer, repairs

    def verify(self, phase: Phase, stack: str, scope: Scope) -> tuple[Difference, ...]:
        """What differs between a phase's template and what stands, after repairs if any."""
        resolver = Resolver(phase.template, scope)
        found = [
            difference
            for logical_id, properties in _resources(phase, resolver, TABLE_TYPE)
            for difference in self._table(stack, logical_id, properties)
        ]
        alarms = dict(_resources(phase, resolver, ALARM_TYPE))
        if alarms:
            found.extend(_alarms(self._clients.client("cloudwatch"), stack, alarms))
        return tuple(found)

    def _table(
        self, stack: str, logical_id: str, properties: Mapping[str, Any]
    ) -> Iterator[Difference]:
        dynamodb = self._clients.client("dynamodb")
        name = str(properties["TableName"])
        table = read_table(dynamodb, name)
        if table is None:
            yield Difference(stack, logical_id, "table", name, "missing")
            return
        if self._repairs:
            table = self._repaired(dynamodb, name, properties, table)
        wait_until_ready(dynamodb, name, self._pacer)
        for aspect, expected, found in compare(properties, table):
            yield Difference(stack, logical_id, aspect, _words(expected), _words(found))

    def _repaired(
        self, dynamodb: Client, name: str, properties: Mapping[str, Any], table: Table
    ) -> Table:
        done = [
            repair(dynamodb, name, aspect, properties)
            for aspect, _, _ in list(compare(properties, table))
        ]
        if not any(done):
            return table
        wait_until_ready(dynamodb, name, self._pacer)
        return read_table(dynamodb, name) or table


def _resources(
    phase: Phase, resolver: Resolver, kind: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for logical_id, resource in phase.template.resources.items():
        if resource["Type"] == kind and resolver.present(resource):
            yield logical_id, resolver.value(resource.get("Properties") or {})


def _alarms(
    cloudwatch: Client, stack: str, wanted: Mapping[str, Mapping[str, Any]]
) -> Iterator[Difference]:
    names = {logical_id: str(p.get("AlarmName", "")) for logical_id, p in wanted.items()}
    found: dict[str, Mapping[str, Any]] = {}
    listed = sorted(filter(None, names.values()))
    for start in range(0, len(listed), 100):  # as many as one request takes
        answer = cloudwatch.describe_alarms(AlarmNames=listed[start : start + 100], MaxRecords=100)
        found |= {str(a["AlarmName"]): a for a in answer.get("MetricAlarms") or ()}
    for logical_id, name in names.items():
        if not name:
            continue
        alarm = found.get(name)
        if alarm is None:
            yield Difference(stack, logical_id, "alarm", name, "missing")
            continue
        expected, actual = float(wanted[logical_id]["Threshold"]), alarm.get("Threshold")
        if actual is None or float(actual) != expected:
            yield Difference(stack, logical_id, "threshold", f"{expected:g}", _words(actual))


def _words(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in sorted(value.items()))
    if isinstance(value, tuple | list):
        return ", ".join(filter(None, map(_words, value)))
    return str(value)
