"""The result of a benchmark as a person reads it, in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.benchmark.layouts.contenders import LEGACY, LEGACY_INLINE, LEGACY_WHOLE, OPTIMIZED
from ialctl.output import plain
from ialctl.words import duration_words

_SHOWN_SIZES = 3
_WIDTH = 80
_Rows = Sequence[Mapping[str, Any]]

# What is shown of an operation, by the row's name: counts first, for they hold everywhere.
_FIGURES: tuple[tuple[str, str, str], ...] = (
    ("evidence in a context", "context_warm", "recall"),
    ("evidence, cold", "context_cold", "recall"),
    ("context, read units", "context_warm", "read_units"),
    ("context, cold", "context_cold", "read_units"),
    ("search, read units", "search", "read_units"),
    ("session, read units", "session", "read_units"),
    ("recent, read units", "recent", "read_units"),
    ("append, write units", "append", "write_units"),
    ("embeddings a context", "context_warm", "embeddings"),
)
_TIMES = (
    ("context", "context_warm"),
    ("context, cold", "context_cold"),
    ("search", "search"),
    ("session", "session"),
    ("recent", "recent"),
    ("append", "append"),
)


def shown(result: Mapping[str, Any]) -> RenderableType:
    """All of it."""
    parts: list[RenderableType] = [_head(result)]
    if result["measurements"]:
        for some in (_answer, _counts, _times, _notes, _claims):
            parts += some(result)
    if result["peers"]:
        parts += _peers(result)
    for tested in result["load"]:
        parts += _load(tested)
    return Group(*parts)


def _title(text: str) -> Text:
    return Text("\n") + Text(text, style="bold")


def _head(result: Mapping[str, Any]) -> Text:
    run, about = result["run"], result["conditions"]
    data = about["dataset"] or f"made conversations, seed {run['seed']}"
    delays = [
        f"{words} {about[name]:g} ms"
        for words, name in (("a request takes", "rtt_ms"), ("the model takes", "embedding_ms"))
        if about[name]
    ]
    what = "Load on both layouts" if result["load"] else "Legacy against optimized"
    first = f"{what} · {data} · {duration_words(run['seconds'])}"
    where = about["where"][:1].upper() + about["where"][1:]
    figures = about["figures"][:1].upper() + about["figures"][1:]
    lines = (first, where, figures, *map(_stated, delays))
    return plain("\n".join(lines))


def _stated(delay: str) -> str:
    return f"Stated: {delay} more than it does here"


def _answer(result: Mapping[str, Any]) -> Iterator[Text]:
    yield _title("Is it better?")
    yield from map(_sentences, result["answer"])


def _sentences(text: str) -> Text:
    return plain(textwrap.fill(text, _WIDTH))


def _counts(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    def cell(operation: str, name: str, layout: str, size: int) -> str:
        row = _row(result["measurements"], layout, operation, size)
        value = None if row is None else row[name]
        if value is None:
            return "–"
        return _share(value) if name == "recall" else f"{value:,.1f}"

    yield _title("Counts (measured; means a call)")
    table = _by_size(result)
    for title, operation, name in _FIGURES:
        _add(table, result, title, partial(cell, operation, name))
    _add(table, result, "memory at most, MiB", lambda x, n: _memory(result, x, n, "peak_bytes"))
    _add(table, result, "memory held, MiB", lambda x, n: _memory(result, x, n, "held_bytes"))
    yield table


def _times(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    def cell(operation: str, layout: str, size: int) -> str:
        row = _row(result["measurements"], layout, operation, size)
        if row is None or not row["latency_ms"]:
            return "–"
        return f"{_short(row['latency_ms']['p50'])}/{_short(row['own_ms']['p50'])}"

    yield _title("Times, median ms (measured): all / outside of the endpoint")
    table = _by_size(result)
    for title, operation in _TIMES:
        _add(table, result, title, partial(cell, operation))
    yield table


def _by_size(result: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("messages\n", no_wrap=True)
    for size in _sizes(result):
        table.add_column(f"{size:,}\nlegacy", justify="right", no_wrap=True)
        table.add_column("\noptim.", justify="right", no_wrap=True)
    return table


def _add(
    table: Table, result: Mapping[str, Any], title: str, cell: Callable[[str, int], str]
) -> None:
    cells = [cell(x, size) for size in _sizes(result) for x in (LEGACY, OPTIMIZED)]
    if any(one != "–" for one in cells):
        table.add_row(title, *cells)


def _notes(result: Mapping[str, Any]) -> Iterator[Text]:
    if "capacity rules" in result["conditions"]["figures"]:
        yield Text(
            "A local endpoint takes longer for a larger partition, which DynamoDB does not:\n"
            "go by the counts.",
            style="dim",
        )
    for row in result["measurements"]:
        if row["errors"]:
            failed = ", ".join(f"{count} × {name}" for name, count in row["errors"].items())
            yield plain(f"{row['layout']}, {row['operation']} at {row['scenario']}: {failed}")


def _claims(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    last = result["conditions"]["sizes"][-1]
    yield _title(f"What was claimed, and what is measured with {last:,} messages")
    table = Table(box=None, pad_edge=False)
    for name in ("against legacy", "how"):
        table.add_column(name, no_wrap=True)
    for name in ("claimed", "as it was", "with vectors", "as much found"):
        table.add_column(name, justify="right", no_wrap=True)
    verdicts = [c for c in result["claims"] if c["messages"] == last or c["label"] == "modelled"]
    by_name = {(c["name"], c["against"]): c for c in verdicts}
    for claim in (c for c in verdicts if c["against"] == LEGACY):
        against = (LEGACY, LEGACY_INLINE, LEGACY_WHOLE)
        found = (by_name.get((claim["name"], layout)) for layout in against)
        cells = (_verdict(one) for one in found)
        table.add_row(plain(claim["name"]), claim["label"], _change(claim["claimed"]), *cells)
    yield table


def _verdict(claim: Mapping[str, Any] | None) -> Text:
    """A change, and whether it is what was claimed."""
    if claim is None:
        return Text("")
    holds = Text(" yes", style="green") if claim["holds"] else Text("  no", style="red")
    return Text(_change(claim["change"])) + holds


def _peers(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Other libraries beside ours, at the largest history."""
    last = max(row["messages"] for row in result["peers"])
    yield _title(f"Peers, with {last:,} messages (measured; means a call)")
    table = Table(box=None, pad_edge=False)
    for name in ("", "", "requests", "read units", "write units", "KiB", "p50 ms"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    ours = (r for r in result["measurements"] if r["layout"] in (LEGACY, OPTIMIZED))
    rows = [row for row in (*ours, *result["peers"]) if row["messages"] == last]
    for operation in ("append", "recent"):
        for row in (row for row in rows if row["operation"] == operation):
            table.add_row(
                operation,
                plain(row["layout"]),
                f"{row['requests']:,.1f}",
                f"{row['read_units']:,.1f}",
                f"{row['write_units']:,.1f}",
                f"{row['bytes'] / 1024:,.1f}",
                _short(row["latency_ms"]["p50"]) if row["latency_ms"] else "–",
            )
    yield table


def _load(tested: Mapping[str, Any]) -> Iterator[RenderableType]:
    """A contender under load, step by step; what an open loop's call waited counts in."""
    title = f"Load, {tested['layout']}"
    if tested["limit_ms"]:
        held = tested["held_rate"]
        bears = "not even the first step" if held is None else f"{held:g} calls/s"
        title += f": bears {bears} with p99 within {tested['limit_ms']:g} ms"
    yield _title(title)
    table = Table(box=None, pad_edge=False)
    for name in ("step", "calls/s", "p50 ms", "p99 ms", "p99.9 ms", "p99 served", "errors"):
        table.add_column(name, justify="left" if name == "step" else "right", no_wrap=True)
    for step in tested["steps"]:
        late, served = step["latency_ms"], step["service_ms"]
        times = [late.get("p50"), late.get("p99"), late.get("p99.9"), served.get("p99")]
        table.add_row(
            plain(step["step"]),
            f"{step['per_second']:,.1f}",
            *("–" if ms is None else _short(ms) for ms in times),
            plain(", ".join(f"{n} {name}" for name, n in step["errors"].items()) or "none"),
        )
    yield table


def _row(rows: _Rows, layout: str, operation: str, messages: int) -> Any:
    wanted = (layout, operation, messages)
    return next((r for r in rows if (r["layout"], r["operation"], r["messages"]) == wanted), None)


def _memory(result: Mapping[str, Any], layout: str, messages: int, name: str) -> str:
    rows = result["measurements"]
    label = next((r["scenario"] for r in rows if r["messages"] == messages), None)
    found = (m for m in result["memory"] if (m["layout"], m["scenario"]) == (layout, label))
    return next((f"{m[name] / 2**20:,.1f}" for m in found), "–")


def _sizes(result: Mapping[str, Any]) -> list[int]:
    sizes: list[int] = result["conditions"]["sizes"]
    return sizes[-_SHOWN_SIZES:]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _change(value: float | None) -> str:
    return "–" if value is None else f"{value:+.0%}".replace("-", "−")


def _short(ms: float) -> str:
    if ms >= 1000:
        return f"{ms / 1000:,.1f}s"
    return f"{ms:.1f}" if ms < 100 else f"{ms:.0f}"
