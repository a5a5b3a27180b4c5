"""What an alarm should be, by its template, against what it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core.deploy.client import Client
from core.deploy.resolve import Unknown
from core.deploy.tables import Aspect

# As many names as one request takes.
_NAMES = 100
_TEXTS = {
    "metric": "MetricName",
    "namespace": "Namespace",
    "comparison": "ComparisonOperator",
}
_NUMBERS = {
    "threshold": "Threshold",
    "period": "Period",
    "evaluation periods": "EvaluationPeriods",
    "datapoints to alarm": "DatapointsToAlarm",
}
_COUNTS = ("Period", "EvaluationPeriods", "DatapointsToAlarm")
_ACTIONS = {
    "actions": "AlarmActions",
    "OK actions": "OKActions",
    "actions without data": "InsufficientDataActions",
}


def read_alarms(cloudwatch: Client, names: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """Those of the alarms that stand, by name."""
    found: dict[str, Mapping[str, Any]] = {}
    for start in range(0, len(names), _NAMES):
        answer = cloudwatch.describe_alarms(
            AlarmNames=list(names[start : start + _NAMES]), MaxRecords=_NAMES
        )
        found |= {str(alarm["AlarmName"]): alarm for alarm in answer.get("MetricAlarms") or ()}
    return found


def compare_alarm(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Aspect]:
    """Every aspect in which an alarm differs from its (resolved) properties."""
    for aspect, expected, actual in _aspects(wanted, found):
        if expected != actual and not isinstance(expected, Unknown):
            yield aspect, expected, actual


def repair_alarm(cloudwatch: Client, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Sets what an emulator leaves out of a template. Never used on AWS."""
    known = {k: v for k, v in wanted.items() if k != "Tags" and not _holds_unknown(v)}
    numbers = {k: float(v) for k, v in known.items() if k == "Threshold"}
    counts = {k: int(v) for k, v in known.items() if k in _COUNTS}
    kept = {k: found[k] for k in _ACTIONS.values() if k in found}
    cloudwatch.put_metric_alarm(
        **{**kept, **known, **numbers, **counts, "AlarmName": found["AlarmName"]}
    )


def _holds_unknown(value: Any) -> bool:
    return isinstance(value, Unknown) or (
        isinstance(value, list) and any(isinstance(inner, Unknown) for inner in value)
    )


def _aspects(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Aspect]:
    for aspect, key in _TEXTS.items():
        yield aspect, wanted.get(key), found.get(key)
    for aspect, key in _NUMBERS.items():
        yield aspect, _number(wanted.get(key)), _number(found.get(key))
    # One or the other is meant; an emulator shows a Statistic beside an ExtendedStatistic.
    yield "statistic", _statistic(wanted), _statistic(found)
    yield "dimensions", _dimensions(wanted), _dimensions(found)
    yield (
        "missing data",
        wanted.get("TreatMissingData", "missing"),
        found.get("TreatMissingData", "missing"),
    )
    yield "switched on", _on(wanted), _on(found)
    for aspect, key in _ACTIONS.items():
        yield aspect, *_actions(wanted.get(key) or [], found.get(key) or [])


def _statistic(alarm: Mapping[str, Any]) -> Any:
    return alarm.get("ExtendedStatistic") or alarm.get("Statistic")


def _number(value: Any) -> Any:
    return value if value is None or isinstance(value, Unknown) else float(value)


def _dimensions(alarm: Mapping[str, Any]) -> Any:
    listed = alarm.get("Dimensions") or []
    if isinstance(listed, Unknown):
        return listed
    return {str(d["Name"]): d["Value"] for d in listed}


def _on(alarm: Mapping[str, Any]) -> bool:
    return str(alarm.get("ActionsEnabled", True)).lower() == "true"


def _actions(wanted: Any, found: Sequence[str]) -> tuple[Any, Any]:
    """Both sides; an action whose address only CloudFormation knows counts as some action."""
    if isinstance(wanted, Unknown):
        return wanted, found
    if any(isinstance(action, Unknown) for action in wanted):
        return f"{len(wanted)} of them", f"{len(found)} of them"
    return sorted(wanted), sorted(found)
