"""A run against a saved one: what is found less often, and what costs more."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.benchmark.evaluation.measures import DEPTHS
from core.benchmark.evaluation.report import SCHEMA, Conditions, Report, document
from core.errors import StorageError, UsageError

_COSTS = ("read_units", "requests", "rounds")
_ROUNDING = 1e-9
_MAX_BYTES = 64 * 1024 * 1024
_SHARED: Mapping[str, str] = {
    "dataset": "data set (SHA-256)",
    "model": "embedding model",
    "dimensions": "dimensions",
    "seed": "seed",
    "questions": "number of questions",
    "budget_tokens": "budget of tokens",
    "cold": "`--cold`",
}


@dataclass(frozen=True)
class Figures:
    """What two runs are compared by. Recalls are 0 to 1, by what they are of and depth."""

    conditions: Conditions
    recalls: Mapping[tuple[str, int], float]
    exact: float
    costs: Mapping[tuple[str, str], float]


def figures_of(report: Report) -> Figures:
    """The figures of a run."""
    return _figures(document(report, timings=False))


def load_figures(path: Path) -> Figures:
    """The figures of a saved run.

    Raises:
        StorageError: the file can't be read.
        UsageError: it is not a saved run.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES)
    except OSError as error:
        raise StorageError(
            f"The saved run '{path}' can't be read: {error.strerror or error}.",
            "Save one: `ialctl eval --dataset FILE --save RUN.json`.",
            path=str(path),
        ) from error
    try:
        return _figures(json.loads(raw, parse_constant=_refuse, parse_float=_finite))
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        raise UsageError(
            f"The file '{path}' is no saved run of this kind ({SCHEMA}).",
            "Save one: `ialctl eval --dataset FILE --save RUN.json`.",
        ) from error


def check_comparable(before: Conditions, now: Conditions) -> None:
    """Refuses two runs that asked different things.

    Raises:
        UsageError: they differ in data set, embedder, seed, questions or budget.
    """
    for name, words in _SHARED.items():
        was, is_now = getattr(before, name), getattr(now, name)
        if was != is_now:
            raise UsageError(
                f"The saved run can't be compared with this one: its {words} was "
                f"'{was!s:.64}', here it is '{is_now!s:.64}'.",
                "Run it as the saved one was run, or save a new one.",
            )


def losses(before: Figures, now: Figures, tolerance: float) -> tuple[str, ...]:
    """What is worse than before, a line each; nothing where all is as good.

    Args:
        before: of the saved run.
        now: of the run compared with it.
        tolerance: percentage points that each recall may lose.
    """
    return (*_lost_recalls(before, now, tolerance), *_higher_costs(before, now))


def _lost_recalls(before: Figures, now: Figures, tolerance: float) -> Iterator[str]:
    pairs = [
        (f"recall@{depth} of {name} questions", was, now.recalls.get((name, depth), 0.0))
        for (name, depth), was in before.recalls.items()
    ]
    pairs.append(("recall@10 against exact cosines", before.exact, now.exact))
    for words, was, is_now in pairs:
        if 100 * (was - is_now) > tolerance + _ROUNDING:
            yield f"{words} fell from {100 * was:.2f}% to {100 * is_now:.2f}%"


def _higher_costs(before: Figures, now: Figures) -> Iterator[str]:
    for (state, name), was in before.costs.items():
        is_now = now.costs[state, name]
        if is_now > was + _ROUNDING:
            words = name.replace("_", " ")
            yield f"{words} of a {state} context rose from {was:g} to {is_now:g} on average"


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _refuse(constant: str) -> None:
    # Nothing is worse than NaN, so a file that holds it would let every run pass.
    raise ValueError(constant)


def _figures(found: Mapping[str, Any]) -> Figures:
    if found["schema"] != SCHEMA:
        raise ValueError(found["schema"])
    recall = found["recall"]
    rows = [recall["overall"], *recall["categories"]]
    return Figures(
        Conditions(
            str(found["dataset"]["sha256"]),
            str(found["embedder"]["model"]),
            int(found["embedder"]["dimensions"]),
            int(found["seed"]),
            int(found["asked"]),
            int(found["budget_tokens"]),
            bool(found["all_cold"]),
        ),
        {
            (str(row["name"]), depth): float(row["engine"][str(depth)])
            for row in rows
            for depth in DEPTHS
        },
        float(found["against_exact"]["recall_at_10"]),
        {
            (state, name): float(found["contexts"][state][name]["mean"])
            for state in ("cold", "warm")
            for name in _COSTS
        },
    )
