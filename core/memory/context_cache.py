"""Contexts kept in Redis for minutes, and forgotten by whatever is written of their user.

They are read from Redis alone, never from this process's memory: so a context that another process
made stale is not answered, not even for the milliseconds that a message to us would take. Without
Redis nothing is kept, for nobody would tell this process of the others' writes.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager

import orjson

from core.aws.capacity import NOTHING, Consumed
from core.cache.interface import CacheStats, Key
from core.cache.link import Link
from core.cache.namespace import Namespace
from core.cache.redis import RedisTier
from core.cache.tiers import TieredCache
from core.clock import SYSTEM_CLOCK, Clock
from core.memory.context import Context, Line

KIND = "context"


class ContextCache(AbstractContextManager["ContextCache"]):
    """Built contexts by user, session, question and budget. Thread-safe."""

    def __init__(
        self,
        cache: TieredCache[Context],
        source: str,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`source`: by which model of which tables; contexts of another are other contexts."""
        self._cache = cache
        self._source = source
        self._clock = clock
        cache.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def get_or_build(
        self, question: tuple[str, str, str | None, int], build: Callable[[], Context]
    ) -> Context:
        """The context of (query, user, session, budget): as kept, or built now and kept.

        One that was kept has consumed nothing, made no embedding, and says so in `cached`. A
        context that lacks something is not kept.
        """
        begin = self._clock.monotonic()
        made: list[Context] = []

        def load() -> Context | None:
            made.append(build())
            return made[0] if not made[0].missing else None

        found = self._cache.get_or_load(_key(self._source, question), load)
        if made:
            return made[0]
        if found is None:
            # Another thread's, which lacks something and was not kept.
            return build()
        milliseconds = round((self._clock.monotonic() - begin) * 1000, 3)
        return dataclasses.replace(
            found,
            consumed=NOTHING,
            embeddings_made=0,
            timings_ms={"cache": milliseconds, "total": milliseconds},
            cached=True,
        )

    def invalidate(self, user_id: str) -> None:
        """Forgets a user's contexts; after it returned none that was built before is answered."""
        self._cache.invalidate(user_tag(user_id))

    def erase(self, user_id: str) -> bool:
        """`invalidate`, and deletes them from Redis; False where Redis has not confirmed that."""
        told = self._cache.invalidate(user_tag(user_id))
        return self._cache.erase(f"{user_id}/") and told

    def stats(self) -> CacheStats:
        """Hits and misses, and how Redis is doing."""
        return self._cache.stats()

    def close(self) -> None:
        """Ends its threads and connections."""
        self._cache.close()


def open_context_cache(
    url: str, project: str, source: str, ttl_s: float, clock: Clock = SYSTEM_CLOCK
) -> ContextCache:
    """A cache at a Redis; sends nothing yet.

    Raises:
        SettingsError: the URL is not one of a Redis.
    """
    # One space for all sources: what is written of a user ends the contexts of each.
    space = Namespace(project, KIND)
    tier = RedisTier(space, Link(url), clock=clock)
    cache = TieredCache(_ContextCodec(), 0, tier, ttl_s=ttl_s, clock=clock)
    return ContextCache(cache, source, clock)


def user_tag(user_id: str) -> str:
    """What all of a user's contexts are invalidated by."""
    return f"user:{user_id}"


def _key(source: str, question: tuple[str, str, str | None, int]) -> Key:
    query, user_id, session_id, budget = question
    # Of a question whatever it holds: half of a surrogate pair is no JSON.
    asked = repr((source, query, session_id, budget)).encode(errors="surrogatepass")
    digest = hashlib.sha256(asked).hexdigest()
    return Key(f"{user_id}/{digest}", frozenset({user_tag(user_id)}))


class _ContextCodec:
    """Contexts as JSON."""

    def encode(self, value: Context) -> bytes:
        """As Redis holds it."""
        return orjson.dumps(dataclasses.asdict(value))

    def decode(self, raw: bytes) -> Context:
        """As it was; ValueError where it is no context."""
        try:
            fields = orjson.loads(raw)
            lines = tuple(Line(**line) for line in fields.pop("lines"))
            consumed = Consumed(**fields.pop("consumed"))
            missing = tuple(fields.pop("missing"))
            return Context(**fields, lines=lines, consumed=consumed, missing=missing)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError("not a context") from error

    def size(self, value: Context) -> int:
        """Not kept in memory: what its text takes will do."""
        return len(value.text)
