"""Redis, where one is configured: whether it answers, how quickly, what it keeps and drops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from core.cache.link import FAILURES, Link, LinkOptions
from core.clock import Clock
from core.doctor.finding import Finding, ok, skipped, trouble, warning
from core.settings import without_password

SLOW_MS = 5.0
LOOKUPS = 1000
"""So many lookups tell something of a rate."""
LOW_RATE = 0.5
_WAIT = LinkOptions(connect_s=1.0, read_s=1.0, connections=1)
_PINGS = 5
_FULL = 0.9


@dataclass(frozen=True)
class RedisSeen:
    """What INFO says, and the milliseconds of the slowest and the median PING."""

    info: Mapping[str, str]
    median_ms: float

    def count(self, name: str) -> int:
        """A number that INFO tells; 0 where it does not."""
        try:
            return int(self.info.get(name, "0"))
        except ValueError:
            return 0


def look_at_redis(url: str, clock: Clock) -> RedisSeen:
    """Asks a Redis about itself; changes nothing.

    Raises:
        redis.exceptions.RedisError, OSError: it is not well.
        SettingsError: the URL is not one of a Redis.
    """
    link = Link(url, _WAIT)
    try:
        raw = link.execute([("INFO",)]).replies[0]
        times = []
        for _ in range(_PINGS):
            begun = clock.monotonic()
            link.execute([("PING",)])
            times.append((clock.monotonic() - begun) * 1000)
    finally:
        link.close()
    lines = bytes(raw).decode("utf-8", "replace").splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return RedisSeen({name: value.strip() for name, value in pairs}, sorted(times)[_PINGS // 2])


def redis_findings(url: str | None, clock: Clock) -> Iterator[Finding]:
    """Redis, and how often what was looked for was there."""
    if url is None:
        yield skipped("redis", "none is configured; each process caches for itself")
        yield skipped("cache hits", "no Redis counts them; `ialctl context --json` tells of one")
        return
    try:
        seen = look_at_redis(url, clock)
    except FAILURES as error:
        yield _down(url, error)
        yield skipped("cache hits", "Redis does not answer")
        return
    yield redis_finding(url, seen)
    yield hits_finding(seen)


def _down(url: str, error: BaseException) -> Finding:
    shown = without_password(url)
    return trouble(
        "redis",
        f"{shown} does not answer: {_short(error)}",
        "Memories go on: contexts are built anew each time, and cost their reads. Nothing is "
        "lost, nothing stale is shown.",
        f"Start it, or take redis_url out. `redis-cli -u {shown} ping` tells when it is back.",
    )


def redis_finding(url: str, seen: RedisSeen) -> Finding:
    """Whether it is quick, and has room."""
    policy = seen.info.get("maxmemory_policy", "?")
    used, most = seen.count("used_memory"), seen.count("maxmemory")
    limit = f"{most / 2**20:,.0f} MiB" if most else "no limit"
    found = (
        f"{seen.info.get('redis_version', '?')} at {without_password(url)}, "
        f"{seen.median_ms:.1f} ms, {used / 2**20:,.1f} MiB of {limit}, {policy}, "
        f"{seen.count('evicted_keys'):,} evicted"
    )
    if most and policy == "noeviction" and used > _FULL * most:
        means = "It is full, and refuses writes: nothing new is cached."
        cure = "`redis-cli CONFIG SET maxmemory-policy allkeys-lru`, or a larger maxmemory"
        return trouble("redis", found, means, cure)
    if most and policy == "noeviction":
        means = "Once it is full it refuses writes, and nothing new is cached."
        return warning("redis", found, means, "`redis-cli CONFIG SET maxmemory-policy allkeys-lru`")
    if seen.median_ms > SLOW_MS:
        means = "A hit takes as long as reading the tables; after 50 ms it is given up."
        return warning("redis", found, means, "Run it near: same zone, no tunnel; or without it.")
    return ok("redis", found)


def hits_finding(seen: RedisSeen) -> Finding:
    """How often what was looked for was there: of all that use this Redis."""
    hits, misses = seen.count("keyspace_hits"), seen.count("keyspace_misses")
    total = hits + misses
    if not total:
        return ok("cache hits", "no lookup yet")
    found = f"{hits / total:.0%} of {total:,} lookups, of all programs that use it"
    if total < LOOKUPS or hits / total >= LOW_RATE:
        return ok("cache hits", found)
    evicted = seen.count("evicted_keys")
    if evicted > misses / 10:
        means = "Values are dropped before they are asked for again: it is too small."
        return warning("cache hits", found, means, "Give Redis more memory (maxmemory).")
    means = "Most contexts are of new questions, or of users that write in between."
    return warning(
        "cache hits", found, means, "A longer context_cache_s helps only where questions recur."
    )


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else text[:119] + "…"
