"""Engines for tests: over tables in memory, or over an endpoint's; and messages to fill them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from core.clock import SYSTEM_CLOCK, Clock
from core.errors import EmbedderUnavailableError
from core.llm.cached import CachedEmbedder
from core.llm.embedder import BlockingEmbedder, Embedder, Vectors
from core.llm.hashing import HashingEmbedder
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.model import Message
from core.memory.parts import Options, Parts, Tables
from core.memory.schema import embeddings_schema, history_schema
from core.testing.table import FakeTable

CACHE_BYTES = 4 * 1024 * 1024
FIRST_US = 1_780_000_000_000_000
QUESTION = "What is the otter called?"
_MINUTE_US = 60_000_000


@dataclass
class Calls:
    """Counts what tables are asked; `fail` may raise in place of an answer."""

    operations: list[str] = field(default_factory=list)
    fail: Callable[[str], None] = lambda _: None

    def __call__(self, operation: str) -> None:
        """What `FakeTable` calls first."""
        self.operations.append(operation)
        self.fail(operation)


class Down(BlockingEmbedder):
    """Hashing, until it is down."""

    def __init__(self) -> None:
        self._inner = HashingEmbedder()
        self.up = True

    @property
    def model(self) -> str:
        """The inner one's."""
        return self._inner.model

    @property
    def dimensions(self) -> int:
        """The inner one's."""
        return self._inner.dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Fails while it is down."""
        if not self.up:
            raise EmbedderUnavailableError("The model is away.", "Start it.")
        return self._inner.embed(texts)


def fake_tables(calls: Calls | None = None, *, index_lag: bool = False) -> Tables:
    """The two tables in memory."""
    hook = calls or Calls()
    return Tables(
        FakeTable(history_schema("t"), before_call=hook, index_lag=index_lag),
        FakeTable(embeddings_schema("t"), before_call=hook),
    )


def engine_over(
    tables: Tables,
    *,
    embedder: Embedder | None = None,
    clock: Clock = SYSTEM_CLOCK,
    options: Options | None = None,
) -> OptimizedContextEngine:
    """A new engine, as in a new process; close it."""
    chosen = CachedEmbedder(embedder or HashingEmbedder(), CACHE_BYTES)
    return OptimizedContextEngine(Parts(tables, chosen, options or Options(), clock))


def conversation(user_id: str, count: int, *, session_turns: int = 40) -> Sequence[Message]:
    """Messages of about 250 bytes, minutes apart, in sessions; always the same ones."""
    return tuple(_messages(user_id, count, session_turns))


def _messages(user_id: str, count: int, session_turns: int) -> Iterator[Message]:
    rng = random.Random(7)
    words = ["".join(rng.choices("abcdefghilmnoprstuvz", k=rng.randint(3, 9))) for _ in range(8000)]
    when_us = FIRST_US
    for number in range(count):
        when_us += rng.randint(1, 3 * _MINUTE_US)
        text = ""
        while len(text) < 240:
            text += words[min(int(rng.paretovariate(0.7)) - 1, len(words) - 1)] + " "
        yield Message(
            user_id,
            f"session-{number // session_turns:05d}",
            f"m{number:06d}",
            when_us,
            "assistant" if number % 2 else "user",
            text.strip() + ".",
        )
