"""The composition root: everything that a program needs of the memory, wired from its settings.

with open_engine() as engine:
    engine.save_interaction("My dog is called Ludwig.", "A fine name!", "ada", "s1")
    print(engine.build_context_for_query("What is her dog called?", "ada", "s1"))
"""

from __future__ import annotations

from core.aws.embedded import open_session
from core.clock import SYSTEM_CLOCK, Clock
from core.llm.choosing import open_embedder
from core.memory.active import ActiveEngine
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.opening import open_legacy_engine
from core.memory.parts import open_parts
from core.memory.routed_engine import RoutedEngine
from core.settings import Settings, load_settings


def open_engine(settings: Settings | None = None, clock: Clock = SYSTEM_CLOCK) -> RoutedEngine:
    """The engine that is active where the settings point to (None: this process's own).

    Begins to read which engine that is; sends nothing else yet. Close it when done.

    Raises:
        SettingsError: the settings can't be used.
        LocalEndpointError: the target is the local one, and it does not run.
    """
    chosen = settings or load_settings().settings
    session = open_session(chosen, clock)
    embedder = open_embedder(chosen, session, clock)
    return RoutedEngine(
        lambda: OptimizedContextEngine(open_parts(chosen, session, clock, embedder=embedder)),
        lambda: open_legacy_engine(
            session, chosen.project, embedder, clock, keep_days=chosen.expire_days
        ),
        ActiveEngine(session.client("dynamodb"), chosen.project, clock),
    )
