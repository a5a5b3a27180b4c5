"""Reindexing as the command line does it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ialctl.context import AppContext
from ialctl.progress import LiveBars
from ialctl.words import counted

if TYPE_CHECKING:
    from core.llm.embedder import Embedder
    from core.memory.reindexing import Reindexed
    from core.settings import Settings

_INDEX_MB = 32


def reindexed(
    context: AppContext,
    user: str | None = None,
    *,
    settings: Settings | None = None,
    dry_run: bool = False,
    stop: Callable[[], bool] = lambda: False,
    observe: Callable[[Reindexed], None] = lambda _: None,
) -> Reindexed:
    """Gives vectors to all messages that lack one, of all users or of one.

    With `settings` in place of the context's: of their model, into their index.

    Raises:
        UsageError: their index was begun with another model.
    """
    from core.aws.boto_table import open_table
    from core.aws.capacity import TableSchema
    from core.memory.active import operations_table
    from core.memory.parts import open_parts
    from core.memory.reindexing import Reindexer

    chosen = settings or context.settings
    operations = TableSchema(operations_table(chosen.project), "pk", "sk")
    # Users come one after the other: what is kept of those before is of no use.
    known = min(chosen.index_memory_mb, _INDEX_MB)
    small = dataclasses.replace(chosen, index_memory_mb=known)
    with open_parts(small, context.session, context.clock) as parts:
        if chosen.index_generation != context.settings.index_generation:
            _check_model(context, chosen.index_generation, parts.embedder, note=not dry_run)
        reindexer = Reindexer(
            parts,
            context.session,
            open_table(context.session, operations, context.clock),
            context.clock,
            stop=stop,
            observe=observe,
        )
        if user is None:
            return reindexer.all_users(dry_run=dry_run)
        return reindexer.user(user, dry_run=dry_run)


def _check_model(context: AppContext, generation: str, embedder: Embedder, *, note: bool) -> None:
    from core.llm.choosing import open_embedder
    from core.memory.generations import open_generations

    settings = context.settings
    generations = open_generations(context.session, settings.project, context.clock)
    generations.check(generation, embedder.model, embedder.dimensions)
    if note:
        # Of what model the one in use is, nobody can tell any more once others are set.
        used = open_embedder(settings, context.session, context.clock)
        generations.note(settings.index_generation, used.model, used.dimensions)
        generations.note(generation, embedder.model, embedder.dimensions)


class UserProgress(LiveBars):
    """How many users and messages were looked at. Thread-safe."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(context)
        self._lock = threading.Lock()
        self._task: Any = None

    def _columns(self) -> Sequence[Any]:
        from rich.progress import SpinnerColumn, TextColumn

        return (SpinnerColumn(), TextColumn("{task.description}", markup=False))

    def __call__(self, done: Reindexed) -> None:
        """Shows how far it is."""
        with self._lock:
            if self._bars is None:
                self._say(lambda: _words(done))
                return
            if self._task is None:
                self._task = self._bars.add_task("", total=None)
            self._bars.update(self._task, description=_words(done))


def _words(done: Reindexed) -> str:
    return (
        f"{counted(done.users, 'user')}, {counted(done.seen, 'message')}: "
        f"{done.embedded:,} given a vector"
    )
