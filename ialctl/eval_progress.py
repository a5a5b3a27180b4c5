"""Progress of an evaluation: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ialctl.context import AppContext
from ialctl.progress import LINE_EVERY_S

if TYPE_CHECKING:
    from core.benchmark.evaluation.running import State


class QuestionProgress:
    """Shows questions done of all, and what goes on; silent with `--quiet`."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._bar: Any = None
        self._task: Any = None
        self._begin_s = self._said_s = context.clock.monotonic()

    def __enter__(self) -> Self:
        if self._context.output.live:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

            columns = (
                "{task.description}",
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=self._context.output.err, transient=True)
            self._task = self._bar.add_task("evaluating", total=None)
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

    def show(self, state: State) -> None:
        """Shows where things stand."""
        if self._bar is not None:
            from ialctl.output import plain

            words = plain(state.words).markup
            self._bar.update(self._task, completed=state.done, total=state.total, description=words)
            return
        now_s = self._context.clock.monotonic()
        if now_s - self._said_s >= LINE_EVERY_S:
            self._said_s = now_s
            self._context.output.note(f"{state.words} ({self._share(state, now_s)})")

    def _share(self, state: State, now_s: float) -> str:
        share = f"{state.done} of {state.total} questions"
        if not state.done:
            return share
        rate = state.done / max(now_s - self._begin_s, 1e-9)
        return f"{share}, {rate:.0f}/s, about {(state.total - state.done) / rate:.0f} s left"
