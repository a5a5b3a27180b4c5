"""What figures mean: Redis, CloudWatch, engine, backups, locks, stored vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from core.backup.catalog import BackupSet
from core.doctor.caching import RedisSeen, hits_finding, redis_finding
from core.doctor.reaching import clock_finding
from core.doctor.upkeep import Held, backup_finding, engine_finding, locks_finding
from core.doctor.vectors import Model, stored_finding
from core.doctor.watching import (
    Alarms,
    Day,
    alarms_finding,
    last_day,
    scans_finding,
    throttling_finding,
)
from core.memory.generations import Generation
from core.migration.journal import State

URL = "redis://u:geheim@h:6379/0"
QUIET: Mapping[str, Any] = {"StateValue": "OK", "AlarmActions": ["topic"]}


def _redis(median_ms: float = 0.2, **info: int | str) -> RedisSeen:
    about = {"redis_version": "7.2", "maxmemory_policy": "noeviction"}
    return RedisSeen({**about, **{k: str(v) for k, v in info.items()}}, median_ms)


def test_redis() -> None:
    """Full and refusing is trouble; on its way there, or slow, a warning; no password is shown."""
    assert redis_finding(URL, _redis()).state == "ok"
    assert "geheim" not in redis_finding(URL, _redis()).found
    assert redis_finding(URL, _redis(used_memory=95, maxmemory=100)).state == "trouble"
    assert redis_finding(URL, _redis(used_memory=5, maxmemory=100)).state == "warning"
    lru = _redis(used_memory=95, maxmemory=100, maxmemory_policy="allkeys-lru")
    assert redis_finding(URL, lru).state == "ok"
    assert redis_finding(URL, _redis(20.0)).state == "warning"


def test_cache_hits() -> None:
    """A low rate counts from a thousand lookups on; evictions tell of a small cache."""
    assert hits_finding(_redis()).found == "no lookup yet"
    assert hits_finding(_redis(keyspace_hits=1, keyspace_misses=99)).state == "ok"
    low = _redis(keyspace_hits=100, keyspace_misses=9900)
    assert "recur" in hits_finding(low).cure
    evicting = _redis(keyspace_hits=100, keyspace_misses=9900, evicted_keys=5000)
    assert "maxmemory" in hits_finding(evicting).cure
    assert hits_finding(_redis(keyspace_hits="?", keyspace_misses=1)).state == "ok"


@pytest.mark.parametrize(
    ("ahead_s", "state"),
    [
        *((None, "skipped"), (0.4, "ok"), (-29, "ok"), (31, "warning")),
        *((-299, "warning"), (301, "trouble"), (-600, "trouble")),
    ],
)
def test_the_clock(ahead_s: float | None, state: str) -> None:
    """Five minutes off is what AWS refuses; half a minute is worth a word."""
    assert clock_finding(ahead_s).state == state


class Metrics:
    """A CloudWatch that answers queries with the figures of a metric and table."""

    def __init__(self, figures: Mapping[tuple[str, str], list[float]]) -> None:
        self._figures = figures

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        """The figures of each query."""
        results = []
        for query in request["MetricDataQueries"]:
            metric = query["MetricStat"]["Metric"]
            about = {d["Name"]: d["Value"] for d in metric["Dimensions"]}
            values = self._figures.get((metric["MetricName"], about["TableName"]), [])
            results.append({"Id": query["Id"], "Values": values})
        return {"MetricDataResults": results}


def test_the_last_day_by_cloudwatch() -> None:
    """Throttles and scans are summed by table; scans above a thousand pages are a warning."""
    cloudwatch: Any = Metrics(
        {("ReadThrottleEvents", "b"): [3.0, 4.0], ("SuccessfulRequestLatency", "a"): [2000.0]}
    )
    days = last_day(cloudwatch, ["a", "b"], 1_800_000_000)
    assert "7 read throttles on b" in throttling_finding(days).found
    assert throttling_finding(days[:1]).state == "ok"
    assert scans_finding(days).state == "warning"
    assert scans_finding([Day("a", {"scans": 5.0})]).state == "ok"
    assert scans_finding([]).state == "ok"
    assert last_day(cloudwatch, [], 0) == ()


def test_alarms() -> None:
    """One that rings leads to its topic; missing ones are trouble, mute ones a warning."""
    wanted: Mapping[str, Any] = {"p-slow-context": {}}
    rings = Alarms(wanted, {"p-slow-context": {**QUIET, "StateValue": "ALARM"}}, mails=True)
    assert "--for latency" in alarms_finding(rings, "p", local=False).cure
    assert alarms_finding(Alarms(wanted, {}, mails=True), "p", local=False).state == "trouble"
    quiet = Alarms({}, {"p-x": QUIET}, mails=False)
    assert alarms_finding(quiet, "p", local=True).state == "ok"
    assert "AlarmEmail" in alarms_finding(quiet, "p", local=False).cure
    mute = Alarms({}, {"p-x": {"StateValue": "OK"}}, mails=True)
    assert alarms_finding(mute, "p", local=False).state == "warning"
    assert alarms_finding(Alarms({}, {}, mails=False), "p", local=False).state == "skipped"


@pytest.mark.parametrize(
    ("engine", "status", "legacy", "state", "says"),
    [
        ("optimized", None, False, "ok", ""),
        ("optimized", "cut_over", True, "ok", ""),
        ("legacy", None, True, "warning", "ialctl migrate plan"),
        ("legacy", None, False, "trouble", "--with-legacy"),
        ("dual", "copied", True, "warning", "ialctl migrate"),
        ("legacy", "copying", True, "warning", "goes on from there"),
        ("bogus", None, True, "trouble", "ialctl migrate"),
    ],
)
def test_the_engine(engine: str, status: str | None, legacy: bool, state: str, says: str) -> None:
    """Half-way is a warning with the command that goes on; what can't answer is trouble."""
    migration = None if status is None else State(status, {}, 1, 0.0)
    found = engine_finding(engine, migration, legacy=legacy)
    assert found.state == state
    assert says in found.cure


def test_backups() -> None:
    """None of something is a warning, none of nothing is not; a damaged one is named."""
    assert backup_finding([], "p", "backups", 0, 0.0).state == "ok"
    none = backup_finding([], "p", "backups", 7, 0.0)
    assert (none.state, none.cure) == ("warning", "`ialctl backup`")
    damaged = BackupSet("20260101T000000Z-abc", "damaged", 0.0)
    assert backup_finding([damaged], "p", "backups", 7, 0.0).state == "warning"


def test_locks() -> None:
    """A dead run's is a warning that says what finishes its work."""
    live = Held("migration", "ada", "now", dead=False)
    assert locks_finding([]).found == "none is held"
    assert "ada" in locks_finding([live]).found
    assert "`ialctl migrate`" in locks_finding([dataclasses.replace(live, dead=True)]).cure


def test_stored_vectors() -> None:
    """All of the model in use is fine; another model, or a generation never built, is trouble."""
    mine, item = Model("m", 4), {"model": "m", "dimensions": 4}
    assert stored_finding(mine, "", [], []).state == "ok"
    assert stored_finding(mine, "", [item], []).state == "ok"
    assert stored_finding(mine, "", [item, {}], []).state == "warning"
    other = stored_finding(mine, "", [item, {"model": "m", "dimensions": 8}], [])
    assert (other.state, "1 of m (8)" in other.found) == ("trouble", True)
    assert stored_finding(mine, "e5", [], []).state == "trouble"
    noted = Generation("e5", "m", 4, "")
    assert stored_finding(mine, "e5", [item], [noted]).state == "ok"
