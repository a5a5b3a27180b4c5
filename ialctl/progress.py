"""Progress of reading a file: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from ialctl.context import AppContext

LINE_EVERY_S = 3.0


class ByteProgress:
    """Shows bytes done of a total (None: unknown) and a few words; silent with `--quiet`."""

    def __init__(self, context: AppContext, total_bytes: int | None) -> None:
        self._context = context
        self._total = total_bytes
        self._bar: Any = None
        self._task: Any = None
        self._begin_s = self._said_s = context.clock.monotonic()

    def __enter__(self) -> Self:
        if self._context.output.live:
            from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

            columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._context.output.err, transient=True)
            self._task = self._bar.add_task("reading", total=self._total)
            self._bar.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done_bytes: int, words: str) -> None:
        """Shows where things stand."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done_bytes, description=words)
            return
        now_s = self._context.clock.monotonic()
        if now_s - self._said_s >= LINE_EVERY_S:
            self._said_s = now_s
            self._context.output.note(f"{words} ({self._share(done_bytes, now_s)})")

    def _share(self, done_bytes: int, now_s: float) -> str:
        mib = done_bytes / 1024 / 1024
        if not self._total:
            return f"{mib:.1f} MiB"
        elapsed_s = now_s - self._begin_s
        left_s = elapsed_s * (self._total - done_bytes) / max(1, done_bytes)
        total = self._total / 1024 / 1024
        return f"{mib:.1f} of {total:.1f} MiB, about {left_s:.0f} s left"
