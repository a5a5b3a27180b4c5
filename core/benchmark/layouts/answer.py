"""Is it better, by how much, and is that what was claimed: a result in a few sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.benchmark.layouts.contenders import LEGACY, LEGACY_INLINE, LEGACY_WHOLE, OPTIMIZED
from core.benchmark.layouts.result import MODELLED

_Row = Mapping[str, Any]
_AGAINST = (
    (LEGACY, "against it as it was"),
    (LEGACY_INLINE, "with vectors inline"),
    (LEGACY_WHOLE, "where it finds as much"),
)


def answer(result: Mapping[str, Any]) -> Iterator[str]:
    """Sentences about the largest history that was measured; none where nothing was."""
    largest = max((row["messages"] for row in result["measurements"]), default=0)
    rows = {
        row["layout"]: row
        for row in result["measurements"]
        if (row["operation"], row["messages"]) == ("context_warm", largest) and row["latency_ms"]
    }
    if LEGACY in rows and OPTIMIZED in rows:
        yield _as_it_was(largest, rows[LEGACY], rows[OPTIMIZED])
        if LEGACY_INLINE in rows:
            yield _with_vectors(rows[LEGACY_INLINE], rows[OPTIMIZED])
        if LEGACY_WHOLE in rows:
            yield _finding_as_much(rows[LEGACY_WHOLE], rows[OPTIMIZED])
    claims = [c for c in result["claims"] if c["messages"] == largest or c["label"] == MODELLED]
    counted = [
        (sum(c["holds"] for c in own), len(own), words)
        for layout, words in _AGAINST
        if (own := [c for c in claims if c["against"] == layout])
    ]
    if counted:
        held = (f"{holding} of {total} {words}" for holding, total, words in counted)
        yield f"Of the figures that were claimed there hold {', '.join(held)}."


def _as_it_was(messages: int, old: _Row, new: _Row) -> str:
    return (
        f"With {messages:,} messages a context holds {_share(new)} of what was asked for; the "
        f"legacy one, which looks at the last hundred, {_share(old)}. That takes "
        f"{new['read_units']:.3g} read units against {old['read_units']:.3g}, and "
        f"{_time(new)} against {_time(old)}."
    )


def _with_vectors(inline: _Row, new: _Row) -> str:
    return (
        f"Where legacy items carry their vectors it takes {inline['read_units']:.3g} read units "
        f"and {_time(inline)}: {_rounded(_times(inline, new))} times the units."
    )


def _finding_as_much(whole: _Row, new: _Row) -> str:
    times = whole["latency_ms"]["p50"] / new["latency_ms"]["p50"]
    return (
        f"To look at as much, the legacy layout takes {whole['read_units']:,.0f} read units and "
        f"{_time(whole)}: {_rounded(_times(whole, new))} times the units, "
        f"{_rounded(times)} times as long."
    )


def _rounded(times: float) -> str:
    return f"{times:,.0f}" if times >= 10 else f"{times:.1f}"


def _times(old: _Row, new: _Row) -> float:
    return float(old["read_units"] / max(new["read_units"], 0.5))


def _share(row: _Row) -> str:
    return "nothing that can be counted" if row["recall"] is None else f"{row['recall']:.0%}"


def _time(row: _Row) -> str:
    ms = row["latency_ms"]["p50"]
    return f"{ms:.1f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"
