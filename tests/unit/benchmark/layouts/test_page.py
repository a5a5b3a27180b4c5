"""A result as a page and in words."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

from rich.console import Console

from core.benchmark.layouts.answer import answer
from core.benchmark.layouts.claims import CLAIMS, Verdict
from core.benchmark.report.page import page, write_page
from ialctl.benchmark_words import shown
from tests.unit.benchmark.layouts.results import CONDITIONS, result, row, rows

OTHERS = ("legacy, vectors inline", "legacy, whole history")
HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_a_page_needs_nothing_else_and_holds_its_data(tmp_path: Path) -> None:
    """Nothing is fetched from anywhere; the figures stand in it as JSON."""
    path = tmp_path / "report.html"
    write_page(result(rows()), path)
    text = path.read_text()
    assert not re.search(r"""(?:src|href)\s*=|@import|url\(|fetch\(|XMLHttp""", text)
    data = re.search(r'<script type="application/json" id="result">(.*?)</script>', text, re.S)
    assert data is not None
    held = {name: row for name, row in rows()[0].items() if name not in ("times", "reference")}
    assert json.loads(data[1])["measurements"][0] == held
    assert "$" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)


def test_hostile_names_are_shown_and_never_run() -> None:
    """A data set's file name, an error's class and a version come from outside."""
    made = result([row("legacy", "search", scenario=HOSTILE, errors={HOSTILE: 1})])
    made["conditions"] = {**CONDITIONS, "dataset": HOSTILE, "where": HOSTILE, "digest": HOSTILE}
    made["answer"] = [HOSTILE]
    text = page(made)
    assert "<img" not in text
    assert text.count("</script>") == 3
    assert "&lt;img src=x" in text


def test_a_result_of_load_alone_makes_a_page_too() -> None:
    """No measurements: no size to choose."""
    made = result([])
    step = {"step": "10/s", "rate": 10.0, "seconds": 1.0, "calls": 10, "per_second": 10.0}
    times = {"p50": 1.0, "p90": 1.0, "p99": 2.0, "p99.9": 2.0, "max": 2.0, "mean": 1.0}
    full = {**step, "latency_ms": times, "service_ms": times, "curve": [], "errors": {}}
    made["load"] = [{"layout": "legacy", "limit_ms": 9.0, "held_rate": 10.0, "steps": [full, full]}]
    assert 'id="load"' in page(made)
    assert 'id="size"' not in page(made)
    assert "bears 10 calls/s with p99 within 9 ms" in words(made)


def words(made: dict[str, Any]) -> str:
    """What a person sees on a terminal of 80 columns."""
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(shown(made))
    return console.export_text()


def test_a_table_fits_eighty_columns_and_cuts_nothing() -> None:
    """Three sizes beside one another, large numbers and all; claims with their verdicts."""
    sizes = (100, 1_000, 10_000)
    measured = [
        row(
            layout,
            operation,
            scenario=f"{size:,}",
            messages=size,
            read_units=446.5,
            latency_ms={"p50": 2671.0, "p99": 3000.0},
            own_ms={"p50": 2465.6},
        )
        for size in sizes
        for operation in ("context_warm", "context_cold", "search", "session", "recent", "append")
        for layout in ("legacy", "optimized", *OTHERS)
    ]
    made = result(measured)
    made["conditions"] = {**CONDITIONS, "sizes": list(sizes)}
    made["memory"] = [
        {"layout": x, "scenario": f"{n:,}", "held_bytes": 10**6, "peak_bytes": 10**8}
        for x in ("legacy", "optimized")
        for n in sizes
    ]
    made["claims"] = [
        Verdict(claim, 10_000, 10.0, 120.0, "measured", against).plain()
        for claim in CLAIMS
        for against in ("legacy", *OTHERS)
    ]
    made["answer"] = list(answer(made))
    text = words(made)
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())
    assert "…" not in text
    assert "+1100%" in text
    assert "2.7s/2.5s" in text


def test_the_answer_says_what_is_found_what_it_takes_and_what_holds() -> None:
    """In three sentences; of a run in which every call failed it says nothing of times."""
    made = result(
        [
            row("legacy", "context_warm", recall=0.01, read_units=4.5),
            row("optimized", "context_warm", recall=0.98),
            row("legacy, whole history", "context_warm", read_units=454.0, slower=100.0),
        ]
    )
    made["claims"] = [Verdict(CLAIMS[0], 100, 10.0, 0.5, "measured").plain()]
    said = list(answer(made))
    assert "holds 98% of what was asked for" in said[0]
    assert "303 times the units, 100 times as long" in said[1]
    assert said[2] == ("Of the figures that were claimed there hold 1 of 1 against it as it was.")
    failed = result([row("legacy", "context_warm", latency_ms={}, recall=None)])
    assert list(answer(failed)) == []


def test_a_claim_holds_only_where_it_is_reached() -> None:
    """90% less is not 89% less, and never of nothing."""
    claim = CLAIMS[0]
    assert Verdict(claim, 100, 10.0, 1.0, "measured").holds
    assert not Verdict(claim, 100, 10.0, 1.1, "measured").holds
    assert not Verdict(claim, 100, 0.0, 0.0, "measured").holds
