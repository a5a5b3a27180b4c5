"""Budgets as they are given: units a second, or a share of what a table has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from core.errors import UsageError
from ialctl.context import AppContext

_OF = {"--max-rcu": ("Read", "legacy"), "--max-wcu": ("Write", "optimized")}


def budget_of(context: AppContext, option: str, given: str | None) -> float | None:
    """Units a second; 0 stands for no limit, None for what holds already.

    A share (`50%`) is one of the legacy table's read capacity, or of the optimized history's write
    capacity: what is provisioned, or the most that an on-demand table is allowed.

    Raises:
        UsageError: it is neither a number nor a share, or the table has no capacity of its own.
        NotFoundError: the table is not there.
    """
    if given is None:
        return None
    if given.endswith("%"):
        share = _number(option, given, given[:-1])
        if not 0 < share <= 100:
            raise _no_budget(option, given)
        return max(1.0, _capacity(context, option, given) * share / 100)
    units = _number(option, given, given)
    if units != 0 and units < 1:
        raise _no_budget(option, given)
    return units


def _number(option: str, given: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise _no_budget(option, given) from None
    if not math.isfinite(number):
        raise _no_budget(option, given)
    return number


def _capacity(context: AppContext, option: str, given: str) -> float:
    from core.memory.schema import history_schema, legacy_history_schema

    kind, side = _OF[option]
    schema = legacy_history_schema if side == "legacy" else history_schema
    name = schema(context.settings.project).name
    about = context.session.client("dynamodb").describe_table(TableName=name)["Table"]
    units = _units(about, kind)
    if units > 0:
        return units
    raise UsageError(
        f"'{name}' is on demand and has no limit: there is nothing that {given} could be of.",
        f"Give units a second: `{option} N`.",
        table=name,
    )


def _units(about: Mapping[str, Any], kind: str) -> float:
    provisioned = (about.get("ProvisionedThroughput") or {}).get(f"{kind}CapacityUnits", 0)
    on_demand = (about.get("OnDemandThroughput") or {}).get(f"Max{kind}RequestUnits", 0)
    return float(provisioned) or float(on_demand)


def _no_budget(option: str, given: str) -> UsageError:
    return UsageError(
        f"'{given:.40}' is no budget.",
        f"Write units a second, 1 or more, or a share: `{option} 500`, `{option} 50%`; 0 lifts it.",
    )
