"""A result as one HTML page that needs nothing else: no network, no other file."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import orjson

from core.benchmark.evaluation.files import write_text
from core.benchmark.report import tables

_OPERATIONS = (
    ("context_warm", "Context, in a process that knows the user"),
    ("context_cold", "Context, in a new process"),
    ("search", "Search"),
    ("session", "The last 20 of a session"),
    ("recent", "The last 20 messages"),
    ("append", "Append one message"),
)


def write_page(result: Mapping[str, Any], path: Path) -> None:
    """Writes the page of a result.

    Raises:
        StorageError: it can't be written.
    """
    write_text(path, page(result))


def page(result: Mapping[str, Any]) -> str:
    """The page as text. Whatever stands in the result is shown as text, never as markup."""
    title = "Legacy against optimized" if result["measurements"] else "Load on both layouts"
    return Template(_static("page.html")).substitute(
        title=title,
        about=html.escape(_about(result)),
        answer=_answer(result),
        plots="".join(_plots(result)),
        tables="".join(tables.sections(result)),
        method=_static("method.html"),
        conditions=tables.conditions(result),
        version=html.escape(str(result["run"]["version"])),
        css=_static("page.css"),
        uplot_css=_static("uplot.css"),
        uplot_js=_static("uplot.js"),
        plots_js=_static("plots.js"),
        # A `</script>` in a text would end the data.
        data=orjson.dumps(_drawn(result)).decode().replace("<", "\\u003c"),
    )


def _drawn(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result without single calls' times, which nothing is drawn of."""
    rows = [
        {name: value for name, value in row.items() if name not in ("times", "reference")}
        for row in result["measurements"]
    ]
    return {**result, "measurements": rows}


def _static(name: str) -> str:
    return (resources.files(__package__) / "static" / name).read_text(encoding="utf-8")


def _about(result: Mapping[str, Any]) -> str:
    run, about = result["run"], result["conditions"]
    data = about["dataset"] or f"made conversations, seed {run['seed']}"
    return f"{run['started_at']} · {data} · {about['where']} · {about['figures']}"


def _answer(result: Mapping[str, Any]) -> str:
    sentences = result.get("answer", ())
    if not sentences:
        return ""
    return f'<div class="answer">{"".join(map(_paragraph, sentences))}</div>'


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _plots(result: Mapping[str, Any]) -> Iterator[str]:
    if result["measurements"]:
        yield "<h2>By the size of the history</h2>"
        wide = (("units", "Read units a call"), ("found", "Evidence found"))
        if len(result["conditions"]["sizes"]) > 1:
            yield _grid(wide, "wide")
        yield "<h2>Latency distributions</h2>"
        yield f"<p><label>Messages in the history: {_sizes(result)}</label></p>"
        yield _distributions()
        yield _paragraph(
            "Logarithmic scale. Times include a local endpoint's own, where there is one."
        )
    if any(len(tested["steps"]) > 1 for tested in result["load"]):
        yield "<h2>Throughput against latency</h2>"
        yield _grid((("load", "p99 from when a call was due"),), "wide")


def _sizes(result: Mapping[str, Any]) -> str:
    labels = list(dict.fromkeys(row["scenario"] for row in result["measurements"]))
    options = (
        f"<option{' selected' if label == labels[-1] else ''}>{html.escape(label)}</option>"
        for label in labels
    )
    return f'<select id="size">{"".join(options)}</select>'


def _grid(figures: Iterable[tuple[str, str]], kind: str) -> str:
    held = (
        f'<figure><figcaption>{title}</figcaption><div id="{name}"></div></figure>'
        for name, title in figures
    )
    return f'<div class="grid {kind}">{"".join(held)}</div>'


def _distributions() -> str:
    held = (
        f"<figure><figcaption>{title}</figcaption>"
        f'<div data-distribution="{operation}"></div></figure>'
        for operation, title in _OPERATIONS
    )
    return f'<div class="grid">{"".join(held)}</div>'
