"""A result against an earlier one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.benchmark.layouts.comparing import (
    check_comparable,
    load_result,
    losses,
    memory_losses,
)
from core.benchmark.layouts.memory_use import MemoryUse
from core.errors import StorageError, UsageError
from tests.unit.benchmark.layouts.results import CONDITIONS, result, row, rows


@pytest.mark.parametrize("operation", ["append", "recent", "context_cold", "search"])
def test_a_fifth_more_time_is_a_loss_and_is_told_in_words(operation: str) -> None:
    """Whichever operation it is, and only that one."""
    found = losses(rows(1), rows(2, **{operation: 1.2}), seed=1)
    assert [(loss.operation, loss.quantity) for loss in found] == [(operation, "time")]
    assert operation.replace("_", " ") in found[0].words
    assert "95% between" in found[0].words
    assert found[0].plain()["words"] == found[0].words


def test_the_same_code_is_no_loss_whatever_the_noise_of_the_run() -> None:
    """Of twenty runs none is taken for slower; quicker is never a loss."""
    for seed in range(2, 22):
        assert losses(rows(1), rows(seed), seed=1) == ()
    assert losses(rows(1), rows(2, search=0.5, append=0.2), seed=1) == ()


def test_the_tolerance_is_the_users() -> None:
    """A fifth is borne by who bears a quarter."""
    assert losses(rows(1), rows(2, search=1.2), seed=1, tolerance=0.25) == ()


@pytest.mark.parametrize(
    ("name", "value", "lost"),
    [
        ("read_units", 1.6, False),
        ("read_units", 1.8, True),
        ("rounds", 2.0, True),
        ("embeddings", 101.0, True),
        ("bytes", 3000.0, False),
        ("recall", 0.89, False),
        ("recall", 0.8, True),
        ("recall", None, True),
    ],
)
def test_counts_and_recall_are_compared_as_they_are(name: str, value: Any, lost: bool) -> None:
    """More units, rounds, bytes or texts embedded, or less found, is a loss; the rest is not."""
    now = rows(1)
    now = [{**r, name: value} if r["operation"] == "search" else r for r in now]
    found = losses(rows(1), now, seed=1)
    assert [loss.quantity for loss in found] == ([name.replace("_", " ")] if lost else [])


def test_only_the_optimized_layout_is_judged() -> None:
    """The legacy engine is the baseline; it may be what it is."""
    now = [{**r, "read_units": 99.0} if r["layout"] == "legacy" else r for r in rows(1)]
    assert losses(rows(1), now, seed=1) == ()


def test_an_operation_that_fails_now_is_a_loss() -> None:
    """No time can be compared where calls failed in every round."""
    failing = row("optimized", "search", times=[[]] * 20, errors={"ThrottledError": 3})
    others = (r for r in rows(1) if r["operation"] != "search")
    now = [*others, failing]
    found = losses(rows(1), now, seed=1)
    assert [(loss.quantity, loss.now) for loss in found] == [("share of errors", 0.0187)]
    once = row("optimized", "search", errors={"ThrottledError": 40})
    assert [x.quantity for x in losses(rows(1), [once], seed=1)] == ["share of errors"]


def test_more_memory_is_a_loss_beyond_a_tenth() -> None:
    """Of the optimized layout; a little more is the allocator's."""
    before = result(rows())
    held = {"held_bytes": 4_000_000, "peak_bytes": 9_000_000, "resident_bytes": None}
    before["memory"] = [{"layout": x, "scenario": "100", **held} for x in ("legacy", "optimized")]
    now = {(x, "100"): MemoryUse(4_100_000, 12_000_000, None) for x in ("legacy", "optimized")}
    assert [(x.operation, x.quantity) for x in memory_losses(before, now)] == [
        ("memory", "peak bytes")
    ]


@pytest.mark.parametrize("name", ["embedder", "rtt_ms", "sizes", "digest"])
def test_other_conditions_are_not_compared(name: str) -> None:
    """The sentence names what differs."""
    check_comparable(CONDITIONS, dict(CONDITIONS))
    with pytest.raises(UsageError, match=f"its {name} is"):
        check_comparable({**CONDITIONS, name: "other"}, CONDITIONS)


def test_a_saved_result_is_read_back(tmp_path: Path) -> None:
    """As it was written."""
    path = tmp_path / "base.json"
    path.write_text(json.dumps(result(rows())))
    assert load_result(path)["measurements"] == rows()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema": "ialctl.benchmark/1"}', '{"schema": "x"}', "\x00"]
)
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    """One sentence, and how to make one."""
    path = tmp_path / "base.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="is no result"):
        load_result(path)
    with pytest.raises(StorageError, match="can't be read"):
        load_result(tmp_path / "none.json")


def test_a_result_whose_rows_lack_something_is_refused(tmp_path: Path) -> None:
    """A file that somebody shortened must not pass for one without losses."""
    short = result(rows())
    del short["measurements"][0]["times"]
    path = tmp_path / "base.json"
    path.write_text(json.dumps(short))
    with pytest.raises(UsageError, match="is no result"):
        load_result(path)
