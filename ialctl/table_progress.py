"""Backups and restores while they go on: a bar a table on a terminal, lines elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ialctl.context import AppContext
from ialctl.output import plain
from ialctl.progress import LiveBars
from ialctl.words import counted, size_words

if TYPE_CHECKING:
    from core.backup.progress import Progress

_UNITS = {"scanning": "read units", "verifying": "read units", "writing": "write units"}


class TableProgress(LiveBars):
    """What each table is at: items and bytes a second, units used and left. Thread-safe."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(context)
        self._lock = threading.Lock()
        self._begun: dict[tuple[str, str], float] = {}
        self._tasks: dict[str, Any] = {}

    def _columns(self) -> Sequence[Any]:
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

        return (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[words]}", markup=False, style="dim"),
            TimeRemainingColumn(compact=True),
        )

    def __call__(self, told: Progress) -> None:
        """Shows where a table stands."""
        now_s = self._context.clock.monotonic()
        with self._lock:
            begun_s = self._begun.setdefault((told.table, told.stage), now_s)
            if self._bars is not None:
                self._move(told, now_s - begun_s)
            elif told.stage == "done":
                self._context.output.note(f"{told.table}: {counted(told.items, 'item')}")
            else:
                self._say(lambda: f"{told.table}: {words(told, now_s - begun_s)}")

    def _move(self, told: Progress, elapsed_s: float) -> None:
        task = self._tasks.get(told.table)
        if task is None:
            task = self._bars.add_task(plain(told.table).plain, total=None, words="")
            self._tasks[told.table] = task
        done = told.stage == "done"
        total = max(told.items, 1) if done else told.of_items
        self._bars.update(
            task,
            total=total,
            completed=max(told.items, 1) if done else told.items,
            words=counted(told.items, "item") if done else words(told, elapsed_s),
        )


def words(told: Progress, elapsed_s: float) -> str:
    """Where a table stands, in words."""
    if told.stage == "checking" and told.items == told.of_items:
        return f"checked · {counted(told.items, 'item')}"
    if told.stage == "replaying":
        return "replaying what changed meanwhile, from the stream"
    parts: list[str] = [told.stage]
    if told.items:
        rate = told.items / max(elapsed_s, 1e-3)
        of = f" of {told.of_items:,}" if told.of_items else ""
        parts.append(f"{told.items:,}{of} · {rate:,.0f} items/s")
    if told.bytes:
        parts.append(f"{size_words(int(told.bytes / max(elapsed_s, 1e-3)))}/s")
    if told.units:
        left = _left(told)
        parts.append(f"{told.units:,.0f} {_UNITS.get(told.stage, 'units')}{left}")
    if told.detail:
        parts.append(told.detail)
    return " · ".join(parts)


def _left(told: Progress) -> str:
    """About how many units are still to come, judged by what was done so far."""
    if not (told.of_items and told.items) or told.items >= told.of_items:
        return ""
    left = told.units / told.items * (told.of_items - told.items)
    return f", ~{left:,.0f} left"
