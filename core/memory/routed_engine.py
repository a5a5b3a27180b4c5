"""One engine for callers that need not know which one is active.

`legacy` and `optimized` are read and written alone. `dual` writes both and reads the legacy one,
which is complete, while old messages are still being copied; the very messages that the legacy
table got are saved, with their ids and times, so that copying them later doubles none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from core.errors import IalError
from core.memory.asynchronous import in_thread
from core.memory.context import Context
from core.memory.context_engine import ContextEngine, LegacyContext
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.model import Appended


class Active(Protocol):
    """Knows which engine is active."""

    @property
    def name(self) -> str:
        """`legacy`, `dual` or `optimized`."""


@dataclass(frozen=True)
class SavedBy:
    """What was saved, by which engine; `missing` says in sentences what could not be done yet."""

    engine: str
    appended: tuple[Appended, ...]
    missing: tuple[str, ...] = ()


class RoutedEngine(AbstractContextManager["RoutedEngine"]):
    """Contexts and interactions by whichever engine is active, asked at every call. Thread-safe."""

    def __init__(
        self,
        optimized: Callable[[], OptimizedContextEngine],
        legacy: Callable[[], ContextEngine],
        active: Active,
    ) -> None:
        """The engines are opened when they are first needed."""
        self._open_optimized = optimized
        self._open_legacy = legacy
        self._active = active
        self._opening = threading.Lock()
        self._optimized: OptimizedContextEngine | None = None
        self._legacy: ContextEngine | None = None

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def active(self) -> str:
        """Which engine is active: `legacy`, `dual` or `optimized`."""
        return self._active.name

    @property
    def optimized(self) -> OptimizedContextEngine:
        """The optimized engine, active or not."""
        with self._opening:
            if self._optimized is None:
                self._optimized = self._open_optimized()
            return self._optimized

    @property
    def legacy(self) -> ContextEngine:
        """The legacy engine, active or not."""
        with self._opening:
            if self._legacy is None:
                self._legacy = self._open_legacy()
            return self._legacy

    def build_context_for_query(
        self, query: str, user_id: str, session_id: str | None = None
    ) -> str:
        """The text of `build_context`; raises the same."""
        return self.build_context(query, user_id, session_id).text

    async def build_context_for_query_async(
        self, query: str, user_id: str, session_id: str | None = None
    ) -> str:
        """As `build_context_for_query`, without blocking the event loop."""
        return await in_thread(lambda: self.build_context_for_query(query, user_id, session_id))

    def build_context(
        self, query: str, user_id: str, session_id: str | None = None
    ) -> Context | LegacyContext:
        """The context of a question, from the optimized engine if it alone is active.

        Raises:
            UsageError: an empty question, or an id that no message can have.
        """
        if self.active == "optimized":
            return self.optimized.build_context(query, user_id, session_id)
        return self.legacy.build_context(query, user_id, session_id)

    def save_interaction(
        self,
        user_input: str,
        assistant_response: str,
        user_id: str,
        session_id: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> SavedBy:
        """Stores what the user said and what was answered, wherever that is to be stored now.

        While both are written the legacy table is the one that counts: what the optimized one
        could not take is told, and copied by the migration.

        Raises:
            UsageError: something about a message can't be stored; then none is.
        """
        name = self.active
        what = (user_input, assistant_response, user_id, session_id, metadata)
        if name == "optimized":
            saved = self.optimized.save_interaction_optimized(*what)
            return SavedBy(name, saved.appended, saved.missing)
        appended = self.legacy.save_interaction(*what)
        if name == "legacy":
            return SavedBy(name, appended)
        try:
            both = self.optimized.import_messages(user_id, [one.message for one in appended])
        except IalError as error:
            return SavedBy(name, appended, (f"Stored in the legacy table only: {error.what}",))
        return SavedBy(name, appended, both.missing)

    async def save_interaction_async(
        self,
        user_input: str,
        assistant_response: str,
        user_id: str,
        session_id: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> SavedBy:
        """As `save_interaction`, without blocking the event loop."""
        what = (user_input, assistant_response, user_id, session_id, metadata)
        return await in_thread(lambda: self.save_interaction(*what))

    def close(self) -> None:
        """Ends the engines' threads."""
        if self._optimized is not None:
            self._optimized.close()
