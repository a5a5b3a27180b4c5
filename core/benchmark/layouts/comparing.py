"""A result against an earlier one: what got worse by more than noise.

Times are compared as multiples of a reference measured beside them, both where nothing disturbed
them (see `undisturbed`), so that a busy machine, or another one, does not pass for a change of the
code. A time is worse where its ratio lies beyond the tolerance, and the whole 95% interval beyond
half of it; what looks worse is measured again twice, and counts only if it is worse each time.
Counts hang on the seed alone, and are compared as they are.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from core.benchmark.layouts.contenders import LEGACY, OPTIMIZED
from core.benchmark.layouts.memory_use import MemoryUse
from core.benchmark.layouts.result import SCHEMA, row_of
from core.benchmark.layouts.samples import Ratio, compared, undisturbed
from core.errors import StorageError, UsageError

TOLERANCE = 0.08
_COUNT_TOLERANCE, _COUNT_SLACK = 0.05, 0.1
_RECALL_SLACK, _ERROR_SLACK = 0.02, 0.005
_MEMORY_TOLERANCE, _MEMORY_SLACK = 0.1, 256 * 1024
_COUNTS = ("requests", "rounds", "read_units", "write_units", "bytes", "embeddings")
_SAME = ("embedder", "rtt_ms", "embedding_ms", "digest", "sizes", "histories")
_ENOUGH = 3
_LARGEST_FILE = 64 * 1024 * 1024


@dataclass(frozen=True)
class Loss:
    """A figure that is worse than before; `interval` of the ratio now/before, for times."""

    operation: str
    scenario: str
    quantity: str
    before: float
    now: float
    interval: tuple[float, float] | None = None

    @property
    def words(self) -> str:
        """In a sentence."""
        where = f"{self.operation.replace('_', ' ')} at {self.scenario} messages"
        if self.interval is None:
            return f"{where}: {self.quantity} {self.before:g} → {self.now:g}"
        low, high = self.interval
        more = self.now / self.before - 1
        return (
            f"{where}: {more:+.0%} time ({self.before:.2f} → {self.now:.2f} × the reference; "
            f"95% between {low - 1:+.0%} and {high - 1:+.0%})"
        )

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "words": self.words,
            "operation": self.operation,
            "scenario": self.scenario,
            "quantity": self.quantity,
            "before": self.before,
            "now": self.now,
            "interval": None if self.interval is None else list(self.interval),
        }


def load_result(path: Path) -> dict[str, Any]:
    """A result that was saved.

    Raises:
        StorageError: it can't be read.
        UsageError: it is no result of a benchmark.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE)
    except OSError as error:
        raise StorageError(
            f"The result '{path}' can't be read: {error.strerror or error}.",
            "Name a file that `ialctl benchmark --save` wrote.",
            path=str(path),
        ) from error
    try:
        loaded = orjson.loads(raw)
    except orjson.JSONDecodeError:
        loaded = None
    if not isinstance(loaded, dict) or loaded.get("schema") != SCHEMA or not _has_rows(loaded):
        raise UsageError(
            f"'{path}' is no result of this version's `ialctl benchmark`.",
            "Make one: `ialctl benchmark --save FILE`.",
        )
    return loaded


def _has_rows(loaded: Mapping[str, Any]) -> bool:
    rows, conditions = loaded.get("measurements"), loaded.get("conditions")
    if not isinstance(rows, list) or not rows or not isinstance(conditions, dict):
        return False
    if not isinstance(loaded.get("memory"), list):
        return False
    about = ("layout", "operation", "scenario", "times", "reference", "recall")
    wanted = (*about, "calls", "errors", *_COUNTS)
    return all(isinstance(r, dict) and all(name in r for name in wanted) for r in rows)


