"""Which backups stay and which go, with the reason for each, and that they go whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.backup.catalog import BackupSet, State, list_sets
from core.backup.folder import FolderPlace
from core.backup.lock import REMOVED, PlaceLock, Reading
from core.backup.pruning import Policy, Pruner, decide, parse_within
from core.clock import new_id
from core.errors import LockHeldError, UsageError
from core.testing.clock import FakeClock
from tests.backup_sets import put_set, set_id_at, set_manifest

DAY = 86400.0
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()  # a Friday


def one(
    days_ago: float,
    state: State = "valid",
    *,
    base: BackupSet | None = None,
    tables: tuple[str, ...] = ("t",),
    removed: bool = False,
) -> BackupSet:
    """A set that was begun some days before noon."""
    started = NOON - days_ago * DAY
    name = set_id_at(started)
    made = (
        set_manifest(name, base=base.id if base else None, tables=tables)
        if state == "valid"
        else None
    )
    return BackupSet(
        name, state, float(int(started)), made, base.id if base else None, is_removed=removed
    )


def staying(sets: list[BackupSet], policy: Policy, now_s: float = NOON) -> dict[str, str]:
    """What stays, each with its reasons."""
    return {v.id: "; ".join(v.reasons) for v in decide(sets, policy, now_s) if v.stays}


RULES = [
    # days ago of each set, the policy, days ago of what stays
    ((0, 1, 2, 3), Policy(last=2), (0, 1)),
    ((0, 0.1, 0.2, 1, 1.1, 3), Policy(daily=2), (0, 1)),
    ((0.1, 3, 9, 40), Policy(daily=3), (0.1, 3, 9)),  # days without one don't count
    ((0, 1, 4, 5, 11, 12), Policy(weekly=2), (0, 5)),  # 4 days ago was Monday, 5 Sunday
    ((0, 19, 20, 50, 51), Policy(monthly=2), (0, 20)),  # 20 days ago was 31 October
    ((0, 1, 6.9, 7, 7.1), Policy(within_s=7 * DAY), (0, 1, 6.9, 7)),
    ((100, 101, 106, 109), Policy(within_s=7 * DAY), (100, 101, 106)),  # from the newest
    ((0, 1, 2, 8, 40), Policy(last=1, daily=2, weekly=2, monthly=2), (0, 1, 8, 40)),
    ((5, 6), Policy(last=9, monthly=9), (5, 6)),
    ((0, 10), Policy(within_s=0), (0,)),
    ((-365, 1, 6, 8), Policy(within_s=7 * DAY), (-365, 1, 6)),  # a clock that was a year ahead
]


@pytest.mark.parametrize(("ages", "policy", "kept"), RULES)
def test_each_rule_keeps_what_it_says(
    ages: tuple[float, ...], policy: Policy, kept: tuple[float, ...]
) -> None:
    """Last, days, weeks and months in UTC, a time; together they keep what any of them keeps."""
    sets = [one(age) for age in ages]
    assert set(staying(sets, policy)) == {one(age).id for age in kept}


def test_each_verdict_says_why() -> None:
    """All rules that keep a set are named; what goes has its reason, too."""
    verdicts = decide([one(0), one(1), one(2)], Policy(last=1, daily=2), NOON)
    assert [(v.stays, v.reasons) for v in verdicts] == [
        (True, ("last 1 of 1", "daily 1 of 2")),
        (True, ("daily 2 of 2",)),
        (False, ("no rule keeps it",)),
    ]


def test_tables_are_looked_at_by_themselves() -> None:
    """Many backups of one table crowd out none of all; the last of each stays."""
    whole = one(9, tables=("a", "b"))
    sets = [*(one(age, tables=("a",)) for age in range(5)), whole]
    assert set(staying(sets, Policy(last=2))) == {one(0).id, one(1).id, whole.id}
    kept = staying([one(3, tables=("a", "b"))], Policy(daily=1))
    assert list(kept.values()) == ["daily 1 of 1"]


def test_what_an_increment_builds_on_stays() -> None:
    """The whole chain of one that stays, and of one whose run may go on."""
    full, first, unrelated = one(9), one(8, base=one(9)), one(7)
    newest = one(0, base=first)
    kept = staying([full, first, unrelated, newest], Policy(last=1))
    assert set(kept) == {full.id, first.id, newest.id}
    assert kept[full.id] == f"'{first.id}' builds on it"
    going = one(0.5, "incomplete", base=first)
    kept = staying([full, first, unrelated, going], Policy(last=1))
    assert set(kept) == {unrelated.id, going.id, first.id, full.id}


def test_states_other_than_valid_have_rules_of_their_own() -> None:
    """Incomplete ones are abandoned after a day; damaged ones stay unless asked for; no rule of
    numbers counts either."""
    sets = [
        one(0, "damaged"),
        one(0.5, "incomplete"),
        one(0.6, "incomplete", removed=True),
        one(1.1, "incomplete"),
        one(1.2, "in progress"),
        one(3),
        one(4),
    ]
    reasons = {v.id: (v.stays, *v.reasons) for v in decide(sets, Policy(last=1), NOON)}
    assert list(reasons.values()) == [
        (True, "is damaged: `--damaged` removes it"),
        (True, "is incomplete, and its run may go on"),
        (False, "its removal had begun"),
        (False, "is abandoned: incomplete, and over 24 h old"),
        (True, "is in progress"),
        (True, "last 1 of 1"),
        (False, "no rule keeps it"),
    ]
    assert not decide(sets, Policy(last=1), NOON, damaged=True)[0].stays
    newer = replace(one(0, "damaged"), is_newer=True)
    assert decide([newer], Policy(last=1), NOON, damaged=True)[0].stays
    read = decide(sets, Policy(last=1), NOON, read=[one(4).id, "gone"])
    assert read[-1].reasons == ("is being read",)


@pytest.mark.parametrize("policy", [Policy(), Policy(last=-1), Policy(last=1, within_s=-1)])
def test_a_policy_that_keeps_nothing_is_refused(policy: Policy, tmp_path: Path) -> None:
    """Before a lock is taken or a set looked at."""
    with pytest.raises(UsageError):
        decide([one(0)], policy, NOON)
    with pytest.raises(UsageError):
        Pruner(FolderPlace(tmp_path), FakeClock(), new_id).prune(policy)


@pytest.mark.parametrize(
    ("text", "days"), [("36h", 1.5), ("30d", 30), ("2w", 14), ("1y6m", 545), (" 1d ", 1)]
)
def test_a_time_is_written_with_units(text: str, days: float) -> None:
    """Hours, days, weeks, months of 30 days and years, also together."""
    assert parse_within(text) == days * DAY


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5d", "1x", "1d 2h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """One sentence with the way to write it."""
    with pytest.raises(UsageError, match="no time"):
        parse_within(text)


@st.composite
def catalogs(draw: st.DrawFn) -> list[BackupSet]:
    """Sets of any state and tables, increments of older ones among them."""
    ages = draw(st.lists(st.integers(0, 3000), max_size=25, unique=True))
    made: list[BackupSet] = []
    for hours in sorted(ages, reverse=True):
        state: State = draw(st.sampled_from(["valid"] * 5 + ["incomplete", "damaged"]))
        base = draw(st.sampled_from([None, *made])) if made else None
        tables = draw(st.sampled_from([("a",), ("a", "b")]))
        made.append(one(hours / 24, state, base=base, tables=tables))
    return made


@given(
    sets=catalogs(),
    policy=st.builds(
        Policy,
        last=st.integers(0, 3),
        daily=st.integers(0, 3),
        weekly=st.integers(0, 3),
        monthly=st.integers(0, 3),
        within_s=st.none() | st.integers(0, 60).map(lambda days: days * DAY),
    ).filter(lambda policy: not policy.keeps_nothing),
)
def test_whatever_stands_what_stays_can_be_restored(sets: list[BackupSet], policy: Policy) -> None:
    """The last valid set of each tables stays; nothing that stays lacks what it builds on; the
    counts of every rule are kept; once pruned, nothing more goes."""
    kept = staying(sets, policy)
    by_id = {s.id: s for s in sets}
    for tables in ({"a"}, {"a", "b"}):
        valid = [s for s in sets if s.manifest and {t.table for t in s.manifest.tables} == tables]
        newest = sorted(valid, key=lambda s: s.id, reverse=True)
        assert {s.id for s in newest[: max(policy.last, 1)]} <= set(kept)
        days = sorted({datetime.fromtimestamp(s.started_s, UTC).date() for s in valid})
        for day in days[-policy.daily :] if policy.daily else []:
            of_day = [s.id for s in valid if day_of(s) == day]
            assert max(of_day) in kept
        if policy.within_s is not None and newest:
            start = newest[0].started_s - policy.within_s
            assert {s.id for s in valid if s.started_s >= start} <= set(kept)
    assert all(by_id[name].base in (None, *kept) for name in kept)
    left = [s for s in sets if s.id in kept]
    assert staying(left, policy) == kept


def day_of(found: BackupSet) -> object:
    """The day on which a set was begun."""
    return datetime.fromtimestamp(found.started_s, UTC).date()


@pytest.fixture
def place(tmp_path: Path) -> FolderPlace:
    """Three sets: a full one, its increment, and a newer full one."""
    made = FolderPlace(tmp_path / "backups", "backups")
    put_set(made, one(9).id)
    put_set(made, one(8).id, base=one(9).id)
    put_set(made, one(0).id)
    return made


def clock_at_noon() -> FakeClock:
    """A clock that shows noon."""
    return FakeClock(NOON)


def test_a_prune_removes_what_its_plan_says(place: FolderPlace) -> None:
    """The plan changes nothing and counts the bytes; then they go, nothing else, and the second
    run finds nothing to do."""
    before = list(place.entries())
    pruner = Pruner(place, clock_at_noon(), new_id)
    planned = pruner.plan(Policy(last=1))
    assert list(place.entries()) == before
    assert [(v.id, v.stays) for v in planned] == [
        (one(0).id, True),
        (one(8).id, False),
        (one(9).id, False),
    ]
    assert planned[1].size == sum(e.size for e in before if e.name.startswith(one(8).id))
    assert pruner.prune(Policy(last=1)) == planned
    assert list(place.folders()) == [one(0).id]
    assert {e.name for e in place.entries()} == {
        e.name for e in before if e.name.startswith(one(0).id)
    }
    assert all(v.stays for v in pruner.prune(Policy(last=1)))


def test_a_prune_waits_for_no_backup(place: FolderPlace) -> None:
    """While a backup is going on it is refused; its plan can be shown."""
    clock = clock_at_noon()
    with PlaceLock(place, "A backup", clock, new_id):
        pruner = Pruner(place, clock, new_id)
        assert len(pruner.plan(Policy(last=1))) == 3
        with pytest.raises(LockHeldError, match="A backup is going on"):
            pruner.prune(Policy(last=1))


def test_what_is_read_stays_with_what_it_builds_on(place: FolderPlace) -> None:
    """A live reader's set and its base stay; a dead reader's note goes."""
    clock = clock_at_noon()
    with Reading(place, [one(8).id], "A restore", clock, new_id):
        verdicts = Pruner(place, clock, new_id).prune(Policy(last=1))
        assert [v.stays for v in verdicts] == [True, True, True]
        clock.advance(200)
        assert [v.stays for v in Pruner(place, clock, new_id).prune(Policy(last=1))] == [
            True,
            False,
            False,
        ]
        assert not list(place.entries("readers"))


class ReaderComes(FolderPlace):
    """A place in which somebody begins to read a set just as it is marked."""

    wanted = ""
    clock = clock_at_noon()

    def put_new(self, name: str, body: bytes) -> bool:
        """Writes; the reader's note stands before, and its look for the mark comes after."""
        if name == f"{self.wanted}/{REMOVED}":
            note = Reading(self, [], "A restore", self.clock, new_id)
            note._sets = (self.wanted,)
            note._write()
        return super().put_new(name, body)


