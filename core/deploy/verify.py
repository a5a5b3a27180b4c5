"""After deploying: is what stands what the template says?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.deploy.alarms import compare_alarm, read_alarms, repair_alarm
from core.deploy.buckets import compare_bucket, read_bucket, repair_bucket
from core.deploy.client import Client, Clients
from core.deploy.phases import Phase
from core.deploy.progress import Pacer
from core.deploy.repair import repair
from core.deploy.resolve import Resolver, Scope
from core.deploy.stacks import stack_resources
from core.deploy.tables import (
    Aspect,
    Difference,
    Table,
    compare,
    read_table,
    wait_until_ready,
)

TABLE_TYPE = "AWS::DynamoDB::Table"
BUCKET_TYPE = "AWS::S3::Bucket"
ALARM_TYPE = "AWS::CloudWatch::Alarm"


@dataclass(frozen=True)
class Verified:
    """What verification saw of one stack."""

    tables: tuple[str, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class _Resource:
    """A resource as its template describes it, under the name it goes by."""

    stack: str
    logical_id: str
    name: str
    properties: Mapping[str, Any]

    def difference(self, aspect: str, expected: object, found: object) -> Difference:
        return Difference(self.stack, self.logical_id, aspect, _words(expected), _words(found))

    def missing(self, kind: str) -> Difference:
        return self.difference(kind, self.name or "deployed", "missing")


class Verifier:
    """Compares what stands with templates. Thread-safe."""

    def __init__(self, clients: Clients, pacer: Pacer, *, repairs: bool) -> None:
        """With `repairs`, what an emulator left out of a template is set through the API."""
        self._clients, self._pacer, self._repairs = clients, pacer, repairs

    def verify(self, phase: Phase, stack: str, scope: Scope) -> Verified:
        """What differs between a phase's template and what stands, after repairs if any."""
        names = self._physical_names(stack)
        # A Ref to a resource comes to its physical id, for all types verified here.
        known = replace(scope, parameters={**names, **scope.parameters})
        resolver = Resolver(phase.template, known)
        kinds: dict[str, list[_Resource]] = {TABLE_TYPE: [], BUCKET_TYPE: [], ALARM_TYPE: []}
        for logical_id, resource in phase.template.resources.items():
            if resource["Type"] in kinds and resolver.present(resource):
                properties = resolver.value(resource.get("Properties") or {})
                name = names.get(logical_id, "")
                found = _Resource(stack, logical_id, name, properties)
                kinds[resource["Type"]].append(found)
        tables = kinds[TABLE_TYPE]
        differences = [d for table in tables for d in self._table(table)]
        differences += [d for bucket in kinds[BUCKET_TYPE] for d in self._bucket(bucket)]
        differences += self._alarms(kinds[ALARM_TYPE])
        return Verified(tuple(t.name for t in tables if t.name), tuple(differences))

    def _physical_names(self, stack: str) -> Mapping[str, str]:
        """What resources are really called: a template may leave the name to CloudFormation."""
        resources = stack_resources(self._clients.client("cloudformation"), stack)
        return {
            str(r["LogicalResourceId"]): str(r.get("PhysicalResourceId") or "") for r in resources
        }

    def _table(self, wanted: _Resource) -> Iterator[Difference]:
        dynamodb = self._clients.client("dynamodb")
        table = read_table(dynamodb, wanted.name) if wanted.name else None
        if table is None:
            yield wanted.missing("table")
            return
        if self._repairs:
            table = self._repaired(dynamodb, wanted, table)
        wait_until_ready(dynamodb, wanted.name, self._pacer)
        for aspect in compare(wanted.properties, table):
            yield wanted.difference(*aspect)

    def _repaired(self, dynamodb: Client, wanted: _Resource, table: Table) -> Table:
        done = [
            repair(dynamodb, wanted.name, aspect, wanted.properties)
            for aspect, _, _ in list(compare(wanted.properties, table))
        ]
        if not any(done):
            return table
        wait_until_ready(dynamodb, wanted.name, self._pacer)
        return read_table(dynamodb, wanted.name) or table

    def _bucket(self, wanted: _Resource) -> Iterator[Difference]:
        found = self._compared_bucket(wanted)
        if self._repairs and found:
            for aspect, _, _ in found:
                repair_bucket(self._clients.client("s3"), wanted.name, aspect, wanted.properties)
            found = self._compared_bucket(wanted)
        if found is None:
            yield wanted.missing("bucket")
        for aspect, expected, actual in found or ():
            yield wanted.difference(aspect, expected, actual)

    def _compared_bucket(self, wanted: _Resource) -> tuple[Aspect, ...] | None:
        """The aspects in which a bucket differs; None where there is none."""
        s3 = self._clients.client("s3")
        found = read_bucket(s3, wanted.name) if wanted.name else None
        return None if found is None else tuple(compare_bucket(wanted.properties, found))

    def _alarms(self, alarms: list[_Resource]) -> Iterator[Difference]:
        if not alarms:
            return
        cloudwatch, names = self._clients.client("cloudwatch"), [a.name for a in alarms]
        found = read_alarms(cloudwatch, names)
        if self._repairs and self._repaired_alarms(cloudwatch, alarms, found):
            found = read_alarms(cloudwatch, names)
        for wanted in alarms:
            alarm = found.get(wanted.name)
            if alarm is None:
                yield wanted.missing("alarm")
                continue
            for aspect in compare_alarm(wanted.properties, alarm):
                yield wanted.difference(*aspect)

    def _repaired_alarms(
        self, cloudwatch: Client, alarms: list[_Resource], found: Mapping[str, Mapping[str, Any]]
    ) -> bool:
        differing = [
            alarm
            for alarm in alarms
            if alarm.name in found and any(compare_alarm(alarm.properties, found[alarm.name]))
        ]
        for alarm in differing:
            repair_alarm(cloudwatch, alarm.properties, found[alarm.name])
        return bool(differing)


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
