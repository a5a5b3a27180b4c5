"""The first tier: least recently used out first, a time to live an item, a bound in bytes.

Reads cost about a microsecond. Times are monotonic: a clock set back or forth changes nothing.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from core.cache.flights import Flight, Flights, Loaded
from core.cache.items import ENTRY_BYTES, Entry, Gone, Items, Removal
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import IalError, UsageError

V = TypeVar("V")

DEFAULT_TTL_S = 300.0


@dataclass(frozen=True)
class MemoryStats:
    """Counts since the start, and what is held now; `bytes` is never above `max_bytes`."""

    hits: int
    misses: int
    evictions: int
    expirations: int
    invalidations: int
    refused: int
    items: int
    bytes: int
    max_bytes: int


RemovalListener = Callable[[str, V, Removal], None]


class MemoryCache(Generic[V]):
    """Values by key, each with tags by which it can be invalidated. Thread-safe.

    After `remove`, `remove_tag` or `clear` returned, nothing answers with a value that was there
    or being loaded before: a load which they overtook is handed to who waited, and not kept.

    `size` gives the bytes of a value; keys, tags and bookkeeping are counted on top. `on_remove`
    is called outside of the lock, in the thread whose call made the entry go; it must not raise.
    """

    def __init__(
        self,
        max_bytes: int,
        size: Callable[[V], int],
        *,
        ttl_s: float = DEFAULT_TTL_S,
        clock: Clock = SYSTEM_CLOCK,
        on_remove: RemovalListener[V] | None = None,
    ) -> None:
        if max_bytes < 0 or ttl_s <= 0:
            raise UsageError(
                f"A cache of {max_bytes} bytes with a time to live of {ttl_s} s can't be.",
                "Give at least 0 bytes and more than 0 seconds.",
            )
        self._size = size
        self._ttl_s = ttl_s
        self._on_remove = on_remove
        self._lock = threading.Lock()
        self._items: Items[V] = Items(max_bytes, clock.monotonic)
        self._flights: Flights[V] = Flights()
        self._hits = self._misses = self._refused = 0
        self._counts = dict.fromkeys(Removal, 0)

    def get(self, key: str) -> Entry[V] | None:
        """The entry of `key`, or None."""
        with self._lock:
            entry = self._find(key)
            if entry is None:
                self._misses += 1
            else:
                self._hits += 1
            return entry

    def put(
        self, key: str, value: V, *, tags: Iterable[str] = (), ttl_s: float | None = None
    ) -> bool:
        """Stores a value that is current now; False where it is too large to be held.

        What was being loaded under this key meanwhile is older, and will not replace it.
        """
        entry = self._entry(key, Loaded(value, ttl_s), frozenset(tags))
        with self._lock:
            self._flights.overtake(key=key)
            stored = self._store(key, entry)
            gone = self._collect()
        self._tell(gone)
        return stored

    def remove(self, key: str) -> bool:
        """Drops one entry; True where there was one."""
        with self._lock:
            self._flights.overtake(key=key)
            removed = self._drop([key])
            gone = self._collect()
        self._tell(gone)
        return bool(removed)

    def remove_tag(self, tag: str) -> int:
        """Drops all entries with the tag; how many there were."""
        with self._lock:
            self._flights.overtake(tag=tag)
            removed = self._drop(self._items.tagged(tag))
            gone = self._collect()
        self._tell(gone)
        return removed

    def clear(self) -> int:
        """Drops everything; how many entries there were."""
        with self._lock:
            self._flights.overtake()
            removed = self._drop(list(self._items))
            gone = self._collect()
        self._tell(gone)
        return removed

    def get_or_load(
        self,
        key: str,
        loader: Callable[[], V],
        *,
        tags: Iterable[str] = (),
        ttl_s: float | None = None,
        keep_none: bool = False,
    ) -> V:
        """The cached value, or what `loader` brings; one load a key however many threads ask.

        None is handed on and not cached, unless `keep_none`. An IalError of the loader is raised
        to all who waited for it; after any other end of it they load themselves.
        """

        def load() -> Loaded[V]:
            value = loader()
            return Loaded(value, ttl_s, keep_none or value is not None)

        return self.fly(key, frozenset(tags), load)

    def fly(self, key: str, tags: frozenset[str], load: Callable[[], Loaded[V]]) -> V:
        """`get_or_load` for loaders that say themselves how long, and whether, to keep."""
        while True:
            found, leads = self._board(key, tags)
            if isinstance(found, Entry):
                return found.value
            if leads:
                return self._lead(found, load)
            if found.owner == threading.get_ident():
                # A loader that asks for its own key, or a call from the event loop that loads it:
                # to wait would be for ever.
                return load().value
            outcome = found.outcome.result()
            if isinstance(outcome, Loaded):
                return outcome.value
            if outcome is not None:
                raise outcome

    def fly_alone(
        self, key: str, tags: frozenset[str], load: Callable[[], Loaded[V]], *, newer: bool = False
    ) -> V:
        """A load that nobody joins: one that may end without a value, or brings a `newer` one."""
        return self._lead(self._board_alone(key, tags, newer), load)

    async def fly_alone_async(
        self,
        key: str,
        tags: frozenset[str],
        load: Callable[[], Awaitable[Loaded[V]]],
        *,
        newer: bool = False,
    ) -> V:
        """The same for coroutines."""
        return await self._lead_async(self._board_alone(key, tags, newer), load)

    async def fly_async(
        self, key: str, tags: frozenset[str], load: Callable[[], Awaitable[Loaded[V]]]
    ) -> V:
        """The same for coroutines; who is cancelled while waiting harms no other.

        A loader must not ask for its own key.
        """
        while True:
            found, leads = self._board(key, tags)
            if isinstance(found, Entry):
                return found.value
            if leads:
                return await self._lead_async(found, load)
            outcome = await asyncio.shield(asyncio.wrap_future(found.outcome))
            if isinstance(outcome, Loaded):
                return outcome.value
            if outcome is not None:
                raise outcome

    def stats(self) -> MemoryStats:
        """The counts as of now."""
        with self._lock:
            self._items.expire()
            gone = self._collect()
            found = MemoryStats(
                hits=self._hits,
                misses=self._misses,
                evictions=self._counts[Removal.EVICTED],
                expirations=self._counts[Removal.EXPIRED],
                invalidations=self._counts[Removal.INVALIDATED],
                refused=self._refused,
                items=len(self._items),
                bytes=int(self._items.currsize),
                max_bytes=int(self._items.maxsize),
            )
        self._tell(gone)
        return found

    def _board(self, key: str, tags: frozenset[str]) -> tuple[Entry[V] | Flight[V], bool]:
        with self._lock:
            entry = self._find(key)
            if entry is not None:
                self._hits += 1
                return entry, False
            self._misses += 1
            flight = self._flights.find(key)
            # One with other tags would outlive invalidations that this caller counts on.
            if flight is not None and flight.tags >= tags:
                return flight, False
            return self._flights.begin(key, tags), True

    def _board_alone(self, key: str, tags: frozenset[str], newer: bool) -> Flight[V]:
        with self._lock:
            if newer:
                self._flights.overtake(key=key)
            return self._flights.begin(key, tags, alone=True)

    def _lead(self, flight: Flight[V], load: Callable[[], Loaded[V]]) -> V:
        outcome: Loaded[V] | IalError | None = None
        try:
            outcome = load()
        except IalError as error:
            outcome = error
            raise
        finally:
            self._land(flight, outcome)
        return outcome.value

    async def _lead_async(self, flight: Flight[V], load: Callable[[], Awaitable[Loaded[V]]]) -> V:
        outcome: Loaded[V] | IalError | None = None
        try:
            outcome = await load()
        except IalError as error:
            outcome = error
            raise
        finally:
            self._land(flight, outcome)
        return outcome.value

    def _land(self, flight: Flight[V], outcome: Loaded[V] | IalError | None) -> None:
        """Keeps what was loaded unless it was overtaken, and tells who waited."""
        gone: Gone[V] = []
        try:
            if isinstance(outcome, Loaded) and outcome.keep:
                entry = self._entry(flight.key, outcome, flight.tags)
                with self._lock:
                    if not flight.stale:
                        self._store(flight.key, entry)
                    gone = self._collect()
        finally:
            with self._lock:
                self._flights.end(flight)
            flight.outcome.set_result(outcome)
        self._tell(gone)

    def _entry(self, key: str, loaded: Loaded[V], tags: frozenset[str]) -> Entry[V]:
        size = self._size(loaded.value) + sys.getsizeof(key) + ENTRY_BYTES
        size += sum(map(sys.getsizeof, tags))
        ttl_s = self._ttl_s if loaded.ttl_s is None else loaded.ttl_s
        return Entry(loaded.value, tags, ttl_s, size)

    def _find(self, key: str) -> Entry[V] | None:
        try:
            return self._items[key]
        except KeyError:
            return None

    def _store(self, key: str, entry: Entry[V]) -> bool:
        self._items.take(key)
        if entry.size > self._items.maxsize:
            self._refused += 1
            return False
        self._items.store(key, entry)
        return True

    def _drop(self, keys: Iterable[str]) -> int:
        self._items.expire()  # what is over is told as expired, not as removed
        removed = 0
        for key in keys:
            entry = self._items.take(key)
            if entry is not None:
                removed += 1
                self._items.gone.append((key, entry, Removal.INVALIDATED))
        return removed

    def _collect(self) -> Gone[V]:
        gone, self._items.gone = self._items.gone, []
        for _, _, why in gone:
            self._counts[why] += 1
        return gone

    def _tell(self, gone: Gone[V]) -> None:
        if self._on_remove is not None:
            for key, entry, why in gone:
                self._on_remove(key, entry.value, why)