def test_a_reader_that_comes_first_is_spared(place: FolderPlace, tmp_path: Path) -> None:
    """The mark is taken back, and what the set builds on stays with it."""
    racing = ReaderComes(tmp_path / "backups", "backups")
    racing.wanted = one(8).id
    verdicts = Pruner(racing, racing.clock, new_id).prune(Policy(last=1))
    assert [(v.stays, v.reasons[0]) for v in verdicts[1:]] == [
        (True, "is being read"),
        (True, f"'{one(8).id}' builds on it"),
    ]
    assert [s.state for s in list_sets(place, racing.clock)] == ["valid"] * 3


def test_days_are_those_of_utc() -> None:
    """Two sets on both sides of midnight in UTC are of two days, whatever the machine's zone."""
    midnight = datetime(2026, 3, 29, tzinfo=UTC)
    times = [midnight - timedelta(minutes=1), midnight, midnight + timedelta(hours=23)]
    sets = [
        BackupSet(name, "valid", at.timestamp(), set_manifest(name))
        for at in times
        for name in [set_id_at(at.timestamp())]
    ]
    kept = staying(sets, Policy(daily=5), midnight.timestamp() + 2 * DAY)
    assert set(kept) == {sets[0].id, sets[2].id}


def test_a_backup_without_its_data_is_not_the_last_valid_one(tmp_path: Path) -> None:
    """Where the newest lacks a data file, the one before it is what must stay."""
    place, clock = FolderPlace(tmp_path), FakeClock()
    older, newer = (set_id_at(clock.time() - days * 86_400.0) for days in (2, 1))
    for name in (older, newer):
        put_set(place, name)
    for entry in list(place.entries(newer)):
        if "/data/" in entry.name:
            place.delete([entry.name])
    done = Pruner(place, clock, new_id).prune(Policy(last=1))
    assert {verdict.id: verdict.state for verdict in done} == {older: "valid", newer: "damaged"}
    assert all(verdict.stays for verdict in done)
