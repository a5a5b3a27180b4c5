"""What an evaluation found and what that cost: as values, as plain data for JSON, as a table."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.benchmark.evaluation.dataset import CATEGORIES, UNKNOWN_CATEGORY, Dataset, Tally
from core.benchmark.evaluation.measures import DEPTHS, Spread, mean, spread
from core.benchmark.evaluation.running import Asked, Plan, Run

SCHEMA = "ialctl.eval/1"
ALL = "all"
COUNTED = ("read_units", "requests", "rounds", "bytes", "tokens", "embeddings")
_DIGITS = 4
_NAME_CHARS = 40


@dataclass(frozen=True)
class RecallRow:
    """Recalls, 0 to 1, by depth; of the engine, and of BM25 alone for the same questions."""

    name: str
    questions: int
    engine: Mapping[int, float]
    bm25: Mapping[int, float]


@dataclass(frozen=True)
class Costs:
    """What contexts cost, by what is counted."""

    contexts: int
    counted: Mapping[str, Spread]


@dataclass(frozen=True)
class Timings:
    """What differs from run to run: milliseconds of a call, seconds of the whole."""

    cold_context_ms: Spread
    warm_context_ms: Spread
    search_ms: Spread
    import_s: float
    total_s: float


@dataclass(frozen=True)
class Conditions:
    """What a run must share with another to be compared with it."""

    dataset: str
    model: str
    dimensions: int
    seed: int
    questions: int
    budget_tokens: int
    cold: bool

    @classmethod
    def of(cls, dataset: Dataset, model: tuple[str, int], plan: Plan) -> Conditions:
        """Those of a run that asks all questions of `dataset`; `model`: name and dimensions."""
        return cls(
            dataset.digest, *model, plan.seed, dataset.questions, plan.budget_tokens, plan.cold
        )


@dataclass(frozen=True)
class Report:
    """An evaluation. `exact`: recall@10 of the search by vector alone against exact cosines.

    `missing` are the sentences that contexts and imports came with, and how many did.
    """

    conditions: Conditions
    conversations: int
    messages: int
    tally: Tally
    overall: RecallRow
    categories: tuple[RecallRow, ...]
    by_conversation: tuple[RecallRow, ...]
    exact: float
    exact_questions: int
    cold: Costs
    warm: Costs
    missing: Mapping[str, int]
    kept_users: tuple[str, ...]
    timings: Timings


def make_report(dataset: Dataset, model: tuple[str, int], plan: Plan, run: Run) -> Report:
    """The report of a run; `model` is the embedder's name and dimensions."""
    asked = run.asked
    compared = [one.exact for one in asked if one.exact is not None]
    cold, warm = [a for a in asked if a.cold], [a for a in asked if not a.cold]
    return Report(
        conditions=Conditions.of(dataset, model, plan),
        conversations=len(dataset.conversations),
        messages=dataset.messages,
        tally=dataset.tally,
        overall=_recall_row(ALL, asked),
        categories=_recall_rows(
            asked, lambda one: one.category, [*CATEGORIES.values(), UNKNOWN_CATEGORY]
        ),
        by_conversation=_recall_rows(
            asked, lambda one: one.conversation, [c.name for c in dataset.conversations]
        ),
        exact=round(mean(compared), _DIGITS),
        exact_questions=len(compared),
        cold=_costs(cold),
        warm=_costs(warm),
        missing=_missing(run),
        kept_users=run.kept_users,
        timings=_timings(cold, warm, run),
    )


def _missing(run: Run) -> Mapping[str, int]:
    told = Counter(sentence for one in run.asked for sentence in one.missing)
    return dict(sorted((told + Counter(run.missing)).items()))


def _recall_rows(
    asked: Sequence[Asked], group: Callable[[Asked], str], names: Iterable[str]
) -> tuple[RecallRow, ...]:
    rows = (_recall_row(name, [a for a in asked if group(a) == name]) for name in names)
    return tuple(row for row in rows if row.questions)


def _recall_row(name: str, asked: Sequence[Asked]) -> RecallRow:
    return RecallRow(
        name,
        len(asked),
        {depth: round(mean(a.engine[depth] for a in asked), _DIGITS) for depth in DEPTHS},
        {depth: round(mean(a.bm25[depth] for a in asked), _DIGITS) for depth in DEPTHS},
    )


def _costs(asked: Sequence[Asked]) -> Costs:
    return Costs(
        len(asked),
        {name: spread(_count(one, name) for one in asked) for name in COUNTED},
    )


def _count(asked: Asked, name: str) -> float:
    if name == "embeddings":
        return asked.embeddings_made
    if name == "tokens":
        return asked.tokens
    value: float = getattr(asked.consumed, name)
    return value


