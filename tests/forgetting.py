"""What tests of forgetting share: tables, messages to fill them, and all ways of reading."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from core.aws.capacity import TableSchema
from core.errors import EndpointUnreachableError
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.model import Message
from core.memory.parts import Parts, Tables
from core.memory.schema import (
    embeddings_schema,
    history_schema,
    legacy_schemas,
)
from core.memory.scope import Scope
from core.testing.table import FakeTable
from tests.engines import FIRST_US, Calls, conversation

LARGE = 800_000


def noise(seed: int, size: int = LARGE) -> str:
    """A text that no compression makes fit into one item."""
    return "".join(random.Random(seed).choices("".join(map(chr, range(0x4E00, 0x9E00))), k=size))


LARGE_TEXT = noise(1)

SMALLER_TEXT = noise(2, 220_000)

SCOPES = (Scope("ada"), Scope("ada", "session-00000"), Scope("ada", None, "m000001"))


def make_tables(calls: Calls | None = None, *, index_lag: bool = False) -> Tables:
    """All tables in memory, the legacy ones too."""
    hook = calls or Calls()

    def table(schema: TableSchema) -> FakeTable:
        return FakeTable(schema, before_call=hook, index_lag=index_lag)

    return Tables(
        table(history_schema("t")),
        table(embeddings_schema("t")),
        tuple(map(table, legacy_schemas("t"))),
    )


def everything(tables: Tables) -> list[str]:
    """Everything in all tables, as text."""
    return [
        repr(item)
        for table in (tables.history, tables.embeddings, *tables.legacy)
        if isinstance(table, FakeTable)
        for item in table.all_items()
    ]


def keys_of(tables: Tables, user: str) -> list[str]:
    """The items under a user's keys, in any table."""
    encoded = user.replace("%", "%25").replace("#", "%23")
    found = []
    for table in (tables.history, tables.embeddings, *tables.legacy):
        assert isinstance(table, FakeTable)
        for item in table.all_items():
            key = str(item[table.schema.hash_key])
            own = key == user if table in tables.legacy else key.startswith(f"{encoded}#")
            if own:
                found.append(f"{key} {item[table.schema.range_key or '']}")
    return found


def parts_of(engine: OptimizedContextEngine) -> Parts:
    """The engine's parts."""
    return engine._parts


def fill(engine: OptimizedContextEngine, user: str, count: int = 12) -> Sequence[Message]:
    """Messages in sessions of four; and a large one in a session of its own."""
    messages = conversation(user, count, session_turns=4)
    engine.import_messages(user, messages)
    return messages


def large(user: str, n: int = 0, session: str = "big") -> Message:
    """A message in parts."""
    return Message(user, session, f"large{n}", FIRST_US + n, "user", LARGE_TEXT)


def legacy(tables: Tables, user: str) -> None:
    """An item in each legacy table."""
    for table in tables.legacy:
        table.put(
            {
                "user_id": user,
                table.schema.range_key or "": "session-00001",
                "session_id": "session-00001",
                "content": "old",
            }
        )


def ways(engine: OptimizedContextEngine, user: str, session: str = "session-00001") -> str:
    """What every way of reading gives, as one text."""
    question = "the words of the text"
    places = [p for some, _ in parts_of(engine).store.list_places(user) for p in some]
    return repr(
        [
            engine.build_context_for_query_optimized(question, user, session).split("\n")[1:],
            engine.memory.get_recent_context_optimized(user, 50, whole=True).items,
            engine.memory.get_session_context_optimized(user, session, 50).items,
            engine.embeddings.find_similar_conversations_optimized(question, user, 50).items,
            [m.place for m in engine.find(question, user).items],
            [m for page in parts_of(engine).store.read_all(user) for m in page.items],
            places,
        ]
    )


def raise_at(operation: str) -> Callable[[str], None]:
    """Fails each call of the operation."""

    def fail(called: str) -> None:
        if called == operation:
            raise EndpointUnreachableError("gone")

    return fail


def fail_after(calls: int) -> Callable[[str], None]:
    """Fails at that call, and at all that follow."""
    left = [calls]

    def fail(_: str) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise EndpointUnreachableError("gone")

    return fail
