"""Progress of what takes long: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ialctl.context import AppContext

if TYPE_CHECKING:
    from core.benchmark.evaluation.running import State

LINE_EVERY_S = 3.0


class LiveBars(ABC):
    """Bars on a terminal while the block runs; elsewhere there are none."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._bars: Any = None
        self._begin_s = self._said_s = context.clock.monotonic()

    def __enter__(self) -> Self:
        if self._context.output.live:
            from rich.progress import Progress

            console = self._context.output.err
            self._bars = Progress(*self._columns(), console=console, transient=True)
            self._bars.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def _say(self, words: Callable[[], str]) -> None:
        """A line, where the last one was some seconds ago."""
        now_s = self._context.clock.monotonic()
        if now_s - self._said_s >= LINE_EVERY_S:
            self._said_s = now_s
            self._context.output.note(words())

    @abstractmethod
    def _columns(self) -> Sequence[Any]:
        """What a bar consists of."""


class LiveProgress(LiveBars):
    """How much is done of a total (None: unknown), and a few words; silent with `--quiet`."""

    def __init__(self, context: AppContext, doing: str, total: int | None) -> None:
        super().__init__(context)
        self._doing = doing
        self._total = total
        self._task: Any = None

    def __enter__(self) -> Self:
        super().__enter__()
        if self._bars is not None:
            self._task = self._bars.add_task(self._doing, total=self._total)
        return self

    def _columns(self) -> Sequence[Any]:
        from rich.progress import BarColumn, TimeRemainingColumn

        return ("{task.description}", BarColumn(), self._counted(), TimeRemainingColumn())

    def _show(self, done: int, words: str) -> None:
        if self._bars is not None:
            from ialctl.output import plain

            shown = plain(words).markup
            self._bars.update(self._task, completed=done, total=self._total, description=shown)
            return
        elapsed_s = self._context.clock.monotonic() - self._begin_s
        self._say(lambda: f"{words} ({self._share(done, elapsed_s)})")

    @abstractmethod
    def _counted(self) -> Any:
        """The column that says how much is done."""

    @abstractmethod
    def _share(self, done: int, elapsed_s: float) -> str:
        """The same in words, with the time left."""


class ByteProgress(LiveProgress):
    """Bytes of a file that are read."""

    def __init__(self, context: AppContext, total_bytes: int | None) -> None:
        super().__init__(context, "reading", total_bytes)

    def show(self, done_bytes: int, words: str) -> None:
        """Shows where things stand."""
        self._show(done_bytes, words)

    def _counted(self) -> Any:
        from rich.progress import DownloadColumn

        return DownloadColumn()

    def _share(self, done: int, elapsed_s: float) -> str:
        mib = done / 1024 / 1024
        if not self._total:
            return f"{mib:.1f} MiB"
        left_s = elapsed_s * (self._total - done) / max(1, done)
        return f"{mib:.1f} of {self._total / 1024 / 1024:.1f} MiB, about {left_s:.0f} s left"


class QuestionProgress(LiveProgress):
    """Questions of an evaluation that were asked."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(context, "evaluating", None)

    def show(self, state: State) -> None:
        """Shows where things stand."""
        self._total = state.total
        self._show(state.done, state.words)

    def _counted(self) -> Any:
        from rich.progress import MofNCompleteColumn

        return MofNCompleteColumn()

    def _share(self, done: int, elapsed_s: float) -> str:
        total = self._total or 0
        share = f"{done} of {total} questions"
        if not done:
            return share
        rate = done / max(elapsed_s, 1e-9)
        return f"{share}, {rate:.0f}/s, about {(total - done) / rate:.0f} s left"