def _timings(cold: Sequence[Asked], warm: Sequence[Asked], run: Run) -> Timings:
    return Timings(
        spread(round(a.context_ms, 3) for a in cold),
        spread(round(a.context_ms, 3) for a in warm),
        spread(round(a.search_ms, 3) for a in (*cold, *warm)),
        round(run.import_s, 3),
        round(run.seconds, 3),
    )


def document(report: Report, *, timings: bool) -> dict[str, Any]:
    """The report as plain data: the same for the same data, seed and model, but for `timings`."""
    conditions, tally = report.conditions, report.tally
    made: dict[str, Any] = {
        "schema": SCHEMA,
        "dataset": {
            "sha256": conditions.dataset,
            "conversations": report.conversations,
            "messages": report.messages,
            **{k: v for k, v in dataclasses.asdict(tally).items() if k != "troubles"},
            "troubles": list(tally.troubles),
        },
        "embedder": {"model": conditions.model, "dimensions": conditions.dimensions},
        "seed": conditions.seed,
        "asked": conditions.questions,
        "budget_tokens": conditions.budget_tokens,
        "all_cold": conditions.cold,
        "recall": {
            "overall": _plain_row(report.overall),
            "categories": [_plain_row(row) for row in report.categories],
            "conversations": [_plain_row(row) for row in report.by_conversation],
        },
        "against_exact": {"recall_at_10": report.exact, "questions": report.exact_questions},
        "contexts": {"cold": _plain_costs(report.cold), "warm": _plain_costs(report.warm)},
        "missing": dict(report.missing),
        "kept_users": list(report.kept_users),
    }
    return made | ({"timings": dataclasses.asdict(report.timings)} if timings else {})


def _plain_row(row: RecallRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "questions": row.questions,
        "engine": {str(depth): value for depth, value in row.engine.items()},
        "bm25": {str(depth): value for depth, value in row.bm25.items()},
    }


def _plain_costs(costs: Costs) -> dict[str, Any]:
    counted = {name: dataclasses.asdict(value) for name, value in costs.counted.items()}
    return {"contexts": costs.contexts, **counted}


def table(report: Report, *, timings: bool) -> str:
    """The report for people: recalls in percent, then what contexts cost."""
    rows = (report.overall, *report.categories, *report.by_conversation)
    width = max(len("recall, %"), *(len(_shown(row.name)) for row in rows))
    depths = "".join(f"{'@' + str(depth):>7}" for depth in DEPTHS)
    parts = [
        f"{'recall, %':{width}}{'questions':>11}{depths}   BM25{depths}",
        *(_recall_line(row, width) for row in rows),
        "",
        f"search by vector against exact cosines, recall@10: {100 * report.exact:.1f}% "
        f"(questions: {report.exact_questions}; {report.conditions.model})",
        "",
        f"{'a context':14}{'first (cold)':>24}{'following (warm)':>24}",
        f"{'':14}{'mean':>12}{'p95':>12}{'mean':>12}{'p95':>12}",
        *(_cost_line(report, name) for name in COUNTED),
    ]
    return "\n".join([*parts, *(_timing_lines(report) if timings else ())])


def _shown(name: str) -> str:
    # A sample's name is the file's to choose, line breaks and all.
    return " ".join(name.split())[:_NAME_CHARS]


def _recall_line(row: RecallRow, width: int) -> str:
    engine, bm25 = (
        "".join(f"{100 * recalls[depth]:7.1f}" for depth in DEPTHS)
        for recalls in (row.engine, row.bm25)
    )
    return f"{_shown(row.name):{width}}{row.questions:11d}{engine}       {bm25}"


def _cost_line(report: Report, name: str) -> str:
    return _line(
        name.replace("_", " "),
        [(c.contexts, c.counted[name]) for c in (report.cold, report.warm)],
        2,
    )


def _timing_lines(report: Report) -> list[str]:
    timings = report.timings
    spreads = [
        (report.cold.contexts, timings.cold_context_ms),
        (report.warm.contexts, timings.warm_context_ms),
    ]
    return [
        _line("milliseconds", spreads, 1),
        "",
        f"imported in {timings.import_s:.1f} s; {timings.total_s:.1f} s in all",
    ]


def _line(name: str, spreads: Iterable[tuple[int, Spread]], digits: int) -> str:
    shown = (
        f"{s.mean:12.{digits}f}{s.p95:12.{digits}f}" if contexts else f"{'-':>12}{'-':>12}"
        for contexts, s in spreads
    )
    return f"{name:14}" + "".join(shown)
