"""A migration while it goes on: a bar on a terminal, lines or JSON lines elsewhere."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ialctl.context import AppContext
from ialctl.output import plain, printable
from ialctl.progress import LiveBars
from ialctl.words import duration_words

if TYPE_CHECKING:
    from core.migration.journal import Going

SCHEMA = "migrate-progress"
_BEHIND_S = 10.0
"""Less than this far behind is what a stream itself lags."""


class MigrationProgress(LiveBars):
    """What is copied of how much, how fast, how far behind, why it waits. For one thread."""

    def __init__(self, context: AppContext, total: int | None = None) -> None:
        """`total` items are there to copy, about; None: nobody knows."""
        super().__init__(context)
        self._total = total
        self._task: Any = None

    def _columns(self) -> Sequence[Any]:
        from rich.progress import BarColumn, TextColumn

        return (
            TextColumn("{task.description:<9}", markup=False),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[words]}", markup=False, style="dim"),
        )

    def __call__(self, going: Going) -> None:
        """Shows how it goes."""
        if self._bars is not None:
            self._move(going)
        elif self._context.output.format == "table":
            self._say(lambda: f"{going.what}: {words(going, self._total)}")
        else:
            self._line(going)

    def _move(self, going: Going) -> None:
        if self._task is None:
            self._task = self._bars.add_task(going.what, total=None, words="")
        copying = going.what == "copying"
        self._bars.update(
            self._task,
            description=going.what,
            total=self._total if copying else None,
            completed=going.numbers.get("seen", 0) if copying else 0,
            words=printable("\n".join(filter(None, _screen(going, self._total)))),
        )

    def _line(self, going: Going) -> None:
        data = dataclasses.asdict(going) | {
            "total": self._total,
            "left_s": left_s(going, self._total),
        }
        if self._context.output.format == "jsonl":
            self._context.output.result(SCHEMA, data, lambda: plain(""))
        elif not self._context.output.quiet:
            # One object is to stand on stdout; what happens meanwhile goes beside it.
            sys.stderr.write(json.dumps({"schema": f"ialctl.{SCHEMA}/1", **data}) + "\n")


def words(going: Going, total: int | None) -> str:
    """How it goes, in words."""
    return " · ".join((*_done(going, total), *_beside(going)))


def _screen(going: Going, total: int | None) -> tuple[str, str]:
    """Two lines: all of it has no room in one."""
    return " · ".join(_done(going, total)), " · ".join(_beside(going))


def _done(going: Going, total: int | None) -> Iterator[str]:
    n = going.numbers
    if going.what == "copying":
        of = f" of {total:,}" if total and n.get("seen", 0) <= total else ""
        yield f"{n.get('seen', 0):,.0f}{of} items"
        if going.rate:
            yield f"{going.rate:,.0f}/s"
        left = left_s(going, total)
        if left:
            yield f"~{duration_words(left)} left"
    if going.lag_s is not None and (going.lag_s >= _BEHIND_S or going.what == "following"):
        yield f"{duration_words(going.lag_s)} behind"


def _beside(going: Going) -> Iterator[str]:
    n = going.numbers
    if going.waiting:
        yield going.waiting
    if n.get("read_units") or n.get("write_units"):
        yield f"{n.get('read_units', 0):,.0f} RCU, {n.get('write_units', 0):,.0f} WCU"
    moved = n.get("forward", 0) + n.get("back", 0)
    if moved:
        yield f"{moved:,.0f} changes applied"
    if n.get("failed"):
        yield f"{n['failed']:,.0f} not mapped"


def left_s(going: Going, total: int | None) -> float | None:
    """Seconds that the copy still takes, by the rate so far; None: nobody knows."""
    seen = going.numbers.get("seen", 0)
    if going.what != "copying" or not total or not going.rate or seen > total:
        return None
    return float((total - seen) / going.rate)
