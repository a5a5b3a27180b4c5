"""An embedder that remembers: the same text is embedded once, however many ask at once."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass

import numpy as np
from cachetools import LRUCache

from core.clock import SYSTEM_CLOCK, Clock
from core.errors import EmbedderUnavailableError, UsageError
from core.llm.embedder import Embedder, FloatArray, Usage, Vectors, readable

DEFAULT_BYTES = 32 * 1024 * 1024
# Key, entry, array header and the cache's own links, beside the numbers themselves.
ENTRY_OVERHEAD_BYTES = 512

_Key = tuple[str, int, bytes]


@dataclass(frozen=True)
class CacheStatistics:
    """What the cache did since it was made, counted a text, and what it holds now.

    `shared` counts texts whose vector another thread was already computing.
    """

    hits: int
    misses: int
    shared: int
    evictions: int
    entries: int
    bytes: int

    @property
    def hit_rate(self) -> float:
        """The share of texts that needed no computation; 0 before the first."""
        asked = self.hits + self.misses + self.shared
        return (self.hits + self.shared) / asked if asked else 0.0


@dataclass(frozen=True, eq=False)
class _Entry:
    vector: FloatArray
    shortened: bool

    @property
    def bytes(self) -> int:
        return self.vector.nbytes + ENTRY_OVERHEAD_BYTES


@dataclass(frozen=True, eq=False)
class _Sorted:
    """The texts of a call: known, being computed by others, and ours to compute."""

    known: Mapping[_Key, _Entry]
    awaited: Mapping[_Key, Future[_Entry]]
    ours: Mapping[_Key, str]


class _Lru(LRUCache[_Key, _Entry]):
    """Bounded in bytes; counts what it had to let go."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes, getsizeof=lambda entry: entry.bytes)
        self.evictions = 0

    def popitem(self) -> tuple[_Key, _Entry]:
        self.evictions += 1
        found: tuple[_Key, _Entry] = super().popitem()
        return found


