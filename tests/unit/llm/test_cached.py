"""The cache of vectors: one computation a text, bounded bytes, no failure kept."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.errors import EmbedderUnavailableError, EmbeddingError, UsageError
from core.llm.cached import ENTRY_OVERHEAD_BYTES, CachedEmbedder
from core.llm.embedder import BlockingEmbedder, Usage, Vectors
from core.llm.hashing import HashingEmbedder


class Counting(BlockingEmbedder):
    """Hashes, counts what it is asked, and does first what a test wants done."""

    def __init__(self, first: Callable[[Sequence[str]], None] = lambda texts: None) -> None:
        self._inner = HashingEmbedder(16)
        self._first = first
        self.asked: list[str] = []
        self.model, self.dimensions = "counting", 16

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors, after what comes first."""
        self.asked.extend(texts)
        self._first(texts)
        array = self._inner.embed(texts).array
        long = tuple(n for n, text in enumerate(texts) if len(text) > 20)
        return Vectors(array, Usage(tokens=len(texts), requests=1), long)


def until_shared(cached: CachedEmbedder, count: int) -> None:
    """Waits until so many texts wait for another thread's computation."""
    end = time.monotonic() + 10
    while cached.statistics().shared < count:
        assert time.monotonic() < end
        time.sleep(0.001)


ENTRY_BYTES = 16 * 4 + ENTRY_OVERHEAD_BYTES


def test_a_text_is_embedded_once() -> None:
    """The second time, and within one call, nothing is computed, and nothing costs."""
    inner = Counting()
    cached = CachedEmbedder(inner)
    first = cached.embed(["a", "b", "a"])
    second = cached.embed(["b", "a"])
    assert inner.asked == ["a", "b"]
    assert (first.usage.tokens, first.usage.requests) == (2, 1)
    assert (second.usage.tokens, second.usage.requests) == (0, 0)
    assert (first.usage.computed, second.usage.computed) == (2, 0)
    assert (second.array == first.array[[1, 0]]).all()
    found = cached.statistics()
    assert (found.hits, found.misses, found.entries, found.bytes) == (2, 2, 2, 2 * ENTRY_BYTES)
    assert found.hit_rate == 0.5


def test_model_and_dimensions_are_part_of_the_key() -> None:
    """The same text under another model is another vector."""
    inner = Counting()
    cached = CachedEmbedder(inner)
    cached.embed(["a"])
    inner.model = "another"
    cached.embed(["a"])
    assert inner.asked == ["a", "a"]


def test_what_was_shortened_stays_said() -> None:
    """A vector from the cache still tells that the model did not see all of its text."""
    cached = CachedEmbedder(Counting())
    text = "longer than twenty characters"
    assert cached.embed(["a", text]).shortened == (1,)
    assert cached.embed([text, "a"]).shortened == (0,)


def test_bytes_are_bounded() -> None:
    """What was least recently asked for goes first, and the bound always holds."""
    inner = Counting()
    cached = CachedEmbedder(inner, max_bytes=2 * ENTRY_BYTES)
    cached.embed(["a", "b"])
    cached.embed(["a"])
    cached.embed(["c"])
    found = cached.statistics()
    assert (found.entries, found.evictions) == (2, 1)
    assert found.bytes <= 2 * ENTRY_BYTES
    cached.embed(["a", "c"])
    assert inner.asked == ["a", "b", "c"]
    cached.embed(["b"])
    assert inner.asked[-1] == "b"


def test_a_call_larger_than_the_cache_is_answered() -> None:
    """A cache too small for a call, or for a single vector, costs time and no answer."""
    for size in (1, 3 * ENTRY_BYTES):
        texts = [f"text {n}" for n in range(20)]
        cached = CachedEmbedder(Counting(), max_bytes=size)
        assert (cached.embed(texts).array == Counting().embed(texts).array).all()
        assert cached.statistics().bytes <= size
    with pytest.raises(UsageError):
        CachedEmbedder(Counting(), max_bytes=0)


def test_threads_that_ask_at_once_share_one_computation() -> None:
    """Eight threads, one text: one computation; the others wait for it."""
    begun, go = threading.Event(), threading.Event()

    def wait(texts: Sequence[str]) -> None:
        begun.set()
        assert go.wait(10)

    inner = Counting(wait)
    cached = CachedEmbedder(inner)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(cached.embed, ["same"]) for _ in range(8)]
        assert begun.wait(10)
        until_shared(cached, 7)
        go.set()
        arrays = [future.result(10).array for future in futures]
    assert inner.asked == ["same"]
    assert all((array == arrays[0]).all() for array in arrays)
    assert cached.statistics().misses == 1


