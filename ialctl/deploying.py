"""What the deployment's commands share: how one is built, and how plans and results are shown."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.errors import UsageError
from ialctl.context import AppContext
from ialctl.output import Column

if TYPE_CHECKING:
    from core.deploy.phases import Phase
    from core.deploy.progress import Observer
    from core.deploy.service import Deployment, Options
    from core.deploy.values import Plan, Result, StackPlan

PLAN_COLUMNS = (
    Column("STACK", "stack"),
    Column("ACTION", "action"),
    Column("CHANGES", "summary"),
)


def make_options(
    wanted: Sequence[str], parameters: Sequence[str], allow_replace: Sequence[str] = ()
) -> Options:
    """The options of a deployment, as they are written on the command line.

    Raises:
        UsageError: a parameter that is not KEY=VALUE.
    """
    from core.deploy.service import Options

    pairs: dict[str, str] = {}
    for text in parameters:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(
                f"The parameter '{text}' is not KEY=VALUE.",
                "Write it like `--parameter AlarmEmail=me@example.org`.",
            )
        pairs[key] = value
    return Options(tuple(wanted), pairs, tuple(allow_replace))


def read_all_phases(context: AppContext) -> tuple[Phase, ...]:
    """The phases, read before anything else is done: a bad template stops all."""
    from core.deploy.phases import phases_folder, read_phases

    return read_phases(phases_folder(context.settings))


def deployment(
    context: AppContext,
    options: Options | None = None,
    observer: Observer | None = None,
    phases: tuple[Phase, ...] | None = None,
) -> Deployment:
    """A deployment of the context's project on its target."""
    from core.deploy.progress import no_observer
    from core.deploy.service import Deployment, Options

    return Deployment(
        context.settings,
        context.session,
        options or Options(),
        clock=context.clock,
        ids=context.ids,
        observer=observer or no_observer,
        phases=phases,
    )


def plan_rows(plan: Plan) -> list[dict[str, Any]]:
    """A plan as rows, one a stack."""
    return [
        {
            "phase": stack.phase,
            "stack": stack.stack,
            "action": stack.action,
            "status": stack.status,
            "summary": summary(stack),
            "changes": [dataclasses.asdict(c) | {"kind": c.kind} for c in stack.changes],
        }
        for stack in plan.stacks
    ]


def summary(stack: StackPlan) -> str:
    """What would become of a stack's resources, in a few words; dangers by name."""
    if stack.note:
        return stack.note
    safe = Counter(c.kind for c in stack.changes if not c.endangers_data)
    parts = [f"{count} {kind}" for kind, count in safe.items()]
    parts += [f"{c.type} '{c.logical_id}' {c.kind} (holds data)" for c in stack.endangered]
    return ", ".join(parts)


def show_plan(context: AppContext, plan: Plan) -> None:
    """The plan for a person to read (stderr): only what would change."""
    if not plan.changes_anything:
        return
    context.output.note("This will be done:")
    for stack in plan.stacks:
        if stack.action != "unchanged":
            context.output.note(f"  {stack.action} {stack.stack}: {summary(stack)}")


def result_data(context: AppContext, result: Result | None) -> dict[str, Any]:
    """A result as JSON holds it."""
    stacks = result.stacks if result else ()
    return {
        "project": context.settings.project,
        "target": context.settings.target,
        "endpoint": context.session.endpoint_url,
        "changed": bool(result and result.changed),
        "stacks": [{"phase": s.phase, "stack": s.stack, "state": s.state} for s in stacks],
        "tables": list(result.tables) if result else [],
    }
