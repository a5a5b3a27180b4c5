"""An evaluation as the user asked for it: checked before anything is stored, then run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from core.aws.session import AwsSession
from core.benchmark.evaluation.comparing import (
    Figures,
    check_comparable,
    figures_of,
    load_figures,
    losses,
)
from core.benchmark.evaluation.dataset import Dataset
from core.benchmark.evaluation.files import check_writable, write_json
from core.benchmark.evaluation.plotting import check_plot, plot
from core.benchmark.evaluation.report import Conditions, Report, document, make_report
from core.benchmark.evaluation.running import Evaluator, Plan, State
from core.clock import Clock
from core.errors import LockHeldError, UsageError
from core.llm.choosing import open_embedder
from core.memory.context import check_question
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.parts import open_parts
from core.settings import EMBEDDERS, Settings

_EMBED_TIMEOUT_S = 60.0
_CACHE_MB = 64


@dataclass(frozen=True)
class Job:
    """What to evaluate, what to hold it against, and where the results go."""

    dataset: Dataset
    plan: Plan
    before: Figures | None = None
    tolerance: float = 0.0
    save: Path | None = None
    plot: Path | None = None
    timings: bool = True


@dataclass(frozen=True)
class Result:
    """The report of a run, and what is worse than in the saved one."""

    report: Report
    losses: tuple[str, ...]
    timings: bool

    def document(self) -> dict[str, Any]:
        """The report as plain data."""
        return document(self.report, timings=self.timings)


def evaluation_job(
    dataset: Dataset,
    plan: Plan,
    *,
    against: Path | None = None,
    tolerance: float = 0.0,
    save: Path | None = None,
    picture: Path | None = None,
    timings: bool = True,
) -> Job:
    """Checks what the user asked for.

    Raises:
        StorageError: the saved run can't be read.
        UsageError: something that is asked for can't be done.
    """
    check_question("?", "nobody", None, plan.budget_tokens)
    if not 0 <= tolerance <= 100:
        raise UsageError(f"--tolerance can't be {tolerance:g}.", "Give 0 to 100 percentage points.")
    if save is not None:
        check_writable(save, "--save")
        if against is not None and save.resolve() == against.resolve():
            raise UsageError(
                f"--save and --against name the same file '{save}': a loss would replace what it "
                "is measured by.",
                "Save to another file.",
            )
    if picture is not None:
        check_plot(picture)
    before = None if against is None else load_figures(against)
    return Job(dataset, plan, before, tolerance, save, picture, timings)


def settings_for(settings: Settings, embedder: str | None) -> Settings:
    """The settings of an evaluation: figures must not hang on how busy the machine is.

    Raises:
        UsageError: there is no such embedder.
    """
    if embedder is not None and embedder not in EMBEDDERS:
        raise UsageError(
            f"There is no embedder '{embedder}'.", f"Choose one of {', '.join(EMBEDDERS)}."
        )
    return dataclasses.replace(
        settings,
        embedder=embedder or settings.embedder,
        embed_timeout_s=max(settings.embed_timeout_s, _EMBED_TIMEOUT_S),
        embedding_cache_mb=max(settings.embedding_cache_mb, _CACHE_MB),
        redis_url=None,
    )


def run_job(
    job: Job,
    settings: Settings,
    session: AwsSession,
    clock: Clock,
    *,
    on_progress: Callable[[State], None],
    stopped: Callable[[], bool],
) -> Result:
    """Runs a job over the memory that is deployed at the session's target, and writes its files.

    Raises:
        InterruptedRunError: `stopped` said so.
        LockHeldError: another evaluation of this project runs here.
        NotFoundError: no memory is deployed.
        SettingsError: the settings name no usable embedder.
        UsageError: the saved run can't be compared with this one.
    """
    embedder = open_embedder(settings, session, clock)
    model = (embedder.model, embedder.dimensions)
    if job.before is not None:
        check_comparable(job.before.conditions, Conditions.of(job.dataset, model, job.plan))

    def open_engine() -> OptimizedContextEngine:
        return OptimizedContextEngine(open_parts(settings, session, clock, embedder=embedder))

    evaluator = Evaluator(open_engine, embedder, clock, on_progress=on_progress, stopped=stopped)
    with _alone(settings.project_state_dir):
        run = evaluator.run(job.dataset, job.plan)
    return _finished(job, make_report(job.dataset, model, job.plan, run))


def _finished(job: Job, report: Report) -> Result:
    lost: tuple[str, ...] = ()
    if job.before is not None:
        lost = losses(job.before, figures_of(report), job.tolerance)
    if job.save is not None:
        write_json(job.save, document(report, timings=job.timings))
    if job.plot is not None:
        plot(report, job.plot)
    return Result(report, lost, job.timings)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    # Two at a time would remove each other's users.
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "eval.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockHeldError(
            "Another evaluation of this project is running.", "Wait until it has ended."
        ) from error
    try:
        yield
    finally:
        lock.release()
