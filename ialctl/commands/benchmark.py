"""`ialctl benchmark`: legacy against optimized, side by side, and against an earlier run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ialctl.command import command
from ialctl.context import AppContext

EXAMPLES = (
    "ialctl benchmark --report report.html",
    "ialctl benchmark --messages 1000 --compare base.json",
)
_Messages = Annotated[
    list[int] | None,
    typer.Option(
        "--messages",
        help="Size of a history; may be repeated.",
        metavar="N",
        show_default="100, 1000 and 10000",
    ),
]
_Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset", help="LoCoMo, JSON lines or an export, in their place.", metavar="FILE"
    ),
]
_Rounds = Annotated[
    int | None,
    typer.Option(
        "--rounds",
        help="Rounds of calls; more tell smaller differences.",
        show_default="20, or as many as 3 minutes allow",
    ),
]
_Seed = Annotated[int, typer.Option("--seed", help="Makes the conversations, draws the questions.")]
_Rtt = Annotated[
    float,
    typer.Option("--rtt-ms", help="Wait so long before each request, as a region makes one wait."),
]
_Embedding = Annotated[
    float, typer.Option("--embedding-ms", help="Wait so long at each call of the model.")
]
_Embedder = Annotated[
    str | None,
    typer.Option("--embedder", help="In place of the setting `embedder`.", metavar="NAME"),
]
_Report = Annotated[
    Path | None,
    typer.Option("--report", help="Write the page with plots here.", metavar="FILE.html"),
]
_Plot = Annotated[
    Path | None,
    typer.Option("--plot", help="Draw it (extra `plots`).", metavar="FILE.png|svg"),
]
_Save = Annotated[
    Path | None, typer.Option("--save", help="Write the result, as JSON.", metavar="FILE")
]
_Compare = Annotated[
    Path | None,
    typer.Option("--compare", help="A saved result; exit 3 where this is worse.", metavar="BASE"),
]
_Tolerance = Annotated[
    float, typer.Option("--tolerance", help="Percent by which a time may grow.", metavar="PERCENT")
]
_Peers = Annotated[
    bool, typer.Option("--peers", help="Measure other libraries too (extra `bench-peers`).")
]
_Users = Annotated[
    int | None, typer.Option("--users", help="Load: so many users.", show_default="100")
]
_Rate = Annotated[
    float | None, typer.Option("--rate", help="Load: so many calls a second, come what may.")
]
_Duration = Annotated[float, typer.Option("--duration", help="Load: seconds of each step.")]
_Ramp = Annotated[
    bool, typer.Option("--ramp", help="Load: find the rate at which p99 passes the limit.")
]
_Limit = Annotated[float, typer.Option("--p99-limit-ms", help="Load: the limit of --ramp.")]
_Fault = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        help="Load: throttling[=SHARE], latency[=SHARE:MS] or redis; may be repeated.",
        metavar="KIND",
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "benchmark", examples=EXAMPLES)
    def benchmark(
        context: AppContext,
        messages: _Messages = None,
        dataset: _Dataset = None,
        rounds: _Rounds = None,
        seed: _Seed = 1,
        rtt_ms: _Rtt = 0.0,
        embedding_ms: _Embedding = 0.0,
        embedder: _Embedder = None,
        report: _Report = None,
        plot: _Plot = None,
        save: _Save = None,
        compare: _Compare = None,
        tolerance: _Tolerance = 8.0,
        peers: _Peers = False,
        users: _Users = None,
        rate: _Rate = None,
        duration: _Duration = 10.0,
        ramp: _Ramp = False,
        p99_limit_ms: _Limit = 100.0,
        fault: _Fault = None,
    ) -> None:
        """Measure the optimized layout against the legacy one, on the same data, in one run.

        It makes tables of its own, and removes them; a deployment's data is not touched.
        With --users, --rate or --ramp it puts load on both in place of comparing them.
        """
        import sys

        from core.benchmark.layouts.job import Wanted, job
        from ialctl.benchmarking import run_benchmark

        wanted = Wanted(
            sizes=tuple(messages or ()),
            dataset=dataset,
            rounds=rounds,
            seed=seed,
            rtt_ms=rtt_ms,
            embedding_ms=embedding_ms,
            embedder=embedder,
            report=report,
            plot=plot,
            save=save,
            compare=compare,
            tolerance=tolerance / 100,
            peers=peers,
            users=users,
            rate=rate,
            duration_s=duration,
            ramp=ramp,
            limit_ms=p99_limit_ms,
            faults=tuple(fault or ()),
        )
        run_benchmark(context, job(wanted, context.settings, sys.stdin.buffer, context.clock))
