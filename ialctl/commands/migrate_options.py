"""The options that several commands of a migration take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Execute = Annotated[
    bool, typer.Option("--execute", help="Do it; without, it is asked or only shown.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and stop.")]
MaxRcu = Annotated[
    str | None,
    typer.Option(
        "--max-rcu", help="Read units a second, at most, or a share (50%); 0: all.", metavar="N"
    ),
]
MaxWcu = Annotated[
    str | None,
    typer.Option(
        "--max-wcu", help="Write units a second, at most, or a share (50%); 0: all.", metavar="N"
    ),
]
MaxFailed = Annotated[
    int,
    typer.Option("--max-failed", help="Items that may fail to map.", metavar="N", min=0),
]
DeadLetters = Annotated[
    Path | None,
    typer.Option("--dead-letters", help="Where what can't be mapped is written.", metavar="FILE"),
]
Workers = Annotated[
    int, typer.Option("--workers", help="Segments copied at a time.", metavar="N", min=1, max=64)
]
Segments = Annotated[
    int,
    typer.Option(
        "--segments", help="Parts that the table is read in.", metavar="N", min=1, max=4096
    ),
]
Embed = Annotated[
    str | None,
    typer.Option(
        "--embed",
        help="Vectors for what has none: now (while it is copied), later, or never.",
        metavar="WHEN",
    ),
]
Vectors = Annotated[
    str,
    typer.Option("--vectors", help="Vectors found inline: use, or remake them.", metavar="HOW"),
]
MaxLatency = Annotated[
    float | None,
    typer.Option(
        "--max-latency-ms", help="Wait while a small read takes longer.", metavar="MS", min=0.1
    ),
]
CriticalLatency = Annotated[
    float | None,
    typer.Option(
        "--critical-latency-ms",
        help="End where it takes longer three times in a row.",
        metavar="MS",
        min=0.1,
    ),
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Copy anew; what stands is compared, then kept.")
]
Sample = Annotated[
    int,
    typer.Option(
        "--sample",
        help="Users whose indexes, vectors and contexts are looked at.",
        metavar="N",
        min=0,
    ),
]
Full = Annotated[bool, typer.Option("--full", help="Look at all of them.")]
ForSeconds = Annotated[
    float | None,
    typer.Option("--for", help="Follow for so many seconds.", metavar="SECONDS", min=0),
]
Follow = Annotated[bool, typer.Option("--follow", help="Afterwards follow on, until stopped.")]
