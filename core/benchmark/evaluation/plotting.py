"""A picture of recalls; needs the extra `plots`, which is imported only here."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from core.benchmark.evaluation.files import check_writable, write_whole
from core.benchmark.evaluation.measures import DEPTHS
from core.benchmark.evaluation.report import RecallRow, Report
from core.errors import UsageError
from core.shipped import installing

SUFFIXES = (".png", ".svg")
_INCHES = (10.0, 4.5)
_GREY, _BLUE = "#9aa0a6", "#1a5fb4"


def check_plot(path: Path) -> None:
    """Refuses what no picture can be made of, before anything runs.

    Raises:
        UsageError: another kind of file, no such folder, or matplotlib is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"--plot can't write '{path.name}'.",
            f"Name a file that ends in {' or '.join(SUFFIXES)}.",
        )
    check_writable(path, "--plot")
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            "--plot needs matplotlib, which is not installed.",
            f"{installing('plots')} Or leave --plot out.",
        )


def plot(report: Report, path: Path) -> None:
    """Draws recall by depth and by category, the engine beside BM25 alone.

    The same report gives the same bytes of an SVG.

    Raises:
        StorageError: it can't be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "ialctl", "font.size": 9}):
        # Figure alone, not pyplot: nothing global, no window system asked for.
        figure = Figure(figsize=_INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        by_depth, by_category = figure.subplots(1, 2)
        _draw_depths(by_depth, report)
        _draw_categories(by_category, report.categories)
        figure.suptitle(
            f"Evidence found: {report.overall.questions} questions, "
            f"{report.conversations} conversations, {report.conditions.model}",
            parse_math=False,
        )
        kind = path.suffix.lower().lstrip(".")
        metadata = {"Date": None} if kind == "svg" else None
        write_whole(
            path, lambda aside: figure.savefig(aside, format=kind, dpi=150, metadata=metadata)
        )


def _draw_depths(axes: Any, report: Report) -> None:
    for name, recalls, colour in (
        ("engine", report.overall.engine, _BLUE),
        ("BM25 alone", report.overall.bm25, _GREY),
    ):
        values = [100 * recalls[depth] for depth in DEPTHS]
        axes.plot(range(len(DEPTHS)), values, marker="o", color=colour, label=name)
        for place, value in enumerate(values):
            axes.annotate(f"{value:.0f}", (place, value), (0, 6), textcoords="offset points")
    axes.set_xticks(range(len(DEPTHS)), [f"@{depth}" for depth in DEPTHS])
    axes.set_ylim(0, 105)
    axes.set_ylabel("recall of evidence, %")
    axes.legend(loc="lower right", frameon=False)


def _draw_categories(axes: Any, rows: tuple[RecallRow, ...]) -> None:
    places = range(len(rows))
    for recalls, shift, colour in (
        ([row.engine[10] for row in rows], -0.2, _BLUE),
        ([row.bm25[10] for row in rows], 0.2, _GREY),
    ):
        axes.bar([p + shift for p in places], [100 * r for r in recalls], 0.38, color=colour)
    axes.set_xticks(places, [f"{row.name}\n{row.questions}" for row in rows])
    axes.set_ylim(0, 105)
    axes.set_ylabel("recall@10, %")
