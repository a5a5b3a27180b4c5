"""The two engines behind one interface, so that both are asked for the same things."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.aws.boto_table import open_table
from core.aws.capacity import Consumed
from core.aws.session import AwsSession
from core.benchmark.evaluation.dataset import Conversation, Question
from core.benchmark.layouts.exchanges import Exchanges
from core.clock import SYSTEM_CLOCK, Clock
from core.llm.cached import CachedEmbedder
from core.llm.embedder import BlockingEmbedder, Embedder, Vectors
from core.memory.bedrock_embeddings import BedrockEmbeddings
from core.memory.context_engine import WINDOW, ContextEngine
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.legacy_items import iso_text, to_item
from core.memory.memory_manager import MemoryManager
from core.memory.parts import Options, Parts, Tables
from core.memory.schema import embeddings_schema, history_schema, legacy_history_schema

LEGACY, OPTIMIZED = "legacy", "optimized"
LEGACY_WHOLE = "legacy, whole history"
"""The legacy engine, told to search all that there is: what finding as much would take of it."""
READ = 20
"""Messages that are read of the newest, and of a session."""
FOUND = 10
"""Messages that a search is to find."""
CACHE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Outcome:
    """What a call consumed; `found`: positions of what it found, best first (None: no search).

    `history` and `index` are what of a save was the history's and the search index's.
    """

    consumed: Consumed
    found: tuple[int, ...] | None = None
    history: Consumed | None = None
    index: Consumed | None = None


class Contender(Protocol):
    """An engine that is measured. Thread-safe."""

    name: str
    exchanges: Exchanges
    model: CountingEmbedder

    def load(self, user_id: str, conversation: Conversation) -> None:
        """Stores a history, all of it, as fast as it goes."""

    def fresh(self) -> Contender:
        """The same as a process has it that was just started; close it."""

    def append(self, user_id: str, session_id: str, role: str, text: str) -> Outcome:
        """Stores one message, so that it is found."""

    def recent(self, user_id: str) -> Outcome:
        """Reads the newest `READ` messages."""

    def session(self, user_id: str, session_id: str) -> Outcome:
        """Reads the newest `READ` messages of a session."""

    def context(self, user_id: str, question: Question, session_id: str) -> Outcome:
        """Builds the context of a question."""

    def search(self, user_id: str, question: Question) -> Outcome:
        """Finds the `FOUND` messages that bear most on a question."""

    def hit_rate(self) -> float:
        """The part of what was asked of its caches that they had, 0 to 1."""

    def close(self) -> None:
        """Ends what it holds."""


class CountingEmbedder(BlockingEmbedder):
    """An embedder that counts, and that takes a stated time for a call where asked to."""

    def __init__(self, inner: Embedder, clock: Clock = SYSTEM_CLOCK, call_s: float = 0.0) -> None:
        self._inner = inner
        self._clock = clock
        self._call_s = call_s
        self._lock = threading.Lock()
        self.texts = 0
        self.calls = 0

    @property
    def model(self) -> str:
        """The inner one's."""
        return self._inner.model

    @property
    def dimensions(self) -> int:
        """The inner one's."""
        return self._inner.dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The inner one's vectors."""
        with self._lock:
            self.texts += len(texts)
            self.calls += bool(texts)
        if self._call_s and texts:
            self._clock.sleep(self._call_s)
        return self._inner.embed(texts)


@dataclass(frozen=True)
class Home:
    """Where a contender lives: its client, its tables' prefix, its model, how it is set."""

    session: AwsSession
    exchanges: Exchanges
    prefix: str
    model: CountingEmbedder
    options: Options
    clock: Clock


