"""The result of a benchmark as plain data: what `--save`, `--json` and the report are made of."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.benchmark.layouts.claims import CLAIMS, Claim, Verdict
from core.benchmark.layouts.contenders import LEGACY, LEGACY_INLINE, LEGACY_WHOLE, OPTIMIZED
from core.benchmark.layouts.measuring import Measured
from core.benchmark.layouts.memory_use import MemoryUse
from core.benchmark.layouts.plan import Scenario
from core.benchmark.layouts.samples import medians, ratio, times
from core.cost.model import monthly
from core.cost.prices import Prices
from core.cost.profile import Profile
from core.cost.usage import Terms, Usage

SCHEMA = "ialctl.benchmark/1"
MEASURED, MODELLED = "measured", "modelled"
AGAINST = (LEGACY, LEGACY_INLINE, LEGACY_WHOLE)
INLINE_PROFILE = "legacy_inline"
"""Under which the profile of legacy items with vectors stands in a result."""
_COUNTED = ("requests", "rounds", "read_units", "write_units", "bytes", "embeddings")


def rows(found: Measured) -> Iterator[dict[str, Any]]:
    """A row an operation and layout of one scenario.

    `times` and `reference` are all times, block by block, for who compares it with another run.
    """
    for (layout, operation), blocks in found.blocks.items():
        yield {
            "layout": layout,
            "operation": operation,
            "scenario": found.scenario.label,
            "messages": found.scenario.messages,
            **found.summary(layout, operation),
            "times": times(blocks),
            "reference": found.reference[operation],
        }


def ratios(found: Measured, seed: int) -> Iterator[dict[str, Any]]:
    """What the optimized layout takes, as a share of what the legacy one takes."""
    for operation in found.reference:
        old = found.blocks.get((LEGACY, operation), [])
        new = found.blocks.get((OPTIMIZED, operation), [])
        about = {
            "operation": operation,
            "scenario": found.scenario.label,
            "messages": found.scenario.messages,
            "label": MEASURED,
        }
        slow, quick = medians(old), medians(new)
        if slow and quick:
            time = ratio(quick, slow, seed)
            yield {
                **about,
                "quantity": "time",
                "legacy": round(statistics.median(slow), 4),
                "optimized": round(statistics.median(quick), 4),
                "ratio": round(time.value, 4),
                "interval": [round(time.low, 4), round(time.high, 4)],
            }
            yield from _counted(about, *(found.summary(x, operation) for x in (LEGACY, OPTIMIZED)))


def _counted(
    about: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    for quantity in _COUNTED:
        if old[quantity] or new[quantity]:
            share = round(new[quantity] / old[quantity], 4) if old[quantity] else None
            yield {
                **about,
                "quantity": quantity,
                "legacy": old[quantity],
                "optimized": new[quantity],
                "ratio": share,
                "interval": None,
            }


def row_of(
    measurements: Iterable[Mapping[str, Any]], layout: str, operation: str, scenario: str
) -> Mapping[str, Any] | None:
    """The row of a layout's operation."""
    wanted = (layout, operation, scenario)
    found = (r for r in measurements if (r["layout"], r["operation"], r["scenario"]) == wanted)
    return next(found, None)


@dataclass(frozen=True)
class Found:
    """What verdicts are made of."""

    scenarios: Sequence[Scenario]
    measurements: Sequence[Mapping[str, Any]]
    memory: Mapping[tuple[str, str], MemoryUse]
    profiles: Mapping[str, Profile]
    usage: Usage
    prices: Prices


def verdicts(found: Found) -> Iterator[Verdict]:
    """Each claim at each size, against either legacy engine; the cost's once: it is computed."""
    for claim in CLAIMS:
        if claim.operation == "cost":
            yield from _cost_verdicts(claim, found)
            continue
        for scenario, against in itertools.product(found.scenarios, AGAINST):
            old = _figure(found, claim, against, scenario)
            new = _figure(found, claim, OPTIMIZED, scenario)
            if old is not None and new is not None:
                yield Verdict(claim, scenario.messages, old, new, MEASURED, against)


def _figure(found: Found, claim: Claim, layout: str, scenario: Scenario) -> float | None:
    if claim.operation == "memory":
        use = found.memory.get((layout, scenario.label))
        return None if use is None else float(use.peak_bytes)
    row = row_of(found.measurements, layout, claim.operation, scenario.label)
    if row is None:
        return None
    if claim.quantity == "p50_ms":
        times: Mapping[str, float] = row["latency_ms"]
        return times.get("p50")
    return float(row[claim.quantity])


def _cost_verdicts(claim: Claim, found: Found) -> Iterator[Verdict]:
    terms = Terms(embedder=claim.quantity)
    dollars = {
        name: round(monthly(profile, found.usage, found.prices, terms).total, 2)
        for name, profile in found.profiles.items()
    }
    messages = round(found.usage.history)
    for name, against in ((LEGACY, LEGACY), (INLINE_PROFILE, LEGACY_INLINE)):
        pair = (dollars[name], dollars[OPTIMIZED])
        yield Verdict(claim, messages, *pair, MODELLED, against)
