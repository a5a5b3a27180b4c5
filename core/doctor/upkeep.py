"""Which engine is active, where a migration stands, the last backup, and locks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.aws.lease import LEASE, process_runs, this_run
from core.backup.catalog import BackupSet, newest
from core.backup.lock import Holder
from core.doctor.finding import Finding, ok, trouble, warning
from core.doctor.reaching import Client
from core.errors import NotFoundError
from core.memory.active import ENGINES, operations_table
from core.migration.journal import State

OLD_BACKUP_S = 7 * 86_400.0
LEASES = ("deployment", "migration")
_STATUS: Mapping[str, tuple[str, str]] = {
    "copying": ("is copying, or stopped amid it", "`ialctl migrate` goes on from there."),
    "copied": ("has copied, and is not cut over", "`ialctl migrate` verifies, then asks."),
    "rolled_back": (
        "was rolled back",
        "`ialctl migrate status` says why; `ialctl migrate` tries anew.",
    ),
}


def engine_finding(engine: str, migration: State | None, *, legacy: bool) -> Finding:
    """Whether the optimized engine is active and nothing is half-way.

    Args:
        engine: the one that is noted.
        migration: where it stands, if there is one.
        legacy: whether the legacy history stands.
    """
    if engine not in ENGINES:
        cure = f"One of {', '.join(ENGINES)} is: `ialctl migrate cutover` or `rollback` sets it."
        return trouble(
            "engine",
            f"'{engine:.40}' is noted, which is none",
            "Which one answers is left to chance.",
            cure,
        )
    if engine == "legacy" and not legacy:
        means = "The engine that is active has no table: every call fails."
        return trouble(
            "engine", "legacy, and its table is missing", means, "`ialctl start --with-legacy`"
        )
    if migration is not None and migration.status in _STATUS:
        words, cure = _STATUS[migration.status]
        means = "Both layouts stand and are paid for until it is over."
        return warning("engine", f"{engine}; a migration {words}", means, cure)
    if engine == "legacy":
        means = "Each context embeds anew and reads a whole partition."
        return warning("engine", "legacy", means, "`ialctl migrate plan`, then `ialctl migrate`")
    if engine == "dual":
        means = "Every message is written twice, and paid twice."
        return warning("engine", "dual", means, "`ialctl migrate status`, then `ialctl migrate`")
    if migration is not None and migration.status == "cut_over":
        return ok("engine", "optimized; the way back stands until `ialctl migrate cleanup`")
    return ok("engine", "optimized" + ("; the legacy tables stand as well" if legacy else ""))


def backup_finding(
    sets: Sequence[BackupSet], project: str, place: str, items: int, now_s: float
) -> Finding:
    """How old the newest whole backup is."""
    last = newest(sets, project)
    broken = [one.id for one in sets if one.state == "damaged" and not one.is_newer]
    if last is None or last.manifest is None:
        if not items:
            return ok("backup", "none yet, and nothing to back up")
        means = "What is lost, is lost, but for point-in-time recovery where it is on."
        return warning("backup", f"none at {place}", means, "`ialctl backup`")
    age_s = now_s - last.started_s
    found = f"{_age(age_s)} old: {last.id} at {place}"
    if broken:
        means = f"{broken[0]} can't be restored."
        cure = f"`ialctl backup verify {broken[0]}` says why; `ialctl backup` takes a new one."
        return warning("backup", f"{found}; {len(broken)} damaged", means, cure)
    if age_s > OLD_BACKUP_S:
        means = "All since then would be lost, but for point-in-time recovery where it is on."
        return warning(
            "backup", found, means, "`ialctl backup`; `ialctl backup schedule` for every night"
        )
    return ok("backup", found)


def _age(seconds: float) -> str:
    hours = seconds / 3600
    if hours < 1:
        return f"{max(0.0, seconds) / 60:.0f} min"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"


@dataclass(frozen=True)
class Held:
    """A lock that is held: of what, by whom, since when; `dead` where its process has ended, or
    its time has run out."""

    what: str
    holder: str
    since: str
    dead: bool


def leases(dynamodb: Client, project: str, now_s: float) -> Iterator[Held]:
    """Locks in the operations table."""
    table = operations_table(project)
    for what in LEASES:
        key = {"pk": {"S": f"{LEASE}{what}"}, "sk": {"S": "lock"}}
        try:
            answer = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)
        except NotFoundError:
            return
        item: Mapping[str, Any] = answer.get("Item") or {}
        if "run" in item:
            yield _held(what, item, now_s)


def _held(what: str, item: Mapping[str, Any], now_s: float) -> Held:
    holder, since = (str(item.get(n, {}).get("S", "?")) for n in ("holder", "since"))
    over = float(item.get("expires_at", {}).get("N", "0")) < now_s
    here = item.get("host", {}).get("S") == this_run("").host
    ended = here and not process_runs(int(item.get("pid", {}).get("N", "0")))
    return Held(what, holder, since, over or ended)


def lock_of_backups(holder: Holder | None, now_s: float) -> Iterator[Held]:
    """The lock of the place of backups, dead or not."""
    if holder is not None:
        yield Held(holder.purpose.lower(), holder.owner, holder.since, holder.is_stale(now_s))


def locks_finding(held: Sequence[Held]) -> Finding:
    """Whether somebody is at work, or died at it."""
    dead = [one for one in held if one.dead]
    if dead:
        one = dead[0]
        means = "It was killed. Nothing is blocked: whoever comes next takes the lock over."
        cure = f"Finish it: {_AGAIN.get(one.what, 'run the same command again')}."
        return warning(
            "locks", f"{one.what}: {one.holder} has ended, lock since {one.since}", means, cure
        )
    if held:
        shown = "; ".join(f"{one.what} by {one.holder} since {one.since}" for one in held)
        return ok("locks", f"at work: {shown}")
    return ok("locks", "none is held")


_AGAIN = {"deployment": "`ialctl start`", "migration": "`ialctl migrate`"}
