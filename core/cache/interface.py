"""What callers of a cache see: keys with tags, codecs, the cache itself and its statistics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from core.cache.memory import MemoryStats
from core.cache.redis import RedisStats

V = TypeVar("V")


class Codec(Protocol[V]):
    """How values become bytes for Redis, and how large they are in memory."""

    def encode(self, value: V) -> bytes:
        """The value as bytes."""

    def decode(self, raw: bytes) -> V:
        """The value of these bytes; raises ValueError where they are of no value."""

    def size(self, value: V) -> int:
        """Bytes that the value takes in memory."""


@dataclass(frozen=True)
class Key:
    """The name of a value and the tags it is invalidated by; a name always has the same tags."""

    name: str
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class CacheStats:
    """Both tiers, and what is owed to Redis. `redis` None: there is no second tier.

    `hears`: other processes are heard; `gaps`: how often that began; `lost`: why it last ended.
    """

    memory: MemoryStats
    redis: RedisStats | None
    owed: int
    hears: bool
    gaps: int
    lost: str | None


class Cache(Protocol[V]):
    """What callers see of a cache. Thread-safe."""

    def get_or_load(self, key: Key, loader: Callable[[], V | None]) -> V | None:
        """The cached value, or what the loader brings."""

    async def get_or_load_async(
        self, key: Key, loader: Callable[[], Awaitable[V | None]]
    ) -> V | None:
        """The same for coroutines."""

    def get(self, key: Key) -> V | None:
        """The cached value, or None."""

    async def get_async(self, key: Key) -> V | None:
        """The same for coroutines."""

    def put(self, key: Key, value: V) -> None:
        """Stores a value that was read after the last invalidation of its tags."""

    async def put_async(self, key: Key, value: V) -> None:
        """The same for coroutines."""

    def invalidate(self, *tags: str) -> bool:
        """Drops all values with one of the tags."""

    async def invalidate_async(self, *tags: str) -> bool:
        """The same for coroutines."""

    def stats(self) -> CacheStats:
        """The counts as of now."""
