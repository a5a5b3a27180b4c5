"""What the commands of a migration share: its options, its engine, and whether it may change."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError
from ialctl.context import AppContext
from ialctl.migration_budget import budget_of

if TYPE_CHECKING:
    from core.migration.journal import State
    from core.migration.migrator import Migrator
    from core.migration.wiring import Options

EMBED = ("now", "later", "never")
VECTORS = ("use", "remake")
SEGMENTS = 16
WORKERS = 3


@dataclass(frozen=True)
class Given:
    """The options of a copy, as they were given."""

    max_rcu: str | None = None
    max_wcu: str | None = None
    max_failed: int = 0
    dead_letters: Path | None = None
    workers: int = WORKERS
    segments: int = SEGMENTS
    embed: str | None = None
    vectors: str = "use"
    max_latency_ms: float | None = None
    critical_latency_ms: float | None = None


def make_options(context: AppContext, given: Given = Given()) -> Options:
    """The engine's options.

    Raises:
        UsageError: a word or a number that is none.
    """
    from core.migration.gate import Limits
    from core.migration.wiring import Options

    _check_word("--embed", given.embed, EMBED)
    _check_word("--vectors", given.vectors, VECTORS)
    least, most = given.max_latency_ms, given.critical_latency_ms
    if least is not None and most is not None and most <= least:
        raise UsageError(
            f"It would end at {most:g} ms before it waits, at {least:g}.",
            "Choose a higher `--critical-latency-ms`.",
        )
    return Options(
        segments=given.segments,
        workers=given.workers,
        max_rcu=budget_of(context, "--max-rcu", given.max_rcu),
        max_wcu=budget_of(context, "--max-wcu", given.max_wcu),
        max_failed=given.max_failed,
        dead_letters=given.dead_letters or dead_letters(context),
        embed=given.embed == "now",
        remake=given.vectors == "remake",
        limits=Limits(least, most),
    )


def dead_letters(context: AppContext) -> Path:
    """Where what can't be mapped is written, where nothing else is said."""
    settings = context.settings
    return settings.state_dir / "migration" / f"{settings.project}-dead-letters.jsonl"


@contextmanager
def migrating(
    context: AppContext, options: Options | None = None, total: int | None = None
) -> Iterator[Migrator]:
    """The engine, with its progress shown and Ctrl-C taken as a wish, while the block runs.

    `total` is how many items there are to copy, about.
    """
    from core.migration.migrator import Migrator
    from ialctl.interrupts import stop_wish
    from ialctl.migration_progress import MigrationProgress

    session = context.session
    with stop_wish() as stop, MigrationProgress(context, total) as progress:
        yield Migrator(
            session,
            context.settings,
            context.clock,
            context.ids,
            options or make_options(context),
            observe=progress,
            stop=stop,
        )


def standing_migrator(context: AppContext) -> Migrator:
    """The engine, to look at a migration or to tell it something."""
    from core.migration.migrator import Migrator

    return Migrator(context.session, context.settings, context.clock, context.ids)


def current_state(context: AppContext) -> State | None:
    """Where the migration stands; None where there is none, or nothing is deployed."""
    from core.aws.boto_table import open_table
    from core.aws.capacity import TableSchema
    from core.errors import NotFoundError
    from core.memory.active import operations_table
    from core.migration.journal import Journal

    schema = TableSchema(operations_table(context.settings.project), "pk", "sk")
    try:
        return Journal(open_table(context.session, schema, context.clock)).state()
    except NotFoundError:
        return None


def legacy_items(context: AppContext) -> int | None:
    """How many items the legacy table holds by DynamoDB's own count, hours old."""
    from core.errors import NotFoundError
    from core.memory.schema import legacy_history_schema

    name = legacy_history_schema(context.settings.project).name
    try:
        about = context.session.client("dynamodb").describe_table(TableName=name)["Table"]
    except NotFoundError:
        return None
    return int(about.get("ItemCount") or 0) or None


def may_change(context: AppContext, would: str, *, execute: bool, dry_run: bool) -> bool:
    """Whether to do what `would` says: told to, or asked at a terminal; otherwise it is shown.

    Raises:
        UsageError: both are given.
        NotConfirmedError: the answer was no.
    """
    if execute and dry_run:
        raise UsageError("`--execute` and `--dry-run` contradict each other.", "Give one.")
    if execute:
        return True
    if not dry_run and _can_ask(context):
        context.output.note(f"{would}")
        context.output.confirm("Do this?", "--execute")
        return True
    more = "" if dry_run else " To do it, add `--execute`."
    context.output.note(f"It would: {would}\nNothing was changed.{more}")
    return False


def _can_ask(context: AppContext) -> bool:
    # `--yes` alone must not do what only `--execute` does where nobody sees a question.
    return sys.stdin.isatty() and sys.stderr.isatty() and not context.output.assume_yes


def _check_word(option: str, word: str | None, known: tuple[str, ...]) -> None:
    if word is not None and word not in known:
        raise UsageError(
            f"'{word:.40}' is nothing that `{option}` knows.", f"Choose {', '.join(known)}."
        )
