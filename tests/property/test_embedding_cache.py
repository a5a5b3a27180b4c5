"""The cache of vectors, driven through any order of calls, failures and evictions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core.errors import EmbedderUnavailableError, EmbeddingError
from core.llm.cached import ENTRY_OVERHEAD_BYTES, CachedEmbedder
from core.llm.embedder import BlockingEmbedder, Usage, Vectors
from core.llm.hashing import HashingEmbedder

DIMENSIONS = 16
ENTRY_BYTES = DIMENSIONS * 4 + ENTRY_OVERHEAD_BYTES
texts = st.lists(st.sampled_from([f"text {n}" for n in range(8)]), max_size=6)


class Failing(BlockingEmbedder):
    """Hashes, unless it is down or one of the texts is one that it fails on."""

    model, dimensions = "failing", DIMENSIONS

    def __init__(self) -> None:
        self._inner = HashingEmbedder(DIMENSIONS)
        self.down = False
        self.bad: str | None = None

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors, or an error."""
        if self.down:
            raise EmbedderUnavailableError("Down.", model=self.model)
        if self.bad in texts:
            raise EmbeddingError("Bad.", model=self.model)
        return Vectors(self._inner.embed(texts).array, Usage(tokens=len(texts), requests=1))


class CacheMachine(RuleBasedStateMachine):
    """Whatever happens: right vectors or an error, and never more bytes than allowed."""

    @initialize(entries=st.integers(0, 10))
    def make(self, entries: int) -> None:
        """A cache for so many vectors."""
        self.inner = Failing()
        self.max_bytes = max(1, entries * ENTRY_BYTES)
        self.cached = CachedEmbedder(self.inner, self.max_bytes)

    @rule(down=st.booleans(), bad=st.none() | st.sampled_from(["text 1", "text 5"]))
    def change(self, down: bool, bad: str | None) -> None:
        """The wrapped embedder goes down, comes back, or fails on a text."""
        self.inner.down, self.inner.bad = down, bad

    @rule(asked=texts)
    def ask(self, asked: list[str]) -> None:
        """Vectors are those of the wrapped embedder; an error only where it has a cause."""
        before = self.cached.statistics()
        try:
            found = self.cached.embed(asked)
        except EmbedderUnavailableError:
            assert self.inner.down
        except EmbeddingError:
            assert self.inner.bad in asked
        else:
            assert (found.array == HashingEmbedder(DIMENSIONS).embed(asked).array).all()
            after = self.cached.statistics()
            assert found.usage.tokens == after.misses - before.misses
            assert after.hits - before.hits + found.usage.tokens == len(set(asked))

    @invariant()
    def bounded(self) -> None:
        """Bytes and entries agree, and the bound holds."""
        if hasattr(self, "cached"):
            found = self.cached.statistics()
            assert found.bytes == found.entries * ENTRY_BYTES <= self.max_bytes
            assert not self.cached._under_way


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=60, stateful_step_count=20)


def test_threads_never_see_anothers_vector() -> None:
    """Eight threads, a cache too small, a text that always fails: right vectors or its error."""
    inner = Failing()
    inner.bad = "text 5"
    cached = CachedEmbedder(inner, 4 * ENTRY_BYTES)
    right = {f"text {n}": HashingEmbedder(DIMENSIONS).embed([f"text {n}"]) for n in range(8)}

    def work(seed: int) -> int:
        draw, failed = random.Random(seed), 0
        for _ in range(200):
            asked = draw.sample(sorted(right), draw.randint(1, 4))
            try:
                found = cached.embed(asked).array
            except EmbeddingError:
                assert "text 5" in asked
                failed += 1
                continue
            assert "text 5" not in asked
            assert (found == np.concatenate([right[text].array for text in asked])).all()
        return failed

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8), timeout=60)) > 0
    assert not cached._under_way