def check_comparable(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuses to compare what was measured under other conditions.

    Args:
        before: the conditions of the saved result.
        now: those of this run.

    Raises:
        UsageError: they differ in something that figures hang on.
    """
    for name in _SAME:
        if before.get(name) != now.get(name):
            raise UsageError(
                f"The saved result can't be compared with: its {name} is "
                f"{_words(before.get(name))}, here it is {_words(now.get(name))}.",
                "Run with the options that it was made with, or save a new one.",
            )


def _words(value: Any) -> str:
    return orjson.dumps(value).decode()[:80]


def losses(
    before: Sequence[Mapping[str, Any]],
    now: Sequence[Mapping[str, Any]],
    *,
    seed: int,
    tolerance: float = TOLERANCE,
) -> tuple[Loss, ...]:
    """What of the optimized layout is worse now than before, row by row."""
    scenarios = dict.fromkeys(row["scenario"] for row in now)
    drifts = {scenario: _drift(before, now, scenario, seed) for scenario in scenarios}
    found: list[Loss] = []
    for row in now:
        old = row_of(before, OPTIMIZED, row["operation"], row["scenario"])
        if row["layout"] == OPTIMIZED and old is not None:
            found += _lost(old, row, _Judge(seed, tolerance, drifts[row["scenario"]]))
    return tuple(found)


@dataclass(frozen=True)
class _Judge:
    """How times are judged; `drift` is what they are divided by first."""

    seed: int
    tolerance: float
    drift: float

    def change(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> Ratio:
        plain = _change(old, new, self.seed)
        return Ratio(plain.value / self.drift, plain.low / self.drift, plain.high / self.drift)

    def is_worse(self, change: Ratio) -> bool:
        return change.value > 1 + self.tolerance and change.low > 1 + self.tolerance / 2


def _change(old: Mapping[str, Any], new: Mapping[str, Any], seed: int) -> Ratio:
    then = undisturbed(old["times"], old["reference"], seed)
    return compared(undisturbed(new["times"], new["reference"], seed + 1), then)


def _drift(
    before: Sequence[Mapping[str, Any]],
    now: Sequence[Mapping[str, Any]],
    scenario: str,
    seed: int,
) -> float:
    """By how much the reference was slowed down more than the engines; 1 where it was not.

    The legacy engine, which nobody improves, seems quicker where the reference was disturbed: its
    median change is taken off then. Where it seems slower that may be our own doing, and counts.
    """
    own = [r for r in now if (r["layout"], r["scenario"]) == (LEGACY, scenario)]
    pairs = [(row_of(before, LEGACY, row["operation"], scenario), row) for row in own]
    changes = [
        _change(old, row, seed).value
        for old, row in pairs
        if old is not None and any(old["times"]) and any(row["times"])
    ]
    return min(1.0, statistics.median(changes)) if len(changes) >= _ENOUGH else 1.0


def memory_losses(
    before: Mapping[str, Any], now: Mapping[tuple[str, str], MemoryUse]
) -> list[Loss]:
    """What the optimized layout takes more of memory than in the result `before`."""
    found = []
    for row in before["memory"]:
        use = now.get((row["layout"], row["scenario"]))
        if use is None or row["layout"] != OPTIMIZED:
            continue
        for name in ("held_bytes", "peak_bytes"):
            most = row[name] * (1 + _MEMORY_TOLERANCE) + _MEMORY_SLACK
            if (more := getattr(use, name)) > most:
                words = name.replace("_", " ")
                found.append(Loss("memory", row["scenario"], words, row[name], more))
    return found


def _lost(old: Mapping[str, Any], new: Mapping[str, Any], judge: _Judge) -> Iterator[Loss]:
    about = (new["operation"], new["scenario"])
    if any(old["times"]) and any(new["times"]):
        change = judge.change(old, new)
        if judge.is_worse(change):
            then = undisturbed(old["times"], old["reference"], judge.seed)[0]
            interval = (round(change.low, 4), round(change.high, 4))
            yield Loss(*about, "time", round(then, 4), round(then * change.value, 4), interval)
    failed = tuple(sum(row["errors"].values()) / max(row["calls"], 1) for row in (old, new))
    if failed[1] > failed[0] + _ERROR_SLACK:
        yield Loss(*about, "share of errors", *(round(share, 4) for share in failed))
    for name in _COUNTS:
        if new[name] > old[name] * (1 + _COUNT_TOLERANCE) + _COUNT_SLACK:
            yield Loss(*about, name.replace("_", " "), old[name], new[name])
    if old["recall"] is not None and (new["recall"] or 0) < old["recall"] - _RECALL_SLACK:
        yield Loss(*about, "recall", old["recall"], new["recall"] or 0.0)
