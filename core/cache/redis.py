"""The second tier: values in Redis, shared by processes. Its troubles cost a miss, never an error.

Every call passes a circuit breaker and has short time-outs: a Redis that is down or slow costs a
few of them, then nothing, and is used again by itself when a probe finds it well.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

from redis.exceptions import MaxConnectionsError, OutOfMemoryError

from core.cache import plans
from core.cache.link import FAILURES, Link
from core.cache.namespace import Namespace
from core.cache.plans import SKIPPED, Plan, Reading
from core.clock import SYSTEM_CLOCK, Clock, Ids, new_id
from core.resilience.breaker import Breaker, Permit

T = TypeVar("T")

# An answer that took longer is used, and counts as a failure: a slow Redis must not be waited for
# again and again.
SLOW_S = 0.025
_SCAN_BEGINS = b"0"


@dataclass(frozen=True)
class RedisStats:
    """Counts since the start. `skipped`: not asked, because the breaker was open or no connection
    was free; `refused`: Redis had no memory left; `failed`: errors, time-outs and slow answers.
    """

    hits: int
    misses: int
    stale: int
    rubbish: int
    skipped: int
    refused: int
    failed: int
    breaker: str
    opened: int
    last_failure: str | None


class RedisTier:
    """Values of one kind in Redis. Thread-safe; the `_async` twins are for coroutines.

    No method raises because of Redis: a read answers `SKIPPED`, the others False.
    """

    def __init__(
        self,
        space: Namespace,
        link: Link,
        *,
        breaker: Breaker | None = None,
        clock: Clock = SYSTEM_CLOCK,
        ids: Ids = new_id,
        slow_s: float = SLOW_S,
    ) -> None:
        self.space = space
        self.link = link
        self.origin = ids()
        self._ids = ids
        self._clock = clock
        self._slow_s = slow_s
        self._breaker = breaker or Breaker(clock=clock)
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._last_failure: str | None = None

    def read(self, name: str, tags: Sequence[str]) -> Reading:
        """What stands under a name, and what a load that begins now must be stored with."""
        return self._noted(self._run(self._reading(name, tags), SKIPPED))

    def store(self, name: str, mark: bytes, payload: bytes | None, ttl_s: float) -> bool:
        """Stores what was loaded after `mark` was read; worthless by itself if that is over."""
        return self._run(_true(plans.storing(self.space, name, mark, payload, ttl_s)), False)

    def invalidate(self, tags: Sequence[str]) -> bool:
        """Makes all values with one of the tags worthless; True once Redis has said so."""
        return self._run(_true(plans.invalidating(self.space, tags, self.origin)), False)

    def erase(self, begins: str) -> bool:
        """Deletes all values whose names begin so; looks through all that Redis holds for it."""
        cursor: bytes | None = _SCAN_BEGINS
        while cursor is not None:
            # A plan a step: each is quick, however much there is.
            cursor = self._run(_or_none(plans.erasing(self.space, begins, cursor)), None)
            if cursor == _SCAN_BEGINS:
                return True
        return False

    def clear(self) -> bool:
        """Makes all values of this kind worthless; True once Redis has said so."""
        return self._run(_true(plans.clearing(self.space, self.origin)), False)

    async def read_async(self, name: str, tags: Sequence[str]) -> Reading:
        """`read` for coroutines."""
        return self._noted(await self._run_async(self._reading(name, tags), SKIPPED))

    async def store_async(
        self, name: str, mark: bytes, payload: bytes | None, ttl_s: float
    ) -> bool:
        """`store` for coroutines."""
        plan = plans.storing(self.space, name, mark, payload, ttl_s)
        return await self._run_async(_true(plan), False)

    async def invalidate_async(self, tags: Sequence[str]) -> bool:
        """`invalidate` for coroutines."""
        plan = plans.invalidating(self.space, tags, self.origin)
        return await self._run_async(_true(plan), False)

    async def clear_async(self) -> bool:
        """`clear` for coroutines."""
        return await self._run_async(_true(plans.clearing(self.space, self.origin)), False)

    def wake(self) -> None:
        """Redis was just seen alive: it is probed now, however long the pause was to be."""
        self._breaker.wake()

    def count_rubbish(self) -> None:
        """A hit whose payload no decoder understood: counted as rubbish instead."""
        self._count(rubbish=1, hit=-1)

    def stats(self) -> RedisStats:
        """The counts as of now."""
        state, opened = self._breaker.state(), self._breaker.opened
        with self._lock:
            counts: Mapping[str, int] = self._counts
            return RedisStats(
                hits=counts["hit"],
                misses=counts["miss"],
                stale=counts["stale"],
                rubbish=counts["rubbish"],
                skipped=counts["skipped"],
                refused=counts["refused"],
                failed=counts["failed"],
                breaker=state.value,
                opened=opened,
                last_failure=self._last_failure,
            )

    def _reading(self, name: str, tags: Sequence[str]) -> Plan[Reading]:
        return plans.reading(self.space, name, tags, self._ids)

    def _run(self, plan: Plan[T], otherwise: T) -> T:
        permit = self._breaker.permit()
        if permit is None:
            return self._skip(otherwise)
        begin = self._clock.monotonic()
        with permit, closing(plan):
            try:
                commands = next(plan)
                while True:
                    commands = plan.send(self.link.execute(commands))
            except StopIteration as done:
                self._answered(permit, begin)
                result: T = done.value
                return result
            except FAILURES as error:
                self._failed(permit, error)
        return otherwise

    async def _run_async(self, plan: Plan[T], otherwise: T) -> T:
        permit = self._breaker.permit()
        if permit is None:
            return self._skip(otherwise)
        begin = self._clock.monotonic()
        with permit, closing(plan):
            try:
                commands = next(plan)
                while True:
                    commands = plan.send(await self.link.execute_async(commands))
            except StopIteration as done:
                self._answered(permit, begin)
                result: T = done.value
                return result
            except FAILURES as error:
                self._failed(permit, error)
        return otherwise

    def _answered(self, permit: Permit, begin: float) -> None:
        took = self._clock.monotonic() - begin
        if took <= self._slow_s:
            permit.succeeded()
            return
        permit.failed()
        self._count(failed=1)
        self._last_failure = f"an answer took {took * 1000:.0f} ms"

    def _failed(self, permit: Permit, error: Exception) -> None:
        if isinstance(error, OutOfMemoryError):
            permit.succeeded()  # it answers, and may still be read
            self._count(refused=1)
        elif isinstance(error, MaxConnectionsError):
            self._count(skipped=1)  # says how busy we are, not how well Redis is
        else:
            permit.failed()
            self._count(failed=1)
            self._last_failure = f"{type(error).__name__}: {error}"

    def _skip(self, otherwise: T) -> T:
        self._count(skipped=1)
        return otherwise

    def _noted(self, reading: Reading) -> Reading:
        if reading is not SKIPPED:
            self._count(**{reading.outcome.value: 1})
        return reading

    def _count(self, **more: int) -> None:
        with self._lock:
            self._counts.update(more)


def _true(plan: Plan[None]) -> Plan[bool]:
    yield from plan
    return True


def _or_none(plan: Plan[bytes]) -> Plan[bytes | None]:
    return (yield from plan)
