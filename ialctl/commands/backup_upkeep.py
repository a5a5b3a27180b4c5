"""`ialctl backup prune` and `schedule`: which backups stay, and when they are taken."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ialctl.command import command
from ialctl.commands.backup_looking import From
from ialctl.context import AppContext
from ialctl.output import Column

if TYPE_CHECKING:
    from core.backup.pruning import Policy, Verdict

PRUNE_EXAMPLES = (
    "ialctl backup prune --keep-daily 7 --keep-weekly 4 --dry-run",
    "ialctl backup prune --keep-last 3 --yes",
)
SCHEDULE_EXAMPLES = (
    "ialctl backup schedule --print cron",
    "ialctl backup schedule --print systemd --at 04:30 --keep-daily 7",
)
_Last = Annotated[int, typer.Option("--keep-last", help="Keep the newest N.", metavar="N")]
_Daily = Annotated[
    int, typer.Option("--keep-daily", help="Keep the newest of N days.", metavar="N")
]
_Weekly = Annotated[
    int, typer.Option("--keep-weekly", help="Keep the newest of N weeks.", metavar="N")
]
_Monthly = Annotated[
    int, typer.Option("--keep-monthly", help="Keep the newest of N months.", metavar="N")
]
_Within = Annotated[
    str | None,
    typer.Option("--within", "--keep-within", help="Keep all of so long: 36h, 30d.", metavar="T"),
]
_Damaged = Annotated[bool, typer.Option("--damaged", help="Remove damaged ones too.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would go, and why; stop.")]
_Print = Annotated[str, typer.Option("--print", help="cron or systemd.", metavar="FORM")]
_At = Annotated[str, typer.Option("--at", help="The time of day, 24 hours.", metavar="HH:MM")]
_VERDICTS = (
    Column("BACKUP", "id"),
    Column("STATE", "state"),
    Column("SIZE", "shown", right=True),
    Column("", "verb"),
    Column("WHY", "why"),
)


def register(group: typer.Typer) -> None:
    """Adds the commands."""

    @command(group, "prune", examples=PRUNE_EXAMPLES)
    def prune(
        context: AppContext,
        place: From = None,
        keep_last: _Last = 0,
        keep_daily: _Daily = 0,
        keep_weekly: _Weekly = 0,
        keep_monthly: _Monthly = 0,
        within: _Within = None,
        damaged: _Damaged = False,
        dry_run: _DryRun = False,
    ) -> None:
        """Remove backups that no rule keeps; never the last valid one."""
        policy = _policy(keep_last, keep_daily, keep_weekly, keep_monthly, within)
        _prune(context, place, policy, damaged=damaged, dry_run=dry_run)

    @command(group, "schedule", examples=SCHEDULE_EXAMPLES)
    def schedule(
        context: AppContext,
        print_: _Print,
        at: _At = "03:15",
        place: From = None,
        keep_last: _Last = 0,
        keep_daily: _Daily = 0,
        keep_weekly: _Weekly = 0,
        keep_monthly: _Monthly = 0,
        within: _Within = None,
    ) -> None:
        """Print a crontab line or systemd units that take backups daily, ready to use."""
        from ialctl.output import plain

        rules = {
            "--keep-last": keep_last,
            "--keep-daily": keep_daily,
            "--keep-weekly": keep_weekly,
            "--keep-monthly": keep_monthly,
            "--within": within,
        }
        text = _schedule(context, print_, at, place, {k: v for k, v in rules.items() if v})
        context.output.result(
            "backup-schedule", {"form": print_, "text": text}, lambda: plain(text)
        )


def _policy(last: int, daily: int, weekly: int, monthly: int, within: str | None) -> Policy:
    from core.backup.pruning import Policy, parse_within

    return Policy(last, daily, weekly, monthly, parse_within(within) if within else None)


def _prune(
    context: AppContext, place: str | None, policy: Policy, *, damaged: bool, dry_run: bool
) -> None:
    from core.backup.pruning import Pruner
    from ialctl.backing_up import place_of

    found = place_of(context, place)
    pruner = Pruner(found, context.clock, context.ids)
    planned = pruner.plan(policy, damaged=damaged)
    going = [verdict for verdict in planned if not verdict.stays]
    if dry_run or not going:
        _show(context, planned, dry_run=True, place=found.url)
        return
    context.output.confirm(f"Remove {len(going)} of {len(planned)} backups in '{found.url}'?")
    _show(context, pruner.prune(policy, damaged=damaged), dry_run=False, place=found.url)


def _show(context: AppContext, verdicts: tuple[Verdict, ...], *, dry_run: bool, place: str) -> None:
    from ialctl.words import size_words

    verb = "would go" if dry_run else "removed"
    rows: list[dict[str, Any]] = [
        dataclasses.asdict(verdict)
        | {
            "verb": "stays" if verdict.stays else verb,
            "why": "; ".join(verdict.reasons),
            "shown": None if verdict.size is None else size_words(verdict.size),
        }
        for verdict in verdicts
    ]
    context.output.rows("backup-prune", rows, _VERDICTS, place=place, dry_run=dry_run)
    gone = [verdict for verdict in verdicts if not verdict.stays]
    size = size_words(sum(verdict.size or 0 for verdict in gone))
    context.output.note(f"{len(gone)} of {len(verdicts)} backups {verb}: {size}.")


def _schedule(
    context: AppContext, form: str, at: str, place: str | None, rules: dict[str, Any]
) -> str:
    from core.backup.schedule import Schedule, cron_text, systemd_text
    from core.errors import UsageError
    from ialctl.backing_up import own_command

    texts = {"cron": cron_text, "systemd": systemd_text}
    if form not in texts:
        raise UsageError(f"There is no schedule for '{form}'.", "Choose cron or systemd.")
    program, options = own_command(context)
    to = place or context.settings.backup_to
    commands = [[*program, "backup", "create", *options, "--to", to]]
    if rules:
        kept = [word for rule, value in rules.items() for word in (rule, str(value))]
        commands.append([*program, "backup", "prune", *options, "--from", to, *kept, "--yes"])
    return texts[form](Schedule(context.settings.project, commands, Path.cwd(), at))
