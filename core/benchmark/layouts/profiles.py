"""What was measured, as profiles for the cost model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.benchmark.evaluation.measures import mean
from core.benchmark.layouts.contenders import LEGACY, LEGACY_INLINE
from core.benchmark.layouts.measuring import Measured
from core.benchmark.layouts.plan import Scenario
from core.benchmark.layouts.storing import Stored
from core.cost.profile import Curve, Profile
from core.memory.tokens import estimate_tokens


def profile(
    layout: str,
    source: str,
    measured: Sequence[Measured],
    measurements: Sequence[Mapping[str, Any]],
    stored: Sequence[Stored],
) -> Profile:
    """The profile of a layout.

    Args:
        layout: which.
        source: where the figures are from, in words.
        measured: every scenario, in order of size.
        measurements: the rows of the result.
        stored: the layout's tables: the history, and for the optimized one the embeddings.
    """
    own = {(r["operation"], r["scenario"]): r for r in measurements if r["layout"] == layout}
    history, index = _appends(layout, measured)
    messages = stored[0].items
    return Profile(
        layout=LEGACY if layout == LEGACY_INLINE else layout,
        source=f"{source}; vectors inline" if layout == LEGACY_INLINE else source,
        append_rru=mean(c.read_units for c in history),
        append_wru=mean(c.write_units for c in history),
        index_rru=mean(c.read_units for c in index),
        index_wru=mean(c.write_units for c in index),
        recent_rru=_mean(own, "recent", "read_units"),
        search_rru=_mean(own, "search", "read_units"),
        context_rru=_curve(own, "context_warm"),
        context_cold_rru=_curve(own, "context_cold"),
        stored_bytes=stored[0].item_bytes / messages,
        gsi_bytes=sum(s.index_bytes for s in stored) / messages,
        vector_bytes=sum(s.item_bytes for s in stored[1:]) / messages,
        embeddings_per_message=_mean(own, "append", "embeddings"),
        embeddings_per_context=_mean(own, "context_warm", "embeddings"),
        tokens_per_message=_tokens([m.scenario for m in measured]),
    )


def _appends(layout: str, measured: Sequence[Measured]) -> tuple[list[Any], list[Any]]:
    samples = (s for m in measured for s in m.counted[(layout, "append")])
    outcomes = [s.outcome for s in samples if s.outcome is not None]
    return [o.history for o in outcomes], [o.index for o in outcomes]


def _mean(own: Mapping[tuple[str, str], Mapping[str, Any]], operation: str, name: str) -> float:
    return mean(row[name] for (done, _), row in own.items() if done == operation)


def _curve(own: Mapping[tuple[str, str], Mapping[str, Any]], operation: str) -> Curve:
    found = {r["messages"]: r["read_units"] for (done, _), r in own.items() if done == operation}
    return tuple(sorted(found.items()))


def _tokens(scenarios: Sequence[Scenario]) -> float:
    histories = (h for s in scenarios for h in s.histories)
    return mean(estimate_tokens(m.content) for h in histories for m in h.conversation.messages)
