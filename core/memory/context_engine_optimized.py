"""The optimized engine: the right context in one round trip, however long the history.

    engine = OptimizedContextEngine()
    engine.save_interaction_optimized("My dog is called Ludwig.", "A fine name!", "ada", "s1")
    prompt = engine.build_context_for_query_optimized("What is her dog called?", "ada", "s1")

One engine serves many users and threads. What it holds of a user are copies of what stands in the
tables, bounded in bytes and brought up to date at every context.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from core.aws.capacity import Consumed
from core.aws.embedded import open_session
from core.errors import UsageError
from core.llm.cached import CachedEmbedder
from core.memory.asynchronous import in_thread
from core.memory.bedrock_embeddings_optimized import OptimizedBedrockEmbeddings
from core.memory.context import Context, ContextBuilder, assemble, check_question
from core.memory.forgetting import Receipt
from core.memory.gathering import Gathered, Question
from core.memory.lexical import LexicalRetriever
from core.memory.memory_manager_optimized import OptimizedMemoryManager
from core.memory.metrics import Durations, Totals
from core.memory.model import Message
from core.memory.parts import Parts, open_parts
from core.memory.saving import Saved
from core.memory.scope import Scope, older_than
from core.settings import load_settings

_QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Match:
    """A message that bears on a question: its sort key, its score and what that is made up of."""

    place: str
    score: float
    parts: Mapping[str, float]


@dataclass(frozen=True)
class Matches:
    """What a search found, best first; `missing` in sentences."""

    items: tuple[Match, ...]
    consumed: Consumed
    searched: int
    missing: tuple[str, ...]
    timings_ms: Mapping[str, float]


class OptimizedContextEngine(AbstractContextManager["OptimizedContextEngine"]):
    """Contexts for agents. Thread-safe; no state of any user's but copies. Close it when done.

    Every operation raises `UsageError` for an id that no message can have; `NotFoundError` where
    the memory is not deployed; `TargetError`s and `ThrottledError` where the target fails.
    """

    def __init__(self, parts: Parts | None = None) -> None:
        """Over `parts`, or over the memory that the settings of this process name."""
        self._parts = parts or default_parts()
        p = self._parts
        self._totals = Totals()
        self.memory = OptimizedMemoryManager(
            p.store, p.saver, p.reader, p.copies, p.clock, p.ids, self._totals, p.options.keep_days
        )
        self.embeddings = OptimizedBedrockEmbeddings(p.embedder, p.writer, p.nearest, p.search)
        self._unindexed = ContextBuilder(p.store, LexicalRetriever(p.store), p.clock)
        self._builds = Durations()
        self._searches = Durations()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the engine's threads."""
        self._parts.close()

    def build_context_for_query_optimized(
        self, query: str, user_id: str, session_id: str | None = None
    ) -> str:
        """The text of `build_context`; raises the same."""
        return self.build_context(query, user_id, session_id).text

    def build_context(
        self,
        query: str,
        user_id: str,
        session_id: str | None = None,
        budget_tokens: int | None = None,
    ) -> Context:
        """The context of a question: recent, session and matching messages, within a budget.

        Lines stand in order of time, so that a prompt that grows keeps its beginning. What could
        not be had (the search by meaning while the embedder is down) is said in `missing`.

        Raises:
            UsageError: an empty question, an id that no message can have, or too small a budget.
        """
        budget = self._parts.options.token_budget if budget_tokens is None else budget_tokens
        check_question(query, user_id, session_id, budget)
        kept = self._parts.contexts
        if kept is None:
            context = self._build(query, user_id, session_id, budget)
        else:
            question = (query, user_id, session_id, budget)
            context = kept.get_or_build(question, lambda: self._build(*question))
        self._builds.add(context.timings_ms["total"])
        self._searches.add(context.timings_ms.get("search", 0.0))
        self._totals.add("contexts", context.consumed)
        if context.cached:
            self._totals.add("cached")
        return context

    def _build(
        self, query: str, user_id: str, session_id: str | None, budget_tokens: int
    ) -> Context:
        gathered = self._parts.gatherer.gather(Question(query, user_id, session_id))
        if gathered.indexed:
            return _context(gathered, budget_tokens)
        return self._without_index(gathered, query, user_id, session_id, budget_tokens)

    async def build_context_async(
        self,
        query: str,
        user_id: str,
        session_id: str | None = None,
        budget_tokens: int | None = None,
    ) -> Context:
        """As `build_context`, without blocking the event loop."""
        return await in_thread(
            lambda: self.build_context(query, user_id, session_id, budget_tokens)
        )

    async def build_context_for_query_optimized_async(
        self, query: str, user_id: str, session_id: str | None = None
    ) -> str:
        """As `build_context_for_query_optimized`, without blocking the event loop."""
        return (await self.build_context_async(query, user_id, session_id)).text

    def save_interaction_optimized(
        self,
        user_input: str,
        assistant_response: str,
        user_id: str,
        session_id: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> Saved:
        """Stores and indexes what the user said and what was answered, as two messages.

        Raises:
            UsageError: something about one can't be stored; then neither is.
        """
        texts = (("user", user_input), ("assistant", assistant_response))
        return self.memory.save_conversation_optimized(user_id, session_id, texts, metadata)

    async def save_interaction_optimized_async(
        self,
        user_input: str,
        assistant_response: str,
        user_id: str,
        session_id: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> Saved:
        """As `save_interaction_optimized`, without blocking the event loop."""
        return await in_thread(
            lambda: self.save_interaction_optimized(
                user_input, assistant_response, user_id, session_id, metadata
            )
        )

    def import_messages(self, user_id: str, messages: Sequence[Message]) -> Saved:
        """Stores and indexes many messages of one user that have times and ids of their own.

        May be done again: what stands already is found, not doubled, and is indexed if it was not.

        Raises:
            UsageError: a message is another user's, or can't be stored.
        """
        return self._totals.saved(self._parts.saver.save_many(user_id, messages))

    async def import_messages_async(self, user_id: str, messages: Sequence[Message]) -> Saved:
        """As `import_messages`, without blocking the event loop."""
        return await in_thread(lambda: self.import_messages(user_id, messages))

    def forget_user(self, user_id: str, *, wait: bool = True) -> Receipt:
        """Removes all that stands of a user, in every table and copy, and checks that it is gone.

        May take a minute where something was written a moment ago: until no other process shows
        it. With `wait` False the receipt says until when one may. Killed, it is completed by the
        same call again.
        """
        return self._parts.forgetter.forget(Scope(user_id), wait=wait)

    async def forget_user_async(self, user_id: str, *, wait: bool = True) -> Receipt:
        """As `forget_user`, without blocking the event loop."""
        return await in_thread(lambda: self.forget_user(user_id, wait=wait))

    def forget_session(self, user_id: str, session_id: str, *, wait: bool = True) -> Receipt:
        """As `forget_user`, of one session."""
        return self._parts.forgetter.forget(Scope(user_id, session_id), wait=wait)

    async def forget_session_async(
        self, user_id: str, session_id: str, *, wait: bool = True
    ) -> Receipt:
        """As `forget_session`, without blocking the event loop."""
        return await in_thread(lambda: self.forget_session(user_id, session_id, wait=wait))

    def forget_message(self, user_id: str, message_id: str, *, wait: bool = True) -> Receipt:
        """As `forget_user`, of the messages with this id, or the one at this sort key."""
        return self._parts.forgetter.forget(Scope(user_id, None, message_id), wait=wait)

    async def forget_message_async(
        self, user_id: str, message_id: str, *, wait: bool = True
    ) -> Receipt:
        """As `forget_message`, without blocking the event loop."""
        return await in_thread(lambda: self.forget_message(user_id, message_id, wait=wait))

    def cleanup_old_data(self, user_id: str, older_than_days: float) -> Receipt:
        """Removes a user's messages whose own time lies further back; the legacy tables are left.

        Raises:
            UsageError: less than no days, or more than there are.
        """
        forgetter = self._parts.forgetter
        return forgetter.forget(older_than(user_id, older_than_days, self._parts.clock.time()))

    async def cleanup_old_data_async(self, user_id: str, older_than_days: float) -> Receipt:
        """As `cleanup_old_data`, without blocking the event loop."""
        return await in_thread(lambda: self.cleanup_old_data(user_id, older_than_days))

    def find(self, query: str, user_id: str, limit: int = 50) -> Matches:
        """The messages of a user that bear on a question, best first, by words and vectors.

        Raises:
            UsageError: an empty question, or a limit below 1.
        """
        if not query.strip():
            raise UsageError("The question is empty.", "Ask something.")
        if limit < 1:
            raise UsageError(f"{limit} messages were asked for.", "Ask for one at least.")
        gathered = self._parts.gatherer.gather(Question(query, user_id, hits=limit))
        return Matches(
            tuple(Match(p, s.score or 0.0, s.parts) for p, s in gathered.ranked),
            gathered.consumed,
            gathered.searched,
            gathered.missing,
            gathered.timings_ms,
        )

    async def find_async(self, query: str, user_id: str, limit: int = 50) -> Matches:
        """As `find`, without blocking the event loop."""
        return await in_thread(lambda: self.find(query, user_id, limit))

    def get_performance_metrics(self) -> dict[str, Any]:
        """What this engine did since it was made; times of the last 4,096 contexts.

        `avg_context_build_ms`, `avg_embedding_search_ms`; `p50`, `p95`, `p99_context_build_ms`;
        `cache_hit_rate` of contexts and questions' vectors; `cache` how the contexts' cache and
        Redis are doing (None without Redis); `memory_bytes_per_session` and `memory_bytes` of
        users' copies; `consumption` in read and write units and requests, by what for.
        """
        p50, p95, p99 = self._builds.quantiles(_QUANTILES)
        held = self._parts.copies.bytes()
        return {
            "contexts": self._totals.count("contexts"),
            "saves": self._totals.count("saves"),
            "avg_context_build_ms": self._builds.mean(),
            "avg_embedding_search_ms": self._searches.mean(),
            "p50_context_build_ms": p50,
            "p95_context_build_ms": p95,
            "p99_context_build_ms": p99,
            "cache_hit_rate": self._hit_rate(),
            "cache": self._cache_state(),
            "memory_bytes": sum(held.values()),
            "memory_bytes_per_session": sum(held.values()) / len(held) if held else 0.0,
            "users_in_memory": len(held),
            "consumption": {
                what: dataclasses.asdict(consumed)
                for what, consumed in self._totals.consumed().items()
            },
        }

    def _hit_rate(self) -> float:
        kept = self._parts.contexts is not None
        hits = self._totals.count("cached")
        asked = self._totals.count("contexts") if kept else 0
        embedder = self._parts.embedder
        if isinstance(embedder, CachedEmbedder):
            counts = embedder.statistics()
            hits += counts.hits + counts.shared
            asked += counts.hits + counts.shared + counts.misses
        return hits / asked if asked else 0.0

    def _cache_state(self) -> dict[str, Any] | None:
        kept = self._parts.contexts
        return None if kept is None else dataclasses.asdict(kept.stats())

    def _without_index(
        self, gathered: Gathered, query: str, user_id: str, session_id: str | None, budget: int
    ) -> Context:
        """Where no message is indexed or no index to be read: by words, out of the history."""
        context = self._unindexed.build(query, user_id, session_id, budget)
        none = "None of the user's messages is indexed"
        why = "The index can't be read" if gathered.unread else none
        note = f"{why}: messages were searched by their words only."
        return dataclasses.replace(
            context,
            complete=context.complete and not gathered.missing,
            consumed=gathered.consumed + context.consumed,
            missing=(note, *gathered.missing),
        )


def default_parts() -> Parts:
    """The parts that this process's settings name; sends nothing yet.

    Raises:
        SettingsError: the settings can't be used.
        LocalEndpointError: the target is the local one, and it does not run.
    """
    settings = load_settings().settings
    return open_parts(settings, open_session(settings))


def _context(gathered: Gathered, budget_tokens: int) -> Context:
    return dataclasses.replace(
        assemble(gathered.candidates, budget_tokens),
        searched=gathered.searched,
        complete=gathered.complete,
        consumed=gathered.consumed,
        timings_ms=gathered.timings_ms,
        missing=gathered.missing,
        embeddings_made=gathered.embeddings_made,
    )
