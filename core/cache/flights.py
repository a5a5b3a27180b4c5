"""Loads under way: one a key at a time, and none that an invalidation overtook may be kept."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from core.errors import IalError

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Loaded(Generic[V]):
    """What a load brought. `ttl_s` None: the cache's own; `keep` False: answer, don't store."""

    value: V
    ttl_s: float | None = None
    keep: bool = True


@dataclass(eq=False, slots=True)
class Flight(Generic[V]):
    """One load: who waits for it gets its outcome; `stale` says it began before an invalidation."""

    key: str
    tags: frozenset[str]
    owner: int = field(default_factory=threading.get_ident)
    stale: bool = False
    # None: the load ended without an outcome that others could share; they try themselves.
    outcome: Future[Loaded[V] | IalError | None] = field(default_factory=Future)


class Flights(Generic[V]):
    """The loads of one cache. Not thread-safe: the cache's lock guards it."""

    def __init__(self) -> None:
        self._by_key: dict[str, Flight[V]] = {}
        self._all: set[Flight[V]] = set()

    def find(self, key: str) -> Flight[V] | None:
        """The load to join, if there is one that nothing has overtaken."""
        return self._by_key.get(key)

    def begin(self, key: str, tags: frozenset[str], *, alone: bool = False) -> Flight[V]:
        """A new load of `key`; `alone`: not for others to join."""
        flight: Flight[V] = Flight(key, tags)
        if not alone:
            self._by_key[key] = flight
        self._all.add(flight)
        return flight

    def end(self, flight: Flight[V]) -> None:
        """Forgets a load; its outcome is told by who ran it, outside of the lock."""
        self._all.discard(flight)
        if self._by_key.get(flight.key) is flight:
            del self._by_key[flight.key]

    def overtake(self, *, key: str | None = None, tag: str | None = None) -> None:
        """Marks loads of a key, with a tag, or all (neither named), as not to be kept or joined."""
        for flight in self._all:
            if (key is None and tag is None) or flight.key == key or tag in flight.tags:
                flight.stale = True
                if self._by_key.get(flight.key) is flight:
                    del self._by_key[flight.key]
