"""The memory of a project at a target, put together."""

from __future__ import annotations

from core.aws.boto_table import open_table
from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK, Clock
from core.llm.embedder import Embedder
from core.memory.bedrock_embeddings import BedrockEmbeddings
from core.memory.context_engine import ContextEngine
from core.memory.memory_manager import MemoryManager
from core.memory.schema import history_schema, legacy_history_schema
from core.memory.store import ConversationStore


def open_store(session: AwsSession, project: str, clock: Clock = SYSTEM_CLOCK) -> ConversationStore:
    """The project's messages; sends nothing yet. Close it (or use `with`) when done."""
    return ConversationStore(open_table(session, history_schema(project), clock), clock)


def open_legacy_engine(
    session: AwsSession,
    project: str,
    embedder: Embedder,
    clock: Clock = SYSTEM_CLOCK,
    *,
    keep_days: float | None = None,
) -> ContextEngine:
    """The legacy engine over the project's legacy table; sends nothing yet, needs no closing.

    What it saves expires after `keep_days` days (None: never).
    """
    table = open_table(session, legacy_history_schema(project), clock)
    memory = MemoryManager(table, clock, keep_days=keep_days)
    return ContextEngine(memory, BedrockEmbeddings(embedder), clock)
