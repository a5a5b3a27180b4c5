"""The result of a benchmark as plain data: what `--save`, `--json` and the report are made of."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from core.benchmark.layouts.claims import CLAIMS, Claim, Verdict
from core.benchmark.layouts.contenders import LEGACY, OPTIMIZED
from core.benchmark.layouts.measuring import Measured
from core.benchmark.layouts.memory_use import MemoryUse
from core.benchmark.layouts.samples import medians, ratio, summary
from core.cost.model import monthly
from core.cost.prices import Prices
from core.cost.profile import Profile
from core.cost.usage import Terms, Usage

SCHEMA = "ialctl.benchmark/1"
MEASURED, MODELLED, CLAIMED = "measured", "modelled", "claimed"
_COUNTED = ("requests", "rounds", "read_units", "write_units", "bytes", "embeddings")


def rows(found: Measured) -> Iterator[dict[str, Any]]:
    """A row an operation and layout of one scenario.

    `relative` are the medians of its blocks as multiples of the reference's, measured beside them.
    """
    for (layout, operation), blocks in found.blocks.items():
        reference = found.reference[operation]
        yield {
            "layout": layout,
            "operation": operation,
            "scenario": found.scenario.label,
            "messages": found.scenario.messages,
            **summary(blocks),
            "relative": relative(medians(blocks), reference),
        }


def relative(times: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Times as multiples of the reference's, block by block; none where a block failed."""
    if len(times) != len(reference):
        return []
    return [round(time / beside, 4) for time, beside in zip(times, reference, strict=True)]


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
            yield from _counted(about, summary(old), summary(new))


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


def verdicts(
    measured: Sequence[Measured],
    measurements: Sequence[Mapping[str, Any]],
    memory: Mapping[tuple[str, str], MemoryUse],
    profiles: Mapping[str, Profile],
    usage: Usage,
    prices: Prices,
) -> Iterator[Verdict]:
    """Each claim at each size; the cost's, which is computed, once."""
    for claim in CLAIMS:
        if claim.operation == "cost":
            yield from _cost_verdict(claim, profiles, usage, prices)
            continue
        for one in measured:
            label, size = one.scenario.label, one.scenario.messages
            if claim.operation == "memory":
                uses = [memory.get((layout, label)) for layout in (LEGACY, OPTIMIZED)]
                pair = [None if use is None else float(use.peak_bytes) for use in uses]
            else:
                found = [
                    row_of(measurements, x, claim.operation, label) for x in (LEGACY, OPTIMIZED)
                ]
                pair = [_figure(row, claim.quantity) for row in found]
            if pair[0] is not None and pair[1] is not None:
                yield Verdict(claim, size, pair[0], pair[1], MEASURED)


def _figure(row: Mapping[str, Any] | None, quantity: str) -> float | None:
    if row is None:
        return None
    if quantity == "p50_ms":
        times: Mapping[str, float] = row["latency_ms"]
        return times.get("p50")
    return float(row[quantity])


def _cost_verdict(
    claim: Claim, profiles: Mapping[str, Profile], usage: Usage, prices: Prices
) -> Iterator[Verdict]:
    if LEGACY in profiles and OPTIMIZED in profiles:
        dollars = [monthly(profiles[x], usage, prices, Terms()).total for x in (LEGACY, OPTIMIZED)]
        yield Verdict(claim, round(usage.history), dollars[0], dollars[1], MODELLED)
