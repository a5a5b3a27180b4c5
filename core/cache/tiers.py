"""Memory and Redis as one cache that never answers with what a write made stale.

A read looks in memory, then in Redis, then loads; what was loaded goes to both. Who writes calls
`invalidate` with the tags of what changed, after the write and before it acknowledges it.

Guarantees, in the order of their strength:

1. In this process, whatever Redis does: after `invalidate` returned, no read that begins answers
   with a value loaded before. A load which the invalidation overtook is not kept.
2. Values read from Redis, by any process: one that was invalidated there is not believed.
3. Values in the memory of other processes, or being loaded there: gone when the message arrives
   (milliseconds); if their connection was lost, when it is back; in any case after their time to
   live.

While this process can't reach Redis, it remembers what it owes, and believes nothing Redis says
about these tags until Redis confirmed the invalidation. Other processes that do reach Redis may
read the old values until then, or until these expire.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

from core.cache.flights import Loaded
from core.cache.interface import CacheStats, Codec, Key
from core.cache.listener import Listener, ListenerPolicy
from core.cache.memory import DEFAULT_TTL_S, MemoryCache, RemovalListener
from core.cache.owed import Debt, Owed
from core.cache.plans import SKIPPED, Message, Outcome, Reading
from core.cache.redis import RedisTier
from core.clock import SYSTEM_CLOCK, Clock

V = TypeVar("V")

# Tags whose owed invalidation is sent in one command.
PAY_AT_ONCE = 500


@dataclass
class _Payment:
    made: bool = False


class TieredCache(Generic[V]):
    """The two tiers as one; without a `redis`, memory alone. A context manager.

    `start` (or `with`) begins to listen to other processes. None is not cached unless `keep_none`.
    `memory_bytes` 0 leaves all to Redis. `on_remove` hears what leaves memory, and must not raise.
    """

    def __init__(
        self,
        codec: Codec[V],
        memory_bytes: int,
        redis: RedisTier | None = None,
        *,
        ttl_s: float = DEFAULT_TTL_S,
        keep_none: bool = False,
        clock: Clock = SYSTEM_CLOCK,
        on_remove: RemovalListener[V | None] | None = None,
        listening: ListenerPolicy | None = None,
    ) -> None:
        self._codec = codec
        self._memory: MemoryCache[V | None] = MemoryCache(
            memory_bytes, self._size, ttl_s=ttl_s, clock=clock, on_remove=on_remove
        )
        self._redis = redis
        self._ttl_s = ttl_s
        self._keep_none = keep_none
        self._owed = Owed()
        self._listener: Listener | None = None
        if redis is not None:
            self._listener = Listener(
                redis.space.bus,
                lambda: redis.link.connection(1.0),
                on_message=self._hear,
                on_gap=self._heard_again,
                on_tick=self._tick,
                policy=listening,
            )

    def __enter__(self) -> TieredCache[V]:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Begins to listen to other processes; returns at once."""
        if self._listener is not None:
            self._listener.start()

    def close(self) -> None:
        """Pays what it owes to Redis, if that answers, and ends the listener."""
        if self._listener is not None:
            self._listener.close()
        self.settle()
        if self._redis is not None:
            self._redis.link.close()

    async def close_async(self) -> None:
        """Closes the connections of the running loop; `close` is to be called besides."""
        if self._redis is not None:
            await self._redis.link.close_async()

    def wait_until_listening(self, timeout_s: float) -> bool:
        """Waits until other processes are heard; False if that took too long."""
        return self._listener is not None and self._listener.wait(timeout_s)

    def get_or_load(self, key: Key, loader: Callable[[], V | None]) -> V | None:
        """The value from memory, from Redis, or from the loader; one load at a time a key.

        An IalError of the loader is raised to all who wait for it. The loader must not ask for the
        same key.
        """

        def load() -> Loaded[V | None]:
            reading = self._read(key)
            found = self._found(reading)
            if found is not None:
                return found
            value = loader()
            self._store(key, value, reading)
            return Loaded(value, self._ttl_s, self._keeps(value))

        return self._memory.fly(key.name, key.tags, load)

    async def get_or_load_async(
        self, key: Key, loader: Callable[[], Awaitable[V | None]]
    ) -> V | None:
        """The same for coroutines; cancelling one of those that wait harms no other."""

        async def load() -> Loaded[V | None]:
            reading = await self._read_async(key)
            found = self._found(reading)
            if found is not None:
                return found
            value = await loader()
            await self._store_async(key, value, reading)
            return Loaded(value, self._ttl_s, self._keeps(value))

        return await self._memory.fly_async(key.name, key.tags, load)

    def get(self, key: Key) -> V | None:
        """The value from memory or Redis, or None."""
        entry = self._memory.get(key.name)
        if entry is not None or self._redis is None:
            return None if entry is None else entry.value

        def load() -> Loaded[V | None]:
            return self._found(self._read(key)) or Loaded(None, keep=False)

        return self._memory.fly_alone(key.name, key.tags, load)

    async def get_async(self, key: Key) -> V | None:
        """The same for coroutines."""
        entry = self._memory.get(key.name)
        if entry is not None or self._redis is None:
            return None if entry is None else entry.value

        async def load() -> Loaded[V | None]:
            return self._found(await self._read_async(key)) or Loaded(None, keep=False)

        return await self._memory.fly_alone_async(key.name, key.tags, load)

    def put(self, key: Key, value: V) -> None:
        """Stores a value that was read after the last invalidation of its tags.

        Meant for values that never change under their name (a vector by model and text); for all
        others `get_or_load` knows by itself whether a value may be kept.
        """

        def load() -> Loaded[V | None]:
            self._store(key, value, self._read(key))
            return Loaded(value, self._ttl_s)

        self._memory.fly_alone(key.name, key.tags, load, newer=True)

    async def put_async(self, key: Key, value: V) -> None:
        """The same for coroutines."""

        async def load() -> Loaded[V | None]:
            await self._store_async(key, value, await self._read_async(key))
            return Loaded(value, self._ttl_s)

        await self._memory.fly_alone_async(key.name, key.tags, load, newer=True)

    def invalidate(self, *tags: str) -> bool:
        """Drops all values with one of the tags, here and elsewhere; never fails.

        To be called after the write, before it is acknowledged. False: dropped here, but owed to
        Redis; who must not let other processes read the old value meanwhile waits for `settle`.
        """
        paid = True
        try:
            if self._redis is not None and tags:
                # Owed first: from here on no thread believes Redis on these tags.
                with self._paying(self._owed.owe(tags)) as payment:
                    paid = payment.made = self._redis.invalidate(tags)
        finally:
            # Memory last: what a thread took from Redis a moment ago must not outlive this call.
            self._forget(tags)
        return paid

    def erase(self, begins: str) -> bool:
        """Deletes from Redis the values whose names begin so; never fails. False: it did not.

        For what must not lie there any more; that nobody reads it is `invalidate`'s affair.
        """
        return self._redis is None or self._redis.erase(begins)

    async def invalidate_async(self, *tags: str) -> bool:
        """The same for coroutines; what a cancelled one leaves undone stays owed."""
        paid = True
        try:
            if self._redis is not None and tags:
                with self._paying(self._owed.owe(tags)) as payment:
                    paid = payment.made = await self._redis.invalidate_async(tags)
        finally:
            self._forget(tags)
        return paid

    def clear(self) -> bool:
        """Drops everything of this kind, here and elsewhere; never fails. False: see above."""
        paid = True
        try:
            if self._redis is not None:
                with self._paying(self._owed.owe_everything()) as payment:
                    paid = payment.made = self._redis.clear()
        finally:
            self._memory.clear()
        return paid

    async def clear_async(self) -> bool:
        """The same for coroutines."""
        paid = True
        try:
            if self._redis is not None:
                with self._paying(self._owed.owe_everything()) as payment:
                    paid = payment.made = await self._redis.clear_async()
        finally:
            self._memory.clear()
        return paid

    def settle(self) -> bool:
        """Pays what is owed to Redis (the listener calls it often); True if nothing is left."""
        while self._redis is not None and (debt := self._owed.left(PAY_AT_ONCE)):
            if debt.everything is not None and not self._redis.clear():
                return False
            if debt.tags and not self._redis.invalidate(list(debt.tags)):
                return False
            self._owed.end(debt, paid=True)
        return not self._owed

    @contextmanager
    def _paying(self, debt: Debt) -> Iterator[_Payment]:
        payment = _Payment()
        try:
            yield payment
        finally:
            self._owed.end(debt, paid=payment.made)

    def stats(self) -> CacheStats:
        """The counts as of now."""
        return CacheStats(
            memory=self._memory.stats(),
            redis=None if self._redis is None else self._redis.stats(),
            owed=len(self._owed),
            hears=self._listener is not None and self._listener.hears,
            gaps=0 if self._listener is None else self._listener.gaps,
            lost=None if self._listener is None else self._listener.last_failure,
        )

    def _forget(self, tags: Iterable[str]) -> None:
        for tag in tags:
            self._memory.remove_tag(tag)

    def _heard_again(self) -> None:
        self._memory.clear()
        if self._redis is not None:
            self._redis.wake()

    def _tick(self) -> None:
        self.settle()

    def _hear(self, message: Message) -> None:
        if self._redis is None or message.origin == self._redis.origin:
            return  # what we said ourselves is done already
        if message.everything:
            self._memory.clear()
        else:
            self._forget(message.tags)

    def _read(self, key: Key) -> Reading:
        if self._redis is None or self._owed.covers(key.tags):
            return SKIPPED
        return self._redis.read(key.name, sorted(key.tags))

    async def _read_async(self, key: Key) -> Reading:
        if self._redis is None or self._owed.covers(key.tags):
            return SKIPPED
        return await self._redis.read_async(key.name, sorted(key.tags))

    def _found(self, reading: Reading) -> Loaded[V | None] | None:
        """What a reading brought, if it can be understood; it lives here no longer than there."""
        if reading.outcome is not Outcome.HIT or self._redis is None:
            return None
        ttl_s = min(self._ttl_s, reading.ttl_s)
        if reading.payload is None:
            return Loaded(None, ttl_s)
        try:
            return Loaded(self._codec.decode(reading.payload), ttl_s)
        except ValueError:
            self._redis.count_rubbish()
            return None

    def _store(self, key: Key, value: V | None, reading: Reading) -> None:
        if self._redis is not None and (mark := self._mark(key, value, reading)):
            self._redis.store(key.name, mark, self._encode(value), self._ttl_s)

    async def _store_async(self, key: Key, value: V | None, reading: Reading) -> None:
        if self._redis is not None and (mark := self._mark(key, value, reading)):
            payload = self._encode(value)
            await self._redis.store_async(key.name, mark, payload, self._ttl_s)

    def _mark(self, key: Key, value: V | None, reading: Reading) -> bytes | None:
        """What to store it with; None for what is not kept, or owed since it was read."""
        if not self._keeps(value) or self._owed.covers(key.tags):
            return None
        return reading.mark

    def _size(self, value: V | None) -> int:
        return 0 if value is None else self._codec.size(value)

    def _encode(self, value: V | None) -> bytes | None:
        return None if value is None else self._codec.encode(value)

    def _keeps(self, value: V | None) -> bool:
        return value is not None or self._keep_none
