"""`ialctl start`: brings the target up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ialctl.command import command
from ialctl.commands.plan import Parameters, With
from ialctl.context import AppContext

if TYPE_CHECKING:
    from rich.text import Text

    from core.deploy.phases import Phase
    from core.deploy.service import Options
    from core.deploy.values import Result

LEGACY_PHASE = "conversation-memory"
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and stop.")]
WithLegacy = Annotated[
    bool,
    typer.Option("--with-legacy", help="The legacy tables too; as `--with conversation-memory`."),
]
AllowReplace = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-replace",
        help="Let this stack replace or remove what holds data; can be repeated.",
        metavar="STACK",
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "start", examples=("ialctl start", "ialctl start --target aws --dry-run"))
    def start(
        context: AppContext,
        wanted: With = None,
        with_legacy: WithLegacy = False,
        parameter: Parameters = None,
        allow_replace: AllowReplace = None,
        dry_run: DryRun = False,
    ) -> None:
        """Bring everything up: the local endpoint, all stacks, and the checks of what stands."""
        from ialctl.deploying import make_options, read_all_phases, result_data

        phases_too = (*(wanted or ()), *((LEGACY_PHASE,) if with_legacy else ()))
        options = make_options(phases_too, parameter or (), allow_replace or ())
        phases = read_all_phases(context)
        if context.settings.uses_embedded_endpoint:
            from ialctl.endpoint import ensure_endpoint

            ensure_endpoint(context)
        result = _run(context, options, phases, dry_run=dry_run)
        data = result_data(context, result) | {"dry_run": dry_run}
        context.output.result("start", data, lambda: _summary(context, result))


def _run(
    context: AppContext, options: Options, phases: tuple[Phase, ...], *, dry_run: bool
) -> Result | None:
    """Plans, asks, deploys; None where it was to stop at the plan."""
    from ialctl.deploy_progress import interruptible, shown_progress
    from ialctl.deploying import deployment, show_plan

    planned = deployment(context, options, phases=phases)
    if dry_run:
        show_plan(context, planned.plan())
        return None
    with interruptible(context.output), planned.locked():
        plan = planned.plan()
        show_plan(context, plan)
        if plan.changes_anything and context.settings.target == "aws":
            context.output.confirm(f"Do this on {context.session.where}?")
        with shown_progress(context.output, context.clock) as observer:
            planned.observe(observer)
            return planned.apply(plan)


def _summary(context: AppContext, result: Result | None) -> Text:
    from rich.text import Text

    from ialctl.output import plain

    if result is None:
        return Text("Nothing was changed (--dry-run).")
    lines = [
        "Deployed and checked." if result.changed else "Nothing changed: all stands as described.",
        f"  target   {context.session.where}",
        f"  stacks   {len(result.stacks)}",
        "  tables   " + "\n           ".join(result.tables),
        "Next:",
        "  ialctl import FILE --user NAME             put a conversation in",
        '  ialctl context "a question" --user NAME    see what an agent would get',
    ]
    return plain("\n".join(lines))
