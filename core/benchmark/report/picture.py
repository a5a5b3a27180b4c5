"""A picture of a result; needs the extra `plots`, which is imported only here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.benchmark.evaluation.files import write_whole
from core.benchmark.evaluation.plotting import check_plot
from core.benchmark.layouts.contenders import LEGACY, OPTIMIZED

_INCHES = (11.0, 8.0)
_COLOURS = {LEGACY: "#b45309", OPTIMIZED: "#1a5fb4"}
_READS = (
    ("context_warm", "context", "-"),
    ("context_cold", "context, cold", "--"),
    ("search", "search", ":"),
)


def check_picture(path: Path) -> None:
    """Refuses what no picture can be made of, before anything runs.

    Raises:
        UsageError: another kind of file, no such folder, or matplotlib is not installed.
    """
    check_plot(path)


def write_picture(result: Mapping[str, Any], path: Path) -> None:
    """Draws read units, evidence and times by size, and the distribution of a context's time.

    Raises:
        StorageError: it can't be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "ialctl", "font.size": 9}):
        figure = Figure(figsize=_INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(2, 2).ravel()
        rows = result["measurements"]
        _by_size(axes[0], rows, "read units a call", lambda row: row["read_units"])
        _by_size(axes[1], rows, "evidence found", lambda row: row["recall"])
        _by_size(axes[2], rows, "median, ms", lambda row: row["latency_ms"].get("p50"))
        _distribution(axes[3], rows)
        for number in (0, 2, 3):
            axes[number].set_yscale("log")
        figure.suptitle(f"Legacy against optimized · {result['conditions']['where']}")
        kind = path.suffix.lower().lstrip(".")
        metadata = {"Date": None} if kind == "svg" else None
        write_whole(
            path, lambda aside: figure.savefig(aside, format=kind, dpi=150, metadata=metadata)
        )


def _by_size(axes: Any, rows: Sequence[Mapping[str, Any]], label: str, figure: Any) -> None:
    for layout, colour in _COLOURS.items():
        for operation, words, style in _READS:
            own = [r for r in rows if (r["layout"], r["operation"]) == (layout, operation)]
            points = [(r["messages"], figure(r)) for r in own if figure(r) is not None]
            if points:
                xs, ys = zip(*points, strict=True)
                named = f"{layout}, {words}"
                axes.plot(xs, ys, style, color=colour, marker="o", markersize=3, label=named)
    axes.set_xscale("log")
    axes.set_xlabel("messages in the history")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)


def _distribution(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    largest = max((row["messages"] for row in rows), default=0)
    for layout, colour in _COLOURS.items():
        wanted = (layout, "context_warm", largest)
        own = [r for r in rows if (r["layout"], r["operation"], r["messages"]) == wanted]
        for row in own:
            shares, times = zip(*row["curve"], strict=True)
            axes.plot([100 * share for share in shares], times, color=colour, label=layout)
    axes.set_xlabel(f"percentile of a context's time, {largest:,} messages")
    axes.set_ylabel("ms")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
