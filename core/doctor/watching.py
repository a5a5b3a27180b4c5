"""What CloudWatch tells: alarms, and on AWS throttling, reads and scans of the last day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from core.deploy.alarms import compare_alarm, read_alarms
from core.doctor.finding import Finding, ok, skipped, trouble, warning
from core.doctor.reaching import Client
from core.doctor.standing import Described

MANY_SCANS = 1000
"""Pages scanned a day, above which it is no backup any more; one holds 1 MB at most."""
_DAY_S = 86_400
_SHOWN = 3
_SCANNING = "backup, validate, reindex, migrate and doctor scan; the engine never does"
_METRICS: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "read throttles": ("ReadThrottleEvents", "Sum", {}),
    "write throttles": ("WriteThrottleEvents", "Sum", {}),
    "scans": ("SuccessfulRequestLatency", "SampleCount", {"Operation": "Scan"}),
    "scanned items": ("ReturnedItemCount", "Sum", {"Operation": "Scan"}),
}


@dataclass(frozen=True)
class Alarms:
    """Alarms that should stand by name, and those that do, as CloudWatch describes them."""

    wanted: Mapping[str, Mapping[str, Any]]
    found: Mapping[str, Mapping[str, Any]]
    mails: bool


def look_at_alarms(cloudwatch: Client, described: Described) -> Alarms:
    """Reads the alarms that the templates describe."""
    # Of a stack that does not stand, the check of stacks tells.
    stacks = described.stacks
    alarms = [a for a in described.alarms if stacks is None or a.stack in stacks]
    wanted = {alarm.name: alarm.properties for alarm in alarms}
    mails = any(stack.parameters.get("AlarmEmail") for stack in (described.stacks or {}).values())
    return Alarms(wanted, read_alarms(cloudwatch, list(wanted)), mails)


def alarms_finding(alarms: Alarms, project: str, *, local: bool) -> Finding:
    """Whether every alarm stands, is quiet, and tells somebody."""
    ringing = {n: a for n, a in alarms.found.items() if a.get("StateValue") == "ALARM"}
    if ringing:
        name, alarm = next(iter(ringing.items()))
        means = str(alarm.get("AlarmDescription") or "What it watches is over its limit.")
        cure = _cure_of(name.removeprefix(f"{project}-"))
        return trouble("alarms", f"in alarm: {_some(list(ringing))}", means, cure)
    missing = sorted(alarms.wanted.keys() - alarms.found.keys())
    other = [
        name
        for name, properties in alarms.wanted.items()
        if name in alarms.found and any(compare_alarm(properties, alarms.found[name]))
    ]
    if missing or other:
        found = [*(f"{n} is missing" for n in missing), *(f"{n} is changed" for n in other)]
        means = "What it watches may go wrong unnoticed."
        return trouble("alarms", _some(found), means, "`ialctl start`, then `ialctl drift`")
    mute = [name for name, alarm in alarms.found.items() if not alarm.get("AlarmActions")]
    if mute:
        means = "It goes off, and nobody is told."
        return warning("alarms", f"{_some(mute)}: no action", means, "`ialctl drift`")
    if not alarms.found:
        return skipped("alarms", "none is described by the phases deployed")
    if not alarms.mails and not local:
        means = "They go off, and nobody gets a mail."
        cure = "`ialctl start --parameter AlarmEmail=you@example.org`"
        return warning("alarms", f"{len(alarms.found)} quiet, no address", means, cure)
    where = "" if alarms.mails else "; nobody gets mails of the local target"
    return ok("alarms", f"{len(alarms.found)} quiet{where}")


def _cure_of(alarm: str) -> str:
    """Where to go on from an alarm, by what its name says that it watches."""
    if "slow" in alarm:
        return "`ialctl doctor --for latency`"
    if "memory" in alarm:
        return "`ialctl doctor --for memory`"
    if "capacity" in alarm:
        return "`ialctl doctor --for cost`"
    return "See the check of throttling; errors are AWS's own: https://health.aws.amazon.com"


@dataclass(frozen=True)
class Day:
    """What CloudWatch counted of one table in the last day, by the names of `_METRICS`."""

    table: str
    counts: Mapping[str, float]


def last_day(cloudwatch: Client, tables: Sequence[str], now_s: float) -> tuple[Day, ...]:
    """Asks for all counts of all tables at once."""
    queries = [
        _query(f"m{row}_{column}", table, *about)
        for row, table in enumerate(tables)
        for column, about in enumerate(_METRICS.values())
    ]
    if not queries:
        return ()
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=queries,
        StartTime=datetime.fromtimestamp(now_s - _DAY_S, UTC),
        EndTime=datetime.fromtimestamp(now_s, UTC),
    )
    sums = {str(r["Id"]): sum(r.get("Values") or ()) for r in answer.get("MetricDataResults", ())}
    return tuple(
        Day(table, {n: sums.get(f"m{row}_{c}", 0.0) for c, n in enumerate(_METRICS)})
        for row, table in enumerate(tables)
    )


def _query(
    name: str, table: str, metric: str, statistic: str, more: Mapping[str, str]
) -> dict[str, Any]:
    dimensions = {"TableName": table, **more}
    return {
        "Id": name,
        "ReturnData": True,
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/DynamoDB",
                "MetricName": metric,
                "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions.items()],
            },
            "Period": 3600,
            "Stat": statistic,
        },
    }


def throttling_finding(days: Sequence[Day]) -> Finding:
    """Whether requests were throttled."""
    found = [
        f"{day.counts[kind]:,.0f} {kind} on {day.table}"
        for day in days
        for kind in ("read throttles", "write throttles")
        if day.counts[kind]
    ]
    if not found:
        return ok("throttling", "none in the last day")
    means = "Requests waited and were sent again: a partition was over 3,000 reads or 1,000 writes."
    cure = (
        "See hot partitions below; `--max-rcu` slows a backup or a migration down. A table that is "
        "new takes 4,000 reads a second at first."
    )
    return warning("throttling", "; ".join(found) + ", last day", means, cure)


def scans_finding(days: Sequence[Day]) -> Finding:
    """Whether whole tables are read, and more than backups do."""
    pages = {day.table: day.counts["scans"] for day in days if day.counts["scans"]}
    total = sum(pages.values())
    if not total:
        return ok("scans", "none in the last day")
    shown = ", ".join(f"{count:,.0f} on {table}" for table, count in pages.items())
    found = f"pages scanned in the last day: {shown}"
    if total <= MANY_SCANS:
        return ok("scans", found)
    means = f"Each costs up to 128 read units. Of ours, {_SCANNING}."
    cure = (
        "Run backups less often, or by `--method export`, which reads no table. Other programs' "
        "scans: look for them in CloudTrail."
    )
    return warning("scans", found, means, cure)


def of_aws_only(*names: str) -> Iterator[Finding]:
    """In place of what only AWS counts."""
    for name in names:
        more = f"; {_SCANNING}" if name == "scans" else ""
        yield skipped(name, f"only AWS counts it{more}")


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
