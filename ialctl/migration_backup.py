"""What a migration needs beside itself: a backup that holds the legacy table, and the tables."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from core.errors import NotFoundError
from ialctl.context import AppContext

if TYPE_CHECKING:
    from core.backup.catalog import BackupSet

FRESH_S = 86_400.0
"""A backup taken so long before a migration was begun is of use to it."""


def fitting_backup(context: AppContext, place: str | None, begun_s: float) -> BackupSet | None:
    """The newest whole backup that holds the legacy history, and is not much older than `begun_s`.

    Only its manifest is looked at.
    """
    from core.backup.catalog import list_sets
    from core.memory.schema import legacy_history_schema
    from ialctl.backing_up import place_of

    name = legacy_history_schema(context.settings.project).name
    sets = list_sets(place_of(context, place), context.clock)
    fitting = [
        one
        for one in sets
        if one.state == "valid"
        and one.manifest is not None
        and one.manifest.project == context.settings.project
        and any(part.table == name for part in one.manifest.tables)
        and seconds_of(one.manifest.finished_at) >= begun_s - FRESH_S
    ]
    return max(fitting, key=lambda one: one.started_s, default=None)


def seconds_of(text: str) -> float:
    """The instant of a manifest, in epoch seconds."""
    return datetime.fromisoformat(text).timestamp()


def back_up(context: AppContext) -> str:
    """Takes a backup of the project's tables where the settings say, as `ialctl backup` does."""
    from ialctl.backing_up import (
        KeyOptions,
        completed,
        make_wish,
        place_of,
        sealing_source,
        taken_backup,
    )
    from ialctl.words import counted

    place, source = place_of(context, None), sealing_source(context, KeyOptions())
    wish = completed(context, place, make_wish((), "auto", "gzip", None, fresh=False), None)
    found = taken_backup(context, place, wish, source).manifest
    return f"{found.id} in {place.url}, {counted(found.items, 'item')}"


def deploy_missing(context: AppContext) -> str:
    """Deploys the optimized tables where one of them does not stand; says what was done.

    Raises:
        NotConfirmedError: on AWS, where nobody answers whether to.
    """
    from ialctl.deploy_progress import interruptible, shown_progress
    from ialctl.deploying import deployment, read_all_phases, show_plan

    if not missing_tables(context):
        return "done before: all tables stand"
    made = deployment(context, phases=read_all_phases(context))
    with interruptible(context.output), made.locked():
        plan = made.plan()
        show_plan(context, plan)
        if plan.changes_anything and context.settings.target == "aws":
            context.output.confirm(f"Do this on {context.session.where}?")
        with shown_progress(context.output, context.clock) as observer:
            made.observe(observer)
            made.apply(plan)
    return "the optimized tables stand"


def missing_tables(context: AppContext) -> list[str]:
    """Which of the tables that a migration writes do not stand."""
    from core.memory.active import operations_table
    from core.memory.schema import embeddings_schema, history_schema

    project, client = context.settings.project, context.session.client("dynamodb")
    wanted = (
        history_schema(project).name,
        embeddings_schema(project).name,
        operations_table(project),
    )
    found = []
    for name in wanted:
        try:
            client.describe_table(TableName=name)
        except NotFoundError:
            found.append(name)
    return found
