"""Slow, large, dear: which checks speak to it, in what order, and what to run next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.doctor.finding import Finding
from core.errors import UsageError


@dataclass(frozen=True)
class Topic:
    """A complaint: the checks that speak to it, in order, and commands that go deeper."""

    checks: tuple[str, ...]
    next_steps: tuple[str, ...]


TOPICS: Mapping[str, Topic] = {
    "latency": Topic(
        (
            *("region", "endpoint", "engine", "throttling", "hot partitions", "indexes"),
            *("embedder", "redis", "cache hits", "vectors", "billing", "scans", "settings"),
        ),
        (
            '`ialctl context "a question" --user ID --json`: requests, rounds and read units of '
            "one context; more than 2 rounds, or over 30 units in a warm process, is not normal",
            "`ialctl benchmark --rtt-ms 5`: both layouts as a region would have them, and where "
            "the time goes: in the endpoint, or here",
            "contexts of a process that has just begun are cold (2 rounds): keep it running, or "
            "set redis_url for processes that come and go",
            "`ialctl benchmark --embedding-ms 80`: what a slow embedder does to a context",
        ),
    ),
    "memory": Topic(
        ("settings", "redis", "cache hits", "vectors", "hot partitions", "engine", "disk"),
        (
            "index_memory_mb bounds all users' indexes in a process (256 MiB by default), "
            "embedding_cache_mb the cache of vectors; what does not fit is read again",
            "`ialctl benchmark`: bytes a session, measured, at 100, 1,000 and 10,000 messages",
            "maxmemory with maxmemory-policy allkeys-lru bounds Redis: contexts are made anew",
            "`ialctl archive` and expire_days shorten what a user's index holds",
        ),
    ),
    "cost": Topic(
        (
            *("billing", "engine", "time to live", "scans", "cache hits", "hot partitions"),
            *("stacks", "alarms", "backup", "recovery", "tables"),
        ),
        (
            "`ialctl cost`: dollars a month by component, and what would cost less",
            '`ialctl context "a question" --user ID --json`: read units of one context',
            "`ialctl migrate plan`: what the optimized layout takes in place of the legacy one",
            "`ialctl backup prune --dry-run`: backups that no rule keeps",
            "expire_days, `ialctl archive`: what is kept is paid for every month",
        ),
    ),
}


def topic_of(name: str) -> Topic:
    """The topic of a name.

    Raises:
        UsageError: there is none.
    """
    found = TOPICS.get(name)
    if found is None:
        raise UsageError(f"--for is '{name:.40}'.", f"Choose one of {', '.join(TOPICS)}.")
    return found


def about(topic: Topic, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings that speak to a topic, in its order, and those that kept it from being looked
    at."""
    own = [f for name in topic.checks for f in findings if f.name == name]
    rest = [
        f
        for f in findings
        if f.name not in topic.checks
        and f.state == "trouble"
        and f.name in ("region", "endpoint", "credentials", "permissions")
    ]
    return (*rest, *own)
