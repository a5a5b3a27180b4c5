"""A benchmark run from the command line: asked for where it costs money, shown, and judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.benchmark.evaluation.running import State
from core.benchmark.layouts.job import Job, run_job
from core.benchmark.layouts.machine import is_busy
from core.errors import DifferenceError
from ialctl.benchmark_words import shown
from ialctl.context import AppContext
from ialctl.interrupts import stop_wish
from ialctl.progress import LiveProgress


def run_benchmark(context: AppContext, job: Job) -> None:
    """Runs a job, shows its result, and ends with 3 where that is worse than what it was held to.

    Raises:
        DifferenceError: it is worse than the saved result.
    """
    session = context.session
    if session.endpoint_url is None:
        context.output.confirm(
            f"This makes three tables at {session.where}, fills and removes them: about "
            f"${max(0.01, job.estimated_dollars):.2f}. Go on?"
        )
    with stop_wish() as wish, BenchmarkProgress(context) as progress:
        result = run_job(
            job,
            session.endpoint_url,
            context.clock,
            context.ids,
            on_progress=progress.show,
            stopped=wish,
        )
    context.output.result("benchmark", _data(result), lambda: shown(result))
    for path, what in ((job.page, "report"), (job.plot, "picture"), (job.save, "result")):
        if path is not None:
            context.output.note(f"The {what}: {path}")
    if is_busy(result["machine"]):
        context.output.warn(
            f"The machine was busy when this began (load {result['machine']['load_before']:g} on "
            f"{result['machine']['cores']} cores): times are rough, counts are not."
        )
    _judge(context, result)


def _data(result: Mapping[str, Any]) -> dict[str, Any]:
    """Without its schema, which the output has of its own."""
    return {name: value for name, value in result.items() if name != "schema"}


def _judge(context: AppContext, result: Mapping[str, Any]) -> None:
    losses = result["losses"]
    if losses is None:
        return
    for loss in losses:
        context.output.warn(loss["words"])
    if losses:
        raise DifferenceError(
            f"This is worse than the saved result in {len(losses)} figures, measured three times.",
            "Find out why; save the new result if it is meant to be so.",
        )
    context.output.note("Nothing is worse than in the saved result, beyond noise.")


class BenchmarkProgress(LiveProgress):
    """Parts of a benchmark that are done."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(context, "preparing", None)

    def show(self, state: State) -> None:
        """Shows where things stand."""
        self._total = state.total
        self._show(state.done, state.words)

    def _counted(self) -> Any:
        from rich.progress import TaskProgressColumn

        return TaskProgressColumn()

    def _share(self, done: int, elapsed_s: float) -> str:
        share = done / (self._total or 1)
        left_s = elapsed_s * (1 - share) / max(share, 1e-9)
        return f"{share:.0%}, about {left_s:.0f} s left"
