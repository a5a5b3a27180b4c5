"""`ialctl context`: what an agent would be given for a question."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from ialctl.command import command
from ialctl.context import AppContext

if TYPE_CHECKING:
    from core.memory.context import Context

EXAMPLES = (
    'ialctl context "When did Ada go to Turin?" --user ada',
    'ialctl context "What is her dog called?" --user ada --session s1 --json',
)
_Question = Annotated[str, typer.Argument(help="A question, in words.", metavar="QUERY")]
_User = Annotated[str, typer.Option("--user", help="Whose memory is asked.", metavar="ID")]
_Session = Annotated[
    str | None, typer.Option("--session", help="The session that goes on.", metavar="ID")
]
_Budget = Annotated[
    int | None,
    typer.Option("--budget", help="Tokens it may take.", metavar="N", show_default="2000"),
]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "context", examples=EXAMPLES)
    def context(
        context: AppContext,
        query: _Question,
        user: _User,
        session: _Session = None,
        budget: _Budget = None,
    ) -> None:
        """Show the context that an agent would get, and what it cost to read."""
        from core.memory.context_engine_optimized import OptimizedContextEngine
        from core.memory.parts import open_parts

        parts = open_parts(context.settings, context.session, context.clock)
        with OptimizedContextEngine(parts) as engine:
            built = engine.build_context(query, user, session, budget)
        _show(context, built)


def _show(context: AppContext, built: Context) -> None:
    from ialctl.output import plain

    context.output.result("context", dataclasses.asdict(built), lambda: plain(built.text.rstrip()))
    if context.output.format != "table":
        return
    used = built.consumed
    context.output.note(
        f"{len(built.lines)} messages, {built.tokens} of {built.budget_tokens} tokens; "
        f"{built.searched} searched; {used.read_units:g} read units, {used.requests} requests in "
        f"{used.rounds} rounds, {built.timings_ms['total']:.0f} ms"
    )
    for note in built.missing:
        context.output.warn(note)