def test_who_waits_for_anothers_text_computes_its_own_first() -> None:
    """Otherwise calls that need each other's texts might wait for ever."""
    begun, own_done = threading.Event(), threading.Event()

    def meet(texts: Sequence[str]) -> None:
        if "a" in texts:
            begun.set()
            assert own_done.wait(10)
        own_done.set()

    cached = CachedEmbedder(Counting(meet))
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(cached.embed, ["a"])
        assert begun.wait(10)
        other = pool.submit(cached.embed, ["a", "own"])
        assert other.result(10).array.shape == (2, 16)
        assert one.result(10).array.shape == (1, 16)


def test_a_failure_is_not_kept() -> None:
    """After an error the next call tries again."""
    fails = [True]

    def fail_once(texts: Sequence[str]) -> None:
        if fails:
            fails.pop()
            raise EmbeddingError("No.", model="counting")

    cached = CachedEmbedder(Counting(fail_once))
    with pytest.raises(EmbeddingError):
        cached.embed(["a"])
    assert cached.embed(["a"]).array.shape == (1, 16)


def test_anothers_failure_is_tried_again_by_who_waited() -> None:
    """It may have been another text's fault: who waited computes for himself."""
    begun, go = threading.Event(), threading.Event()

    def bad_company(texts: Sequence[str]) -> None:
        if "bad" in texts:
            begun.set()
            assert go.wait(10)
            raise EmbeddingError("No.", model="counting")

    cached = CachedEmbedder(Counting(bad_company))
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(cached.embed, ["good", "bad"])
        assert begun.wait(10)
        other = pool.submit(cached.embed, ["good"])
        until_shared(cached, 1)
        go.set()
        assert other.result(10).array.shape == (1, 16)
        with pytest.raises(EmbeddingError):
            one.result(10)


def test_a_model_that_is_down_is_asked_once_for_all_who_wait() -> None:
    """Nobody queues up behind a model that is down: all learn it from one attempt."""
    begun, go = threading.Event(), threading.Event()

    def down(texts: Sequence[str]) -> None:
        begun.set()
        assert go.wait(10)
        raise EmbedderUnavailableError("Down.", "Start it.", model="counting")

    inner = Counting(down)
    cached = CachedEmbedder(inner)
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(cached.embed, ["a"]) for _ in range(3)]
        assert begun.wait(10)
        until_shared(cached, 2)
        go.set()
        for future in futures:
            with pytest.raises(EmbedderUnavailableError, match="Down") as caught:
                future.result(10)
            assert caught.value.cure == "Start it."
    assert inner.asked == ["a"]


def test_an_interrupted_computation_leaves_nobody_waiting() -> None:
    """Ctrl-C in the middle: the next call computes."""
    interrupts = [True]

    def interrupt(texts: Sequence[str]) -> None:
        if interrupts:
            interrupts.pop()
            raise KeyboardInterrupt

    cached = CachedEmbedder(Counting(interrupt))
    with pytest.raises(KeyboardInterrupt):
        cached.embed(["a"])
    assert cached.embed(["a"]).array.shape == (1, 16)


def test_a_blank_text_is_refused_before_anything_is_asked() -> None:
    """A call that can't be answered whole costs nothing."""
    inner = Counting()
    with pytest.raises(EmbeddingError, match="blank"):
        CachedEmbedder(inner).embed(["a", " "])
    assert inner.asked == []


def test_known_texts_need_no_thread() -> None:
    """Awaited, a text in the cache is answered where it was asked."""
    threads: set[str] = set()
    cached = CachedEmbedder(Counting(lambda _: threads.add(threading.current_thread().name)))
    first = asyncio.run(cached.embed_async(["a"]))
    assert threads
    assert threading.current_thread().name not in threads
    threads.clear()
    assert (asyncio.run(cached.embed_async(["a"])).array == first.array).all()
    assert not threads


def test_vectors_do_not_keep_their_batch_in_memory() -> None:
    """A kept row is a copy: the bound in bytes is the truth."""
    cached = CachedEmbedder(Counting())
    cached.embed([f"text {n}" for n in range(100)])
    entry = next(iter(cached._entries.values()))
    assert entry.vector.base is None
    assert isinstance(entry.vector, np.ndarray)
