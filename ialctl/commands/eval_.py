"""`ialctl eval`: what the memory finds on a data set, and what finding it costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ialctl.command import command
from ialctl.context import AppContext

if TYPE_CHECKING:
    from core.benchmark.evaluation.job import Job, Result

EXAMPLES = (
    "ialctl eval --dataset locomo.json --save run.json",
    "ialctl eval --dataset locomo.json --questions 100 --against run.json",
)
_Dataset = Annotated[
    str,
    typer.Option("--dataset", help="The data set; - reads standard input.", metavar="FILE"),
]
_Format = Annotated[str, typer.Option("--format", help="Its format: locomo.")]
_Embedder = Annotated[
    str | None,
    typer.Option("--embedder", help="In place of the setting `embedder`.", metavar="NAME"),
]
_Questions = Annotated[
    int | None,
    typer.Option("--questions", help="Ask so many, drawn by the seed.", metavar="N"),
]
_Seed = Annotated[int, typer.Option("--seed", help="Draws the questions; names the users.")]
_Budget = Annotated[
    int | None,
    typer.Option("--budget", help="Tokens of a context.", metavar="N", show_default="2000"),
]
_Save = Annotated[
    Path | None, typer.Option("--save", help="Write the run, as JSON.", metavar="FILE")
]
_Against = Annotated[
    Path | None,
    typer.Option("--against", help="A saved run; exit 3 where this is worse.", metavar="FILE"),
]
_Tolerance = Annotated[
    float,
    typer.Option("--tolerance", help="Points of recall that may be lost.", metavar="POINTS"),
]
_Plot = Annotated[
    Path | None,
    typer.Option("--plot", help="Draw it (extra `plots`).", metavar="FILE.png|svg"),
]
_Timings = Annotated[
    bool, typer.Option("--timings/--no-timings", help="Whether times are shown and saved.")
]
_Cold = Annotated[
    bool, typer.Option("--cold", help="Ask each question of an engine that knows nothing.")
]
_Keep = Annotated[bool, typer.Option("--keep", help="Keep the users that it stores.")]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "eval", examples=EXAMPLES)
    def eval_(
        context: AppContext,
        dataset: _Dataset,
        file_format: _Format = "locomo",
        embedder: _Embedder = None,
        questions: _Questions = None,
        seed: _Seed = 0,
        budget: _Budget = None,
        save: _Save = None,
        against: _Against = None,
        tolerance: _Tolerance = 0.5,
        plot: _Plot = None,
        cold: _Cold = False,
        timings: _Timings = True,
        keep: _Keep = False,
    ) -> None:
        """Measure what the memory finds of the evidence in a data set, and what that costs.

        Stores each conversation under a user of its own, asks its questions, and forgets it.
        """
        import sys

        from core.benchmark.evaluation.dataset import open_dataset
        from core.benchmark.evaluation.job import evaluation_job
        from core.benchmark.evaluation.running import Plan

        settings = context.settings
        tokens = settings.token_budget if budget is None else budget
        job = evaluation_job(
            open_dataset(dataset, file_format, sys.stdin.buffer).sampled(questions, seed),
            Plan(settings.project, seed, tokens, keep, cold),
            against=against,
            tolerance=tolerance,
            save=save,
            picture=plot,
            timings=timings,
        )
        _show(context, job, _run(context, job, embedder))


def _run(context: AppContext, job: Job, embedder: str | None) -> Result:
    from core.benchmark.evaluation.job import run_job, settings_for
    from ialctl.interrupts import stop_wish
    from ialctl.progress import QuestionProgress

    settings = settings_for(context.settings, embedder)
    for trouble in job.dataset.tally.troubles:
        context.output.note(trouble)
    with stop_wish() as wish, QuestionProgress(context) as progress:
        return run_job(
            job,
            settings,
            context.session,
            context.clock,
            on_progress=progress.show,
            stopped=wish,
        )


def _show(context: AppContext, job: Job, result: Result) -> None:
    from core.benchmark.evaluation.report import table
    from core.errors import DifferenceError
    from ialctl.output import plain

    context.output.result(
        "eval", result.document(), lambda: plain(table(result.report, timings=job.timings))
    )
    for sentence, times in result.report.missing.items():
        context.output.warn(f"{times} times: {sentence}")
    for loss in result.losses:
        context.output.warn(loss)
    if result.losses:
        raise DifferenceError(
            f"This run is worse than the saved one in {len(result.losses)} figures.",
            "Find out why; save the new run if it is meant to be so.",
        )
