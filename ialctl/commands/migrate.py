"""`ialctl migrate`: the old tables into the optimized layout, under live traffic, and the way back.

Typed bare it guides through all steps; each is a command of its own too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ialctl.command import command
from ialctl.commands import migrate_looking, migrate_switching, migrate_telling
from ialctl.commands.migrate_options import (
    CriticalLatency,
    DeadLetters,
    DryRun,
    Embed,
    Execute,
    Follow,
    ForSeconds,
    MaxFailed,
    MaxLatency,
    MaxRcu,
    MaxWcu,
    Restart,
    Sample,
    Segments,
    Vectors,
    Workers,
)
from ialctl.context import AppContext
from ialctl.groups import make_group

if TYPE_CHECKING:
    from ialctl.migrating import Given

HELP = (
    "Move the old tables into the optimized layout under live traffic: guided when bare (its "
    "options: `ialctl migrate guide --help`), or step by step; and back."
)


def register(app: typer.Typer) -> None:
    """Adds the group with its commands."""
    group = make_group("migrate", "guide", HELP)

    @command(
        group, "guide", examples=("ialctl migrate guide", "ialctl migrate guide --yes --execute")
    )
    def guide(
        context: AppContext,
        execute: Execute = False,
        dry_run: DryRun = False,
        max_rcu: MaxRcu = None,
        max_wcu: MaxWcu = None,
        max_failed: MaxFailed = 0,
        dead_letters: DeadLetters = None,
        workers: Workers = 3,
        segments: Segments = 16,
        embed: Embed = None,
        vectors: Vectors = "use",
        sample: Sample = 200,
        max_latency_ms: MaxLatency = None,
        critical_latency_ms: CriticalLatency = None,
    ) -> None:
        """Plan, back up, deploy, copy, verify, cut over: each step that is left, in order."""
        from ialctl.migrating import Given
        from ialctl.migration_guide import Guide

        latencies = (max_latency_ms, critical_latency_ms)
        copying = (workers, segments, embed, vectors)
        given = Given(max_rcu, max_wcu, max_failed, dead_letters, *copying, *latencies)
        Guide(context, given, sample).go(execute=execute, dry_run=dry_run)

    @command(
        group,
        "run",
        examples=("ialctl migrate run --execute", "ialctl migrate run --execute --max-wcu 500"),
    )
    def run(
        context: AppContext,
        execute: Execute = False,
        dry_run: DryRun = False,
        max_rcu: MaxRcu = None,
        max_wcu: MaxWcu = None,
        max_failed: MaxFailed = 0,
        dead_letters: DeadLetters = None,
        workers: Workers = 3,
        segments: Segments = 16,
        embed: Embed = None,
        vectors: Vectors = "use",
        max_latency_ms: MaxLatency = None,
        critical_latency_ms: CriticalLatency = None,
        restart: Restart = False,
        follow: Follow = False,
        for_seconds: ForSeconds = None,
    ) -> None:
        """Copy what is not copied, and follow what changes, until both sides are level."""
        from ialctl.migrating import Given

        latencies = (max_latency_ms, critical_latency_ms)
        copying = (workers, segments, embed, vectors)
        given = Given(max_rcu, max_wcu, max_failed, dead_letters, *copying, *latencies)
        follows = follow or for_seconds is not None
        if _copy(context, given, execute=execute, dry_run=dry_run, restart=restart) and follows:
            _follow(context, for_seconds)

    @command(
        group,
        "follow",
        examples=("ialctl migrate follow --execute", "ialctl migrate follow --execute --for 3600"),
    )
    def follow_(
        context: AppContext,
        execute: Execute = False,
        dry_run: DryRun = False,
        for_seconds: ForSeconds = None,
    ) -> None:
        """Bring what changes to the other side, until stopped or for so long."""
        from ialctl.migrating import may_change

        would = "bring what changes in either table to the other one."
        if may_change(context, would, execute=execute, dry_run=dry_run):
            _follow(context, for_seconds)

    migrate_looking.register(group)
    migrate_telling.register(group)
    migrate_switching.register(group)
    app.add_typer(group)


def _copy(
    context: AppContext, given: Given, *, execute: bool, dry_run: bool, restart: bool
) -> bool:
    """Copies; False where it was only shown."""
    from ialctl.migrating import legacy_items, make_options, may_change, migrating
    from ialctl.migration_words import copied_data, copied_lines
    from ialctl.output import plain

    options, total = make_options(context, given), legacy_items(context)
    about = f"about {total:,} items" if total else "what there is"
    would = f"copy {about} of the legacy table, and follow what changes meanwhile."
    if not may_change(context, would, execute=execute, dry_run=dry_run):
        return False
    with migrating(context, options, total) as migrator:
        outcome = migrator.run(restart=restart)
        status = migrator.status()
    data = copied_data(outcome, status)
    context.output.result("migrate-run", data, lambda: plain("\n".join(copied_lines(data))))
    if data["without_vector"] and given.embed not in ("now", "never"):
        context.output.note("Give a vector to each message that has none: `ialctl reindex`.")
    return True


def _follow(context: AppContext, seconds: float | None) -> None:
    from ialctl.migrating import migrating
    from ialctl.output import plain

    with migrating(context) as migrator:
        migrator.follow(seconds)
        going = migrator.status().going
    numbers = dict(going.numbers) if going else {}
    data = {"lag_s": going.lag_s if going else None, "numbers": numbers}
    said = (
        f"Followed: {numbers.get('forward', 0):,.0f} changes to the optimized tables, "
        f"{numbers.get('back', 0):,.0f} to the legacy one; nothing is left to apply."
    )
    context.output.result("migrate-follow", data, lambda: plain(said))
