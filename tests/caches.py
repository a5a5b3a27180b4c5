"""Caches for tests: texts as values, on a Redis of the test's own."""

from __future__ import annotations

from typing import Any

from core.cache.interface import Key
from core.cache.link import Link, LinkOptions
from core.cache.listener import ListenerPolicy
from core.cache.namespace import Namespace
from core.cache.redis import RedisTier
from core.cache.tiers import TieredCache
from core.resilience.breaker import Breaker, BreakerPolicy

SPACE = Namespace("ial", "context")
# The machine may be busy with other tests: hits must not be lost to its time-outs.
PATIENT = LinkOptions(connect_s=2.0, read_s=2.0)
QUICK = ListenerPolicy(tick_s=0.02, ping_s=0.2, deaf_s=0.6, base_delay_s=0.02, max_delay_s=0.1)


class TextCodec:
    """Texts as UTF-8."""

    def encode(self, value: str) -> bytes:
        """As Redis holds it."""
        return value.encode()

    def decode(self, raw: bytes) -> str:
        """As it was."""
        return raw.decode()

    def size(self, value: str) -> int:
        """One byte a character will do."""
        return len(value)


def tier(
    url: str,
    *,
    options: LinkOptions = PATIENT,
    policy: BreakerPolicy | None = None,
    slow_s: float = 2.0,
    space: Namespace = SPACE,
) -> RedisTier:
    """A second tier; patient unless told otherwise."""
    quick = BreakerPolicy(open_s=0.05, max_open_s=0.2)
    return RedisTier(space, Link(url, options), breaker=Breaker(policy or quick), slow_s=slow_s)


def cache(
    url: str | None, *, memory_bytes: int = 10_000_000, keep_none: bool = False, **more: Any
) -> TieredCache[str]:
    """Both tiers; `memory_bytes` 0 leaves Redis alone to answer."""
    redis = None if url is None else tier(url, **more)
    return TieredCache(TextCodec(), memory_bytes, redis, keep_none=keep_none, listening=QUICK)


def user_key(user: str, name: str = "recent") -> Key:
    """A key that is invalidated by its user's tag."""
    return Key(f"{user}/{name}", frozenset({f"user:{user}"}))
