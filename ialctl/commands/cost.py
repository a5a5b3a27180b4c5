"""`ialctl cost`: what the memory costs a month, in either layout, and what would cost less."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ialctl.command import command
from ialctl.context import AppContext

EXAMPLES = (
    "ialctl cost --users 5000 --messages-per-day 20 --history-days 90",
    "ialctl cost --embedder titan --terms standard-ia --lines",
)
_Users = Annotated[float, typer.Option("--users", help="How many users there are.")]
_Messages = Annotated[
    float, typer.Option("--messages-per-day", help="Of one user, both sides counted.")
]
_Days = Annotated[
    float | None,
    typer.Option(
        "--history-days", help="Days after which a message expires.", show_default="expire_days"
    ),
]
_Contexts = Annotated[
    float, typer.Option("--contexts-per-message", help="0.5: one for each thing a user says.")
]
_Cold = Annotated[
    float, typer.Option("--cold-share", help="Of contexts, by processes new to the user: 0 to 1.")
]
_Searches = Annotated[float, typer.Option("--searches-per-day", help="Of one user.")]
_Recents = Annotated[
    float, typer.Option("--recents-per-day", help="Reads of the newest messages, of one user.")
]
_Embedder = Annotated[
    str | None,
    typer.Option("--embedder", help="hashing or titan (default: the setting's).", metavar="NAME"),
]
_Terms = Annotated[
    str, typer.Option("--terms", help="on-demand, provisioned or standard-ia.", metavar="NAME")
]
_Peak = Annotated[
    float, typer.Option("--peak-to-mean", help="What provisioned capacity is made for.")
]
_Recovery = Annotated[bool, typer.Option("--pitr/--no-pitr", help="Point-in-time recovery.")]
_Exports = Annotated[float, typer.Option("--exports-per-month", help="Full backups by AWS.")]
_Kept = Annotated[float, typer.Option("--exports-kept", help="How many stay in the bucket.")]
_Free = Annotated[bool, typer.Option("--free-tier", help="Take the account's free tier off.")]
_Vectors = Annotated[
    str | None,
    typer.Option(
        "--legacy-vectors", help="Shipped figures of legacy items: none or inline.", metavar="KIND"
    ),
]
_From = Annotated[
    Path | None, typer.Option("--from", help="A result of `ialctl benchmark`.", metavar="FILE")
]
_Refresh = Annotated[bool, typer.Option("--refresh", help="Fetch AWS's public price list.")]
_Measured = Annotated[
    bool | None,
    typer.Option(
        "--measured/--modelled",
        help="Whether CloudWatch tells what is used.",
        show_default="measured on AWS",
    ),
]
_Back = Annotated[int, typer.Option("--days", help="How far CloudWatch is asked back.")]
_Lines = Annotated[bool, typer.Option("--lines", help="Show each line of both bills.")]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "cost", examples=EXAMPLES)
    def cost(
        context: AppContext,
        users: _Users = 1000,
        messages_per_day: _Messages = 20,
        history_days: _Days = None,
        contexts_per_message: _Contexts = 0.5,
        cold_share: _Cold = 0.1,
        searches_per_day: _Searches = 1,
        recents_per_day: _Recents = 1,
        embedder: _Embedder = None,
        terms: _Terms = "on-demand",
        peak_to_mean: _Peak = 3,
        pitr: _Recovery = True,
        exports_per_month: _Exports = 0,
        exports_kept: _Kept = 4,
        free_tier: _Free = False,
        legacy_vectors: _Vectors = None,
        from_file: _From = None,
        refresh: _Refresh = False,
        measured: _Measured = None,
        days: _Back = 7,
        lines: _Lines = False,
    ) -> None:
        """Show what the memory costs a month, in either layout, and what would cost less.

        Modelled from what a benchmark measured; on AWS from what CloudWatch tells.
        """
        from core.cost.usage import Terms, Usage
        from ialctl.costing import Question, chosen_embedder, show

        kept = context.settings.expire_days if history_days is None else history_days
        rates = (contexts_per_message, cold_share, searches_per_day, recents_per_day)
        paid = Terms(
            billing=terms,
            embedder=chosen_embedder(embedder, context.settings),
            peak_to_mean=peak_to_mean,
            pitr=pitr,
            exports_per_month=exports_per_month,
            exports_kept=exports_kept,
            free_tier=free_tier,
        )
        usage = Usage(users, messages_per_day, kept, *rates)
        asked = Question(usage, paid, from_file, legacy_vectors, refresh, measured, days)
        show(context, asked.answer(context), lines=lines)
