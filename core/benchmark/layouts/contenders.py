"""The two engines behind one interface, so that both are asked for the same things."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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
from core.memory.model import Message
from core.memory.parts import Options, Parts, Tables
from core.memory.schema import embeddings_schema, history_schema, legacy_history_schema

LEGACY, OPTIMIZED = "legacy", "optimized"
LEGACY_WHOLE = "legacy, whole history"
"""The legacy engine, told to search all that there is: what finding as much would take of it."""
LEGACY_INLINE = "legacy, vectors inline"
"""The legacy engine over items that carry their vectors, as many installations have them."""
INLINE_SUFFIX = "-inline"
_INLINE_MESSAGES = 300
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
        self,
        home: Home,
        positions: _Positions | None = None,
        window: int = WINDOW,
        *,
        inline: bool = False,
    ) -> None:
        """`window` messages are searched; `inline`: items carry vectors. Each has its own name."""
        self._home = home
        self._inline = inline
        self.name = LEGACY_INLINE if inline else LEGACY if window == WINDOW else LEGACY_WHOLE
        self.exchanges = home.exchanges
        self.model = home.model
        self._positions = positions or _Positions()
        self._table = open_table(home.session, legacy_history_schema(home.prefix), home.clock)
        memory = MemoryManager(self._table, home.clock, keep_days=home.options.keep_days)
        embeddings = BedrockEmbeddings(home.model)
        self._engine = ContextEngine(memory, embeddings, home.clock, window=window)

    def load(self, user_id: str, conversation: Conversation) -> None:
        """Stores a history under keys of the kind that the engine makes.

        With vectors only as much of its end as the engine ever looks at: the rest would be written
        to no purpose.
        """
        numbered = list(enumerate(conversation.messages))
        user = self._user(user_id)
        kept = numbered[-_INLINE_MESSAGES:] if self._inline else numbered
        items = [self._item(user, number, message) for number, message in kept]
        self._table.batch_write(items)
        first = kept[0][0]
        names = {str(item["sort_key"]): first + n for n, item in enumerate(items)}
        self._positions.hold(user, names)

    def _item(self, user: str, number: int, message: Message) -> dict[str, Any]:
        name = f"{iso_text(message.timestamp_us)}#{number:08d}-benchmrk"
        named = dataclasses.replace(message, user_id=user, message_id=name)
        return to_item(named, self._vector(message.content))

    def _vector(self, text: str) -> list[float] | None:
        if not self._inline or not text.strip():
            return None
        return self._engine.embeddings.generate_embedding(text)

    def _user(self, user_id: str) -> str:
        return f"{user_id}{INLINE_SUFFIX}" if self._inline else user_id

    def fresh(self) -> LegacyContender:
        """A new engine; it never knew anything of anybody."""
        window = self._engine.window
        return LegacyContender(self._home, self._positions, window, inline=self._inline)

    def whole(self, messages: int) -> LegacyContender:
        """The same, which searches a history of so many messages from its end to its beginning."""
        return LegacyContender(self._home, self._positions, messages)

    def inline(self) -> LegacyContender:
        """The same over users of its own, whose items carry their vectors."""
        return LegacyContender(self._home, self._positions, inline=True)

    def append(self, user_id: str, session_id: str, role: str, text: str) -> Outcome:
        """A put."""
        user, vector = self._user(user_id), self._vector(text)
        memory = self._engine.memory
        saved = memory.save_message(user, session_id, role, text, embedding=vector)
        return Outcome(saved.consumed, history=saved.consumed, index=Consumed())

    def recent(self, user_id: str) -> Outcome:
        """A query of the newest."""
        found = self._engine.memory.get_recent_context(self._user(user_id), READ)
        return Outcome(found.consumed)

    def session(self, user_id: str, session_id: str) -> Outcome:
        """Reads backwards until there are enough."""
        found = self._engine.memory.get_session_history(self._user(user_id), session_id, READ)
        return Outcome(found.consumed)

    def context(self, user_id: str, question: Question, session_id: str) -> Outcome:
        """The window, compared."""
        user = self._user(user_id)
        context = self._engine.build_context(question.text, user, session_id)
        names = [line.message.message_id for line in context.lines]
        return Outcome(context.consumed, self._positions.of(user, names))

    def search(self, user_id: str, question: Question) -> Outcome:
        """The window's nearest."""
        user = self._user(user_id)
        window = self._engine.memory.get_recent_context(user, self._engine.window)
        similar = self._engine.embeddings.find_similar(question.text, window, FOUND)
        names = [ranked.message.message.message_id for ranked in similar.items]
        return Outcome(window.consumed, self._positions.of(user, names))

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
