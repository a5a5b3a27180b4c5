"""What a hit costs in each tier, against a plain dict and a bare redis-py GET in the same run.

    python -m core.benchmark.cache [--url redis://127.0.0.1:6379/0]

Without a URL, memory alone is measured. Rounds are interleaved and the median of the rounds is
shown, because the machine may be busy with something else. A real Redis holds what is written
under the project `ial-benchmark`, for a minute.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping

import redis

from core.benchmark.client import measure
from core.cache.interface import Key
from core.cache.link import Link
from core.cache.memory import MemoryCache
from core.cache.namespace import Namespace
from core.cache.redis import RedisTier
from core.cache.tiers import TieredCache

TEXT = "A context as an agent gets it, of a few thousand characters. " * 64
KEY = Key("user/recent", frozenset({"user:user"}))
SPACE = Namespace("ial-benchmark", "context")


class _Bytes:
    def encode(self, value: bytes) -> bytes:
        return value

    def decode(self, raw: bytes) -> bytes:
        return raw

    def size(self, value: bytes) -> int:
        return len(value)


def _none() -> bytes | None:
    return None


def memory_calls() -> Mapping[str, Callable[[], object]]:
    """Hits that never leave the process."""
    value = TEXT.encode()
    plain = {KEY.name: value}
    memory: MemoryCache[bytes] = MemoryCache(1_000_000, len, ttl_s=3600)
    memory.put(KEY.name, value, tags=KEY.tags)
    tiered = TieredCache(_Bytes(), 1_000_000)
    tiered.put(KEY, value)
    return {
        "plain dict": lambda: plain[KEY.name],
        "memory tier, get": lambda: memory.get(KEY.name),
        "both tiers, hit in memory": lambda: tiered.get_or_load(KEY, _none),
    }


def redis_calls(url: str) -> Mapping[str, Callable[[], object]]:
    """Hits, misses and invalidations that go to a Redis."""
    value, bare = TEXT.encode(), redis.Redis.from_url(url, protocol=2)
    tier = RedisTier(SPACE, Link(url))
    tiered = TieredCache(_Bytes(), 0, tier)
    bare.set(SPACE.value("bare"), value, px=60_000)
    tiered.put(KEY, value)
    other = ("user:other",)
    return {
        "redis-py, bare GET": lambda: bare.get(SPACE.value("bare")),
        "both tiers, hit in Redis": lambda: tiered.get_or_load(KEY, _none),
        "miss in both, nothing loaded": lambda: tiered.get_or_load(Key("no", KEY.tags), _none),
        "invalidate a tag": lambda: tiered.invalidate(*other),
    }


def main() -> None:
    """Prints a line a call: microseconds."""
    parser = argparse.ArgumentParser(prog="python -m core.benchmark.cache")
    parser.add_argument("--url", help="a Redis to measure the second tier with")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--turns", type=int, default=500)
    options = parser.parse_args()
    calls = [memory_calls()] + ([redis_calls(options.url)] if options.url else [])
    for group in calls:
        measure(group, 2, 20)
        for name, ms in measure(group, options.rounds, options.turns).items():
            sys.stdout.write(f"{name:32} {ms * 1000:9.2f} µs\n")


if __name__ == "__main__":
    main()