class _Positions:
    """Which message of a conversation has which name, by user. Thread-safe once it is filled."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, int]] = {}

    def hold(self, user_id: str, names: Mapping[str, int]) -> None:
        self._held.setdefault(user_id, {}).update(names)

    def of(self, user_id: str, names: Sequence[str]) -> tuple[int, ...]:
        known = self._held.get(user_id, {})
        return tuple(known[name] for name in names if name in known)


class LegacyContender:
    """The legacy engine, its model asked as it always was: a text a call, nothing cached."""

    def __init__(
        self, home: Home, positions: _Positions | None = None, window: int = WINDOW
    ) -> None:
        """`window` messages are searched; another number, another name."""
        self._home = home
        self.name = LEGACY if window == WINDOW else LEGACY_WHOLE
        self.exchanges = home.exchanges
        self.model = home.model
        self._positions = positions or _Positions()
        self._table = open_table(home.session, legacy_history_schema(home.prefix), home.clock)
        memory = MemoryManager(self._table, home.clock, keep_days=home.options.keep_days)
        embeddings = BedrockEmbeddings(home.model)
        self._engine = ContextEngine(memory, embeddings, home.clock, window=window)

    def load(self, user_id: str, conversation: Conversation) -> None:
        """Stores a history under keys of the kind that the engine makes."""
        numbered = [
            (f"{iso_text(m.timestamp_us)}#{number:08d}-benchmrk", m)
            for number, m in enumerate(conversation.messages)
        ]
        self._table.batch_write(
            [
                to_item(dataclasses.replace(m, user_id=user_id, message_id=name))
                for name, m in numbered
            ]
        )
        names = {name: number for number, (name, _) in enumerate(numbered)}
        self._positions.hold(user_id, names)

    def fresh(self) -> LegacyContender:
        """A new engine; it never knew anything of anybody."""
        return LegacyContender(self._home, self._positions, self._engine.window)

    def whole(self, messages: int) -> LegacyContender:
        """The same, which searches a history of so many messages from its end to its beginning."""
        return LegacyContender(self._home, self._positions, messages)

    def append(self, user_id: str, session_id: str, role: str, text: str) -> Outcome:
        """A put."""
        saved = self._engine.memory.save_message(user_id, session_id, role, text)
        return Outcome(saved.consumed, history=saved.consumed, index=Consumed())

    def recent(self, user_id: str) -> Outcome:
        """A query of the newest."""
        return Outcome(self._engine.memory.get_recent_context(user_id, READ).consumed)

    def session(self, user_id: str, session_id: str) -> Outcome:
        """Reads backwards until there are enough."""
        found = self._engine.memory.get_session_history(user_id, session_id, READ)
        return Outcome(found.consumed)

    def context(self, user_id: str, question: Question, session_id: str) -> Outcome:
        """The window, compared."""
        context = self._engine.build_context(question.text, user_id, session_id)
        names = [line.message.message_id for line in context.lines]
        return Outcome(context.consumed, self._positions.of(user_id, names))

    def search(self, user_id: str, question: Question) -> Outcome:
        """The window's nearest."""
        window = self._engine.memory.get_recent_context(user_id, self._engine.window)
        similar = self._engine.embeddings.find_similar(question.text, window, FOUND)
        names = [ranked.message.message.message_id for ranked in similar.items]
        return Outcome(window.consumed, self._positions.of(user_id, names))

    def hit_rate(self) -> float:
        """It has no cache."""
        return 0.0

    def close(self) -> None:
        """It holds nothing."""


class OptimizedContender:
    """The optimized engine, as it is shipped."""

    name = OPTIMIZED

    def __init__(self, home: Home, positions: _Positions | None = None) -> None:
        self._home = home
        self.exchanges = home.exchanges
        self.model = home.model
        self._positions = positions or _Positions()
        self._engine = OptimizedContextEngine(self._parts())

    def _parts(self) -> Parts:
        home = self._home
        tables = Tables(
            open_table(home.session, history_schema(home.prefix), home.clock),
            open_table(home.session, embeddings_schema(home.prefix), home.clock),
        )
        embedder = CachedEmbedder(home.model, CACHE_BYTES, home.clock)
        return Parts(tables, embedder, home.options, home.clock)

    def load(self, user_id: str, conversation: Conversation) -> None:
        """Imports a history."""
        messages = [dataclasses.replace(m, user_id=user_id) for m in conversation.messages]
        saved = self._engine.import_messages(user_id, messages)
        numbers = {m.message_id: n for n, m in enumerate(messages)}
        places = {a.place: numbers[a.message.message_id] for a in saved.appended}
        self._positions.hold(user_id, {**numbers, **places})

    def fresh(self) -> OptimizedContender:
        """A new engine, which knows no user yet."""
        return OptimizedContender(self._home, self._positions)

    def moved(self, home: Home) -> OptimizedContender:
        """A new engine over the same tables that lives otherwise: with a Redis, say."""
        return OptimizedContender(home, self._positions)

    def append(self, user_id: str, session_id: str, role: str, text: str) -> Outcome:
        """Stores and indexes."""
        saved = self._engine.memory.save_conversation_optimized(user_id, session_id, [(role, text)])
        return Outcome(saved.history + saved.index, history=saved.history, index=saved.index)

    def recent(self, user_id: str) -> Outcome:
        """The newest, as previews."""
        return Outcome(self._engine.memory.get_recent_context_optimized(user_id, READ).consumed)

    def session(self, user_id: str, session_id: str) -> Outcome:
        """The session's newest."""
        memory = self._engine.memory
        return Outcome(memory.get_session_context_optimized(user_id, session_id, READ).consumed)

    def context(self, user_id: str, question: Question, session_id: str) -> Outcome:
        """Recent, session and found ones."""
        context = self._engine.build_context(question.text, user_id, session_id)
        names = [line.message_id for line in context.lines]
        return Outcome(context.consumed, self._positions.of(user_id, names))

    def search(self, user_id: str, question: Question) -> Outcome:
        """By words and vectors."""
        found = self._engine.find(question.text, user_id, FOUND)
        names = [match.place for match in found.items]
        return Outcome(found.consumed, self._positions.of(user_id, names))

    def hit_rate(self) -> float:
        """Of questions' vectors, and of contexts where there is a Redis."""
        return float(self._engine.get_performance_metrics()["cache_hit_rate"])

    def close(self) -> None:
        """Ends its threads."""
        self._engine.close()


class Saying:
    """Things to say, one after the other, as a conversation goes on. Thread-safe."""

    def __init__(self, conversation: Conversation) -> None:
        self._texts = [m.content for m in conversation.messages if m.content.strip()]
        self._count = itertools.count()

    def next(self) -> tuple[str, str]:
        """Who says what: `(role, text)`."""
        number = next(self._count)
        return ("user", "assistant")[number % 2], self._texts[number % len(self._texts)]
