"""Shows a deployment while it goes on: a live tree on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from core.clock import Clock
from ialctl.interrupts import PRESSES
from ialctl.output import Output, plain

if TYPE_CHECKING:
    from core.deploy.progress import Observer, Progress

_MARKS = {
    "waiting": ("·", "dim"),
    "preparing": ("◌", "cyan"),
    "deploying": ("◐", "cyan"),
    "verifying": ("◑", "cyan"),
    "deleting": ("◐", "cyan"),
    "done": ("✓", "green"),
    "unchanged": ("=", "dim"),
    "failed": ("✗", "red"),
    "skipped": ("-", "yellow"),
    "kept": ("=", "dim"),
}
_FINAL = ("done", "unchanged", "failed", "skipped", "kept")


@contextlib.contextmanager
def shown_progress(output: Output, clock: Clock) -> Iterator[Observer]:
    """An observer that shows what it is told, as long as the block runs."""
    if output.live:
        tree = TreeProgress(clock)
        with Live(get_renderable=tree.render, console=output.err, refresh_per_second=8):
            yield tree
    else:
        yield LineProgress(output, clock)


@contextlib.contextmanager
def interruptible(output: Output) -> Iterator[None]:
    """Ctrl-C once: ends the block at its next safe point. Twice: ends the process at once."""

    pressed = False

    def press(number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        if PRESSES.is_echo(number):
            return
        if pressed:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        pressed = True
        output.note("Stopping at the next safe point; Ctrl-C again stops at once.")
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass
class _Row:
    """What a tree shows of one stack."""

    stack: str
    state: str
    detail: str
    start_s: float
    end_s: float | None = None


class TreeProgress:
    """Phases and stacks with state and time. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: dict[str, _Row] = {}
        self._lock = threading.Lock()

    def __call__(self, progress: Progress) -> None:
        """Notes a state."""
        now = self._clock.monotonic()
        with self._lock:
            row = self._rows.setdefault(
                progress.phase or progress.stack, _Row(progress.stack, "", "", now)
            )
            row.state, row.detail = progress.state, progress.detail
            row.end_s = now if progress.state in _FINAL else None

    def render(self) -> Tree:
        """The tree as it is now."""
        tree = Tree(Text("Stacks", style="bold"), guide_style="dim")
        domains: dict[str, Tree] = {}
        with self._lock:
            for phase, row in sorted(self._rows.items()):
                domain, _, name = phase.rpartition("/")
                branch = domains.get(domain) or tree.add(plain(domain or "stacks"))
                domains[domain] = branch
                branch.add(self._line(name, row))
        return tree

    def _line(self, name: str, row: _Row) -> Text:
        mark, style = _MARKS[row.state]
        seconds = (row.end_s or self._clock.monotonic()) - row.start_s
        line = Text(f"{mark} ", style=style) + plain(name)
        line.append(f"  {row.state} {seconds:.1f} s", style="dim")
        if row.detail:
            line.append("  ").append_text(plain(row.detail)).truncate(200)
        return line


class LineProgress:
    """One line for every stack that comes into another state. Thread-safe."""

    def __init__(self, output: Output, clock: Clock) -> None:
        self._output, self._clock = output, clock
        self._starts: dict[str, float] = {}
        self._states: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, progress: Progress) -> None:
        """Writes a line, if the state is another."""
        now = self._clock.monotonic()
        with self._lock:
            start = self._starts.setdefault(progress.stack, now)
            if self._states.get(progress.stack) == progress.state:
                return
            self._states[progress.stack] = progress.state
            if progress.state in (*_FINAL, "deploying", "deleting"):
                self._output.note(self._line(progress, now - start))

    def _line(self, progress: Progress, seconds: float) -> str:
        final = progress.state in _FINAL
        detail = f": {progress.detail}" if progress.state in ("failed", "skipped") else ""
        took = f" ({seconds:.1f} s)" if final else ""
        return f"{_MARKS[progress.state][0]} {progress.stack}: {progress.state}{took}{detail}"
