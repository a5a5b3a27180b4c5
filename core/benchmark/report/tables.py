"""The tables of a report's page."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_PERCENT = ("recall",)
_ROW = (
    ("layout", "layout"),
    ("operation", "operation"),
    ("scenario", "messages"),
    ("calls", "calls"),
    ("requests", "requests"),
    ("rounds", "rounds"),
    ("read_units", "read units"),
    ("write_units", "write units"),
    ("bytes", "bytes"),
    ("embeddings", "embeddings"),
    ("recall", "found"),
)
_QUANTILES = ("p50", "p90", "p99", "p99.9", "max")


def sections(result: Mapping[str, Any]) -> Iterator[str]:
    """Every table that has rows, under its heading."""
    for title, note, header, rows in _all(result):
        held = list(rows)
        if held:
            yield f"<h2>{html.escape(title)}</h2>"
            if note:
                yield f'<p class="note">{html.escape(note)}</p>'
            yield table(header, held)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; `yes` and `no` are coloured."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def conditions(result: Mapping[str, Any]) -> str:
    """Under what it was measured, and on what."""
    run, about, machine = result["run"], result["conditions"], result["machine"]
    rows: list[tuple[str, object]] = [
        ("run", run["id"]),
        ("seed", run["seed"]),
        ("took", f"{run['seconds']:,.0f} s"),
        ("embedder", f"{about['embedder']['model']}, {about['embedder']['dimensions']} dimensions"),
        ("stated delay of a request", f"{about['rtt_ms']:g} ms"),
        ("stated delay of the model", f"{about['embedding_ms']:g} ms"),
        ("effort", ", ".join(f"{name} {value}" for name, value in about["effort"].items())),
        ("processor", f"{machine['processor']}, {machine['cores']} cores"),
        ("memory", f"{(machine['memory_bytes'] or 0) / 2**30:,.1f} GiB"),
        ("system", machine["system"]),
        ("Python", f"{machine['python']}{' (binary)' if machine['binary'] else ''}"),
        ("versions", ", ".join(f"{name} {v}" for name, v in machine["versions"].items())),
    ]
    if about["digest"]:
        rows.insert(2, ("data set", f"{about['dataset']}, SHA-256 {about['digest']}"))
    return table(("what", ""), rows)


def _all(
    result: Mapping[str, Any],
) -> Iterator[tuple[str, str, Sequence[str], Iterable[Sequence[object]]]]:
    by_operation = sorted(result["measurements"], key=lambda r: (r["operation"], r["messages"]))
    yield (
        "What was claimed",
        "Against the legacy engine as it was, and against one that searches the whole history "
        "and so finds as much.",
        (
            "figure",
            "against",
            "messages",
            "legacy",
            "optimized",
            "change",
            "claimed",
            "holds",
            "how",
        ),
        map(_claim, result["claims"]),
    )
    yield "Counts", "Means a call.", [title for _, title in _ROW], map(_counts, by_operation)
    yield (
        "Peers",
        "Other libraries that keep conversations in DynamoDB; means a call.",
        [title for _, title in _ROW],
        map(_counts, result["peers"]),
    )
    yield (
        "Times, milliseconds",
        "“Ours” is what passes with no request in flight; p99.9 of fewer than 1,000 calls is the "
        "largest.",
        ("layout", "operation", "messages", *_QUANTILES, "ours, p50", "calls/s", "errors"),
        map(_times, by_operation),
    )
    yield (
        "Optimized as a share of legacy",
        "Times with a 95% interval, bootstrapped over rounds.",
        (
            "operation",
            "messages",
            "quantity",
            "legacy",
            "optimized",
            "ratio",
            "95% interval",
            "how",
        ),
        map(_ratio, result["ratios"]),
    )
    yield (
        "Memory for one user, KiB",
        "Allocations by tracemalloc; growth of the process as the system sees it.",
        ("layout", "messages", "held", "at most", "process"),
        map(_memory, result["memory"]),
    )
    yield (
        "Cache hit rate",
        "",
        ("layout", "messages", "hits"),
        ((r["layout"], r["scenario"], f"{r['rate']:.0%}") for r in result["hit_rates"]),
    )
    steps = ((t["layout"], s) for t in result["load"] for s in t["steps"])
    mixed = ((m["layout"], m) for m in result["mixed"])
    for title, rows in (("Mixed load", mixed), ("Load", steps)):
        yield (
            title,
            "An open loop's latency counts from when a call was due.",
            ("layout", "step", "asked/s", "answered/s", *_QUANTILES, "served p99", "errors"),
            (_step(layout, step) for layout, step in rows),
        )


def _claim(claim: Mapping[str, Any]) -> Sequence[object]:
    return (
        claim["name"],
        claim["against"],
        claim["messages"],
        _amount(claim["legacy"], claim["unit"]),
        _amount(claim["optimized"], claim["unit"]),
        _change(claim["change"]),
        _change(claim["claimed"]),
        "yes" if claim["holds"] else "no",
        claim["label"],
    )


def _amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1024:,.0f} KiB"
    return f"${value:,.2f}" if unit == "$" else f"{value:,.1f} {unit}"


def _counts(row: Mapping[str, Any]) -> Sequence[object]:
    return [_figure(name, row[name]) for name, _ in _ROW]


def _figure(name: str, value: object) -> object:
    if name in _PERCENT:
        return "–" if not isinstance(value, float | int) else f"{value:.0%}"
    if name == "bytes":
        return f"{value:,.0f}"
    return f"{value:,.2f}" if isinstance(value, float) else value


def _times(row: Mapping[str, Any]) -> Sequence[object]:
    late, own = row["latency_ms"], row["own_ms"]
    return (
        row["layout"],
        row["operation"],
        row["scenario"],
        *(_ms(late.get(name)) for name in _QUANTILES),
        _ms(own.get("p50")),
        f"{row['per_second']:,.1f}",
        _errors(row),
    )


def _ratio(row: Mapping[str, Any]) -> Sequence[object]:
    interval = row["interval"]
    share = row["ratio"]
    return (
        row["operation"],
        row["scenario"],
        row["quantity"].replace("_", " "),
        f"{row['legacy']:,.2f}",
        f"{row['optimized']:,.2f}",
        "–" if share is None else f"{share:.2f}",
        "" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}",
        row["label"],
    )


def _memory(row: Mapping[str, Any]) -> Sequence[object]:
    sizes = (row["held_bytes"], row["peak_bytes"], row["resident_bytes"])
    kib = ("–" if size is None else f"{size / 1024:,.0f}" for size in sizes)
    return (row["layout"], row["scenario"], *kib)


def _step(layout: str, step: Mapping[str, Any]) -> Sequence[object]:
    late = step["latency_ms"]
    return (
        layout,
        step["step"],
        "–" if step["rate"] is None else f"{step['rate']:g}",
        f"{step['per_second']:,.1f}",
        *(_ms(late.get(name)) for name in _QUANTILES),
        _ms(step["service_ms"].get("p99")),
        _errors(step),
    )


def _errors(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in row["errors"].items()) or "none"


def _ms(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def _change(value: float | None) -> str:
    return "–" if value is None else f"{value:+.0%}".replace("-", "−")


def _cell(value: object) -> str:
    text = f"{value:,}" if type(value) is int else str(value)
    kind = f' class="{text}"' if text in ("yes", "no", "legacy", "optimized") else ""
    return f"<td{kind}>{html.escape(text)}</td>"
