"""Which backups go and which stay, with the reason for each; and how they go.

The rules are restic's. A set stays where any rule keeps it, or where something still needs it:

- rules look at valid sets of one project and the same tables by themselves, newest first, so that
  a daily backup of one table never crowds out a weekly one of all. Each day, week (from Monday)
  or month, in UTC, is stood for by its newest set; those without a set don't count. `within` goes
  back from the newest set, not from today: where backups stopped, nothing more goes (from today
  only where the newest claims to be of a later time);
- the newest valid set of a project's tables stays, whatever the rules say;
- what an increment that stays builds on stays, and what a run that may go on builds on;
- what is in progress, or being read, stays;
- incomplete sets stay for a day, as their run may go on; then they are abandoned, and go;
- sets of a newer format stay: only the version that took them can tell whether they are whole;
- damaged sets stay, as a person may want to see them or save something of them, unless
  `damaged` says otherwise.

A set goes in an order that leaves no half of a backup behind: first a mark (`removed.json`), then
`set.json`, then the data, then the mark. A prune that is killed is brought to its end by the next
one. An increment goes before what it builds on. In a bucket that keeps versions the space is free
only when the bucket's own rule for old versions lets them go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import orjson

from core.backup import manifest
from core.backup.catalog import BackupSet, State, list_sets
from core.backup.lock import REMOVED, PlaceLock, readers
from core.backup.place import Place
from core.clock import Clock, Ids, iso
from core.errors import UsageError

ABANDONED_S = 24 * 3600.0
_AT_ONCE = 250
_UNITS_S = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0, "m": 30 * 86400.0, "y": 365 * 86400.0}
_TIME = re.compile(r"(?:\d+[hdwmy])+")


@dataclass(frozen=True)
class Policy:
    """How many sets stay: the last ones, of days, of weeks, of months; and all within a time.

    Counts are 0 or more; `within_s` is in seconds before the newest set.
    """

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    within_s: float | None = None

    @property
    def keeps_nothing(self) -> bool:
        """Whether no rule keeps anything."""
        counts = (self.last, self.daily, self.weekly, self.monthly)
        return not any(counts) and self.within_s is None


@dataclass(frozen=True)
class Verdict:
    """What becomes of one set, and why; `size` is its bytes on the place, where it was counted."""

    id: str
    state: State
    stays: bool
    reasons: tuple[str, ...]
    size: int | None = None


def parse_within(text: str) -> float:
    """A time as people write it, in seconds: `36h`, `30d`, `2w`, `6m` (of 30 days), `1y6m`.

    Raises:
        UsageError: it is no such time.
    """
    if not _TIME.fullmatch(text.strip()):
        raise UsageError(
            f"'{text}' is no time to keep backups for.",
            "Write hours, days, weeks, months or years: `36h`, `30d`, `2w`, `6m`, `1y`.",
        )
    return sum(int(part[:-1]) * _UNITS_S[part[-1]] for part in re.findall(r"\d+[hdwmy]", text))


def decide(
    sets: Sequence[BackupSet],
    policy: Policy,
    now_s: float,
    *,
    read: Iterable[str] = (),
    damaged: bool = False,
) -> tuple[Verdict, ...]:
    """What becomes of each set, the newest first.

    Args:
        sets: all of a place.
        policy: what stays.
        now_s: seconds since the epoch.
        read: ids of sets that are being read.
        damaged: damaged sets go, too.

    Raises:
        UsageError: the policy keeps nothing, or has a count below 0.
    """
    _check(policy)
    by_id = {one.id: one for one in sets}
    reasons: dict[str, list[str]] = {one.id: [] for one in sets}
    for group in _groups(sets).values():
        for set_id, why in _kept_by_rules(group, policy, now_s):
            reasons[set_id].append(why)
        if not any(reasons[one.id] for one in group):
            reasons[group[0].id].append("the last valid backup of these tables")
    for one in sets:
        reasons[one.id] += _other_reasons(one, now_s, damaged=damaged)
    for set_id in sorted(set(read) & by_id.keys()):
        reasons[set_id].append("is being read")
    _keep_bases(by_id, reasons)
    ordered = sorted(sets, key=lambda one: one.id, reverse=True)
    return tuple(_verdict(one, reasons[one.id]) for one in ordered)


class Pruner:
    """Removes sets of a place."""

    def __init__(
        self,
        place: Place,
        clock: Clock,
        ids: Ids,
        observe: Callable[[Verdict], None] = lambda _: None,
    ) -> None:
        """`observe` hears of each set that has gone."""
        self._place, self._clock, self._ids = place, clock, ids
        self._observe = observe

    def plan(self, policy: Policy, *, damaged: bool = False) -> tuple[Verdict, ...]:
        """What `prune` would do now; nothing is changed, no lock is taken.

        Raises:
            UsageError: the policy keeps nothing.
        """
        sets = list_sets(self._place, self._clock, with_data=True)
        verdicts = self._decide(sets, policy, damaged=damaged)
        return tuple(one if one.stays else self._sized(one) for one in verdicts)

    def prune(self, policy: Policy, *, damaged: bool = False) -> tuple[Verdict, ...]:
        """Removes what does not stay; what another has begun to read meanwhile stays after all.

        Raises:
            UsageError: the policy keeps nothing.
            LockHeldError: a backup or another prune of the place is going on.
            StorageError, TargetError: the next prune goes on from there.
        """
        _check(policy)
        with PlaceLock(self._place, "A prune", self._clock, self._ids) as lock:
            sets = list_sets(self._place, self._clock, with_data=True)
            bases = {one.id: one.base for one in sets}
            spared: dict[str, str] = {}
            done: list[Verdict] = []
            for verdict in self._decide(sets, policy, damaged=damaged):
                # Newest first: an increment is newer than what it builds on.
                if not verdict.stays and verdict.id in spared:
                    verdict = _staying(verdict, spared[verdict.id])
                elif not verdict.stays:
                    verdict = self._remove(verdict, lock)
                base = bases[verdict.id]
                if verdict.stays and base:
                    spared[base] = _needed_by(verdict.id)
                done.append(verdict)
            self._place.delete(readers(self._place, self._clock)[1])
            return tuple(done)

    def _decide(
        self, sets: Sequence[BackupSet], policy: Policy, *, damaged: bool
    ) -> tuple[Verdict, ...]:
        now = self._clock.time()
        return decide(sets, policy, now, read=self._read_sets(), damaged=damaged)

    def _read_sets(self) -> set[str]:
        live, _ = readers(self._place, self._clock)
        return {set_id for reader in live for set_id in reader.sets}

    def _sized(self, verdict: Verdict) -> Verdict:
        return replace(verdict, size=sum(e.size for e in self._place.entries(verdict.id)))

    def _remove(self, verdict: Verdict, lock: PlaceLock) -> Verdict:
        lock.keep()
        mark = f"{verdict.id}/{REMOVED}"
        body = orjson.dumps({"at": iso(self._clock.time()), "why": list(verdict.reasons)})
        marked = self._place.put_new(mark, body)
        # A reader leaves its note and then looks for the mark: one of us sees the other.
        if verdict.id in self._read_sets():
            if marked:
                self._place.delete([mark])
            return _staying(verdict, "is being read")
        entries = [e for e in self._place.entries(verdict.id) if e.name != mark]
        self._place.delete([f"{verdict.id}/{manifest.SET_FILE}"])
        names = [entry.name for entry in entries]
        for start in range(0, len(names), _AT_ONCE):
            lock.keep()
            self._place.delete(names[start : start + _AT_ONCE])
        self._place.delete([mark])
        gone = replace(verdict, size=sum(entry.size for entry in entries))
        self._observe(gone)
        return gone


def _check(policy: Policy) -> None:
    counts = (policy.last, policy.daily, policy.weekly, policy.monthly)
    if min(counts) < 0 or (policy.within_s is not None and policy.within_s < 0):
        raise UsageError(
            "A number of backups to keep can't be below 0.", "Write 1 or more, or leave it out."
        )
    if policy.keeps_nothing:
        raise UsageError(
            "Nothing says which backups to keep.",
            "Say it, for example: `--keep-daily 7 --keep-weekly 4`; `--dry-run` shows what goes.",
        )


def _groups(sets: Iterable[BackupSet]) -> Mapping[object, list[BackupSet]]:
    """The valid sets of each project and the same tables, the newest first."""
    groups: dict[object, list[BackupSet]] = {}
    for one in sorted(sets, key=lambda one: one.id, reverse=True):
        if one.state == "valid" and one.manifest is not None:
            tables = tuple(sorted(table.table for table in one.manifest.tables))
            groups.setdefault((one.manifest.project, tables), []).append(one)
    return groups


def _kept_by_rules(
    group: Sequence[BackupSet], policy: Policy, now_s: float
) -> Iterable[tuple[str, str]]:
    counts = (policy.last, policy.daily, policy.weekly, policy.monthly)
    for (name, period), count in zip(_PERIODS.items(), counts, strict=True):
        seen: set[object] = set()
        for one in group:
            wanted = period(one)
            if wanted not in seen and len(seen) < count:
                seen.add(wanted)
                yield one.id, f"{name} {len(seen)} of {count}"
    if policy.within_s is not None:
        # One from a clock that is ahead must not make all others old.
        newest_s = min(group[0].started_s, now_s)
        for one in group:
            if newest_s - one.started_s <= policy.within_s:
                yield one.id, "within the time"


def _day(one: BackupSet) -> date:
    return datetime.fromtimestamp(one.started_s, UTC).date()


# What one set stands for: itself, its day, its week, its month.
_PERIODS: Mapping[str, Callable[[BackupSet], object]] = {
    "last": lambda one: one.id,
    "daily": _day,
    "weekly": lambda one: _day(one).isocalendar()[:2],
    "monthly": lambda one: (_day(one).year, _day(one).month),
}


def _other_reasons(one: BackupSet, now_s: float, *, damaged: bool) -> Iterable[str]:
    if one.state == "in progress":
        yield "is in progress"
    elif one.state == "incomplete" and not one.is_removed and not _abandoned(one, now_s):
        yield "is incomplete, and its run may go on"
    elif one.is_newer:
        yield "is of a newer format, and may be whole"
    elif one.state == "damaged" and not damaged:
        yield "is damaged: `--damaged` removes it"


def _abandoned(one: BackupSet, now_s: float) -> bool:
    return now_s - one.started_s > ABANDONED_S


def _keep_bases(by_id: Mapping[str, BackupSet], reasons: dict[str, list[str]]) -> None:
    waiting = [set_id for set_id in sorted(by_id) if reasons[set_id]]
    while waiting:
        needs = by_id[waiting.pop()]
        base = by_id.get(needs.base or "")
        if base is None or _needed_by(needs.id) in reasons[base.id]:
            continue
        reasons[base.id].append(_needed_by(needs.id))
        waiting.append(base.id)


def _needed_by(set_id: str) -> str:
    return f"'{set_id}' builds on it"


def _staying(verdict: Verdict, why: str) -> Verdict:
    return replace(verdict, stays=True, reasons=(why,))


def _verdict(one: BackupSet, kept_for: Sequence[str]) -> Verdict:
    if kept_for:
        return Verdict(one.id, one.state, True, tuple(kept_for))
    if one.is_removed:
        why = "its removal had begun"
    elif one.state == "incomplete":
        why = "is abandoned: incomplete, and over 24 h old"
    elif one.state == "damaged":
        why = "is damaged"
    else:
        why = "no rule keeps it"
    return Verdict(one.id, one.state, False, (why,))