class CachedEmbedder:
    """Wraps another embedder, and keeps its vectors by model, dimensions and text. Thread-safe.

    The cache takes at most `max_bytes` and lets go of what was least recently asked for. A
    failure is never kept. Usage is that of what was computed for this call: a text found in the
    cache, or computed by another thread, costs nothing.
    """

    def __init__(
        self, inner: Embedder, max_bytes: int = DEFAULT_BYTES, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """A cache of `max_bytes` over `inner`.

        Raises:
            UsageError: max_bytes is not above 0.
        """
        if max_bytes < 1:
            raise UsageError(f"A cache of {max_bytes} bytes holds nothing.", "Give it 1 or more.")
        self._inner = inner
        self._clock = clock
        self._lock = threading.Lock()
        self._entries = _Lru(max_bytes)
        self._under_way: dict[_Key, Future[_Entry]] = {}
        self._hits = self._misses = self._shared = 0

    @property
    def inner(self) -> Embedder:
        """The wrapped embedder."""
        return self._inner

    @property
    def model(self) -> str:
        """The wrapped embedder's model."""
        return self._inner.model

    @property
    def dimensions(self) -> int:
        """The wrapped embedder's dimensions."""
        return self._inner.dimensions

    def statistics(self) -> CacheStatistics:
        """What the cache did, at this moment."""
        with self._lock:
            return CacheStatistics(
                hits=self._hits,
                misses=self._misses,
                shared=self._shared,
                evictions=self._entries.evictions,
                entries=len(self._entries),
                bytes=int(self._entries.currsize),
            )

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors of `texts`; the wrapped embedder is asked only for those not known.

        Raises:
            EmbeddingError: as the wrapped embedder raises it; a blank text before it is asked.
        """
        begin = self._clock.monotonic()
        keys = self._keys(texts)
        found: dict[_Key, _Entry] = {}
        spent = Usage()
        wanted = dict(keys)
        first = True
        while wanted:
            part = self._sort(wanted, count=first)
            first = False
            found.update(part.known)
            # Ours before theirs: two calls that await each other's texts would never end.
            if part.ours:
                computed, usage = self._compute(part.ours)
                found.update(computed)
                spent = Usage(
                    tokens=spent.tokens + usage.tokens,
                    requests=spent.requests + usage.requests,
                    computed=spent.computed + len(part.ours),
                )
            found.update(_awaited(part.awaited))
            wanted = {key: text for key, text in wanted.items() if key not in found}
        milliseconds = (self._clock.monotonic() - begin) * 1000
        usage = dataclasses.replace(spent, milliseconds=milliseconds)
        return self._assembled([found[key] for key, _ in keys], usage)

    async def embed_async(self, texts: Sequence[str]) -> Vectors:
        """As `embed`; answered at once where all is known, else in a thread."""
        keys = dict(self._keys(texts))
        with self._lock:
            known = all(key in self._entries for key in keys)
        return self.embed(texts) if known else await asyncio.to_thread(self.embed, texts)

    def _keys(self, texts: Sequence[str]) -> list[tuple[_Key, str]]:
        model, dimensions = self.model, self.dimensions
        return [
            ((model, dimensions, hashlib.sha256(text.encode()).digest()), text)
            for text in readable(texts, model)
        ]

    def _sort(self, wanted: Mapping[_Key, str], *, count: bool) -> _Sorted:
        with self._lock:
            known = {key: self._entries[key] for key in wanted if key in self._entries}
            awaited = {
                key: self._under_way[key]
                for key in wanted
                if key not in known and key in self._under_way
            }
            ours = {k: t for k, t in wanted.items() if k not in known and k not in awaited}
            self._under_way.update((key, Future()) for key in ours)
            if count:
                self._hits += len(known)
                self._shared += len(awaited)
                self._misses += len(ours)
        return _Sorted(known, awaited, ours)

    def _compute(self, ours: Mapping[_Key, str]) -> tuple[dict[_Key, _Entry], Usage]:
        entries: dict[_Key, _Entry] = {}
        down: EmbedderUnavailableError | None = None
        try:
            vectors = self._inner.embed(list(ours.values()))
            shortened = set(vectors.shortened)
            for n, (key, row) in enumerate(zip(ours, vectors.array, strict=True)):
                entries[key] = _Entry(_own(row), n in shortened)
        except EmbedderUnavailableError as error:
            down = error
            raise
        finally:
            # Whatever happened, a signal included, nobody may be left waiting.
            self._settle(ours, entries, down)
        return entries, vectors.usage

    def _settle(
        self,
        keys: Mapping[_Key, str],
        entries: Mapping[_Key, _Entry],
        down: EmbedderUnavailableError | None,
    ) -> None:
        with self._lock:
            futures = [(key, self._under_way.pop(key)) for key in keys]
            for key, entry in entries.items():
                if entry.bytes <= self._entries.maxsize:
                    self._entries[key] = entry
        for key, future in futures:
            if key in entries:
                future.set_result(entries[key])
            elif down is not None:
                future.set_exception(down)
            else:
                future.cancel()

    def _assembled(self, entries: list[_Entry], usage: Usage) -> Vectors:
        array = np.zeros((len(entries), self.dimensions), np.float32)
        for n, entry in enumerate(entries):
            array[n] = entry.vector
        array.setflags(write=False)
        shortened = tuple(n for n, entry in enumerate(entries) if entry.shortened)
        return Vectors(array, usage, shortened)


def _awaited(futures: Mapping[_Key, Future[_Entry]]) -> dict[_Key, _Entry]:
    """What others computed. A text of theirs that failed is left out, to be tried by ourselves.

    A failure may be of another text in their call; only a model that is down is down for us too.
    """
    found: dict[_Key, _Entry] = {}
    for key, future in futures.items():
        try:
            found[key] = future.result()
        except CancelledError:
            continue
        except EmbedderUnavailableError as error:
            raise EmbedderUnavailableError(error.what, error.cure, **error.fields) from error
    return found


def _own(row: FloatArray) -> FloatArray:
    """A copy, so that one row doesn't keep a whole batch in memory."""
    copy = row.copy()
    copy.setflags(write=False)
    return copy
