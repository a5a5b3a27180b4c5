"""Generations of the index: each for itself in one table, and none forgotten when forgetting."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from core.aws.capacity import TableSchema
from core.clock import Clock
from core.errors import UsageError
from core.llm.cached import CachedEmbedder
from core.llm.hashing import HashingEmbedder
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.generations import (
    Generations,
    Once,
    generation_of,
    table_of,
    tables_elsewhere,
)
from core.memory.parts import Options, Parts, Tables
from core.memory.scope import Scope
from core.testing.clock import FakeClock
from core.testing.table import FakeTable
from tests.engines import CACHE_BYTES, conversation
from tests.forgetting import everything, keys_of, make_tables, parts_of

NAMES = ("", "old", "new")


@dataclasses.dataclass
class World:
    """Tables, and engines over each generation of their index."""

    tables: Tables
    generations: Generations
    clock: Clock
    engines: dict[str, OptimizedContextEngine] = dataclasses.field(default_factory=dict)

    def open(self, name: str) -> OptimizedContextEngine:
        """A process of that generation, with a model of its own."""
        embedder = HashingEmbedder(32 + 8 * NAMES.index(name))
        whole, notes = self.tables.embeddings, self.generations
        note = Once(lambda: notes.note(name, embedder.model, embedder.dimensions))
        tables = dataclasses.replace(
            self.tables,
            embeddings=table_of(whole, name, note),
            elsewhere=tables_elsewhere(whole, notes, name),
        )
        parts = Parts(
            tables, CachedEmbedder(embedder, CACHE_BYTES), Options(generation=name), self.clock
        )
        self.engines[name] = OptimizedContextEngine(parts)
        return self.engines[name]


@pytest.fixture
def world(clock: FakeClock) -> Iterator[World]:
    """Two users in all three generations, one of which was dropped."""
    notes = Generations(FakeTable(TableSchema("t-operations", "pk", "sk")), clock)
    made = World(make_tables(), notes, clock)
    for name in NAMES:
        made.open(name)
    for user in ("ada", "ada~new"):
        made.engines[""].import_messages(user, conversation(user, 30, session_turns=4))
        for name in ("old", "new"):
            parts_of(made.engines[name]).catching.catch_up(user)
    # Its process has not heard of it.
    notes.note_dropped("old")
    yield made
    for engine in made.engines.values():
        engine.close()


def _items(world: World, name: str) -> int:
    assert isinstance(world.tables.embeddings, FakeTable)
    items = world.tables.embeddings.all_items()
    return sum(generation_of(str(item["user_chunk"])) == name for item in items)


@pytest.mark.parametrize(
    ("partition", "name"),
    [
        ("ada#03", ""),
        ("ada#segments", ""),
        ("ada~e5#03", ""),
        ("ada#segments~e5", "e5"),
        ("ada~x#09~e5", "e5"),
        ("ada#03~", None),
        ("ada#03~TOO", None),
        ("ada", None),
    ],
)
def test_a_partition_tells_its_generation(partition: str, name: str | None) -> None:
    """Only what follows the last `#` counts: a user's id can't pose as a generation."""
    assert generation_of(partition) == name


def test_each_generation_answers_by_its_own_model(world: World) -> None:
    """All find the same messages by vector, each without a word of the others' models."""
    for name in NAMES:
        found = world.engines[name].embeddings.find_similar_conversations_optimized(
            "the words of the text", "ada", 5
        )
        assert len(found.items) == 5
        assert not parts_of(world.engines[name]).auditor.check("ada").any
    assert _items(world, "") == _items(world, "old") == _items(world, "new") > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_user_is_forgotten_in_all_generations(world: World, name: str) -> None:
    """Whichever is configured: nothing stays of the user in any, and the neighbour loses nothing.

    The receipt names them all, and a dry run before counts the same.
    """
    before = keys_of(world.tables, "ada~new")
    counted = parts_of(world.engines[name]).forgetter.look(Scope("ada")).removed
    told = world.engines[name].forget_user("ada", wait=False)
    assert dict(told.removed) == dict(counted)
    assert keys_of(world.tables, "ada") == []
    assert keys_of(world.tables, "ada~new") == before
    assert told.verified
    assert told.removed["vectors"] == 3 * 30
    assert sum("generation" in place for place in told.checked) == 2


@pytest.mark.parametrize("whole_message", [False, True])
def test_a_part_is_forgotten_in_all_generations(world: World, whole_message: bool) -> None:
    """Of a session or a message no text stays in any index, and all else is found as before."""
    messages = conversation("ada", 30, session_turns=4)
    gone = [m for m in messages if m.session_id == "session-00001"][: 1 if whole_message else 4]
    if whole_message:
        told = world.engines["new"].forget_message("ada", gone[0].message_id, wait=False)
    else:
        told = world.engines["new"].forget_session("ada", "session-00001", wait=False)
    assert told.verified
    assert told.removed["vectors"] == 3 * len(gone)
    assert told.removed["index_entries"] == 3 * len(gone)
    own = [text for text in everything(world.tables) if "'ada#" in text]
    assert not [m for m in gone if any(repr(m.content)[1:-1] in text for text in own)]
    for name in NAMES:
        with world.open(name) as fresh:
            assert not parts_of(fresh).auditor.check("ada").any


def test_an_edit_leaves_no_old_text_in_another_generation(world: World) -> None:
    """It is taken out there, and found again once that generation has caught up."""
    engine = world.engines[""]
    old = conversation("ada", 30, session_turns=4)[7]
    place = next(
        place
        for page in [parts_of(engine).store.list_places("ada")]
        for places, _ in page
        for place in places
        if place.startswith(str(old.timestamp_us).zfill(16))
    )
    engine.memory.edit_message_optimized("ada", place, "Something else altogether.")
    assert not [t for t in everything(world.tables) if "'ada#" in t and old.content in t]
    with world.open("new") as fresh:
        assert parts_of(fresh).auditor.check("ada").unindexed == 1
        assert parts_of(fresh).catching.catch_up("ada").indexed == 1
        assert fresh.find("something altogether", "ada").items[0].place == place


def test_a_generation_is_noted_before_it_is_written(world: World, clock: FakeClock) -> None:
    """Where the note can't be written nothing is; then it is tried again."""
    operations = FakeTable(TableSchema("t-operations", "pk", "sk"))
    notes = Generations(operations, clock)
    tries: list[int] = []

    def note() -> None:
        tries.append(len(tries))
        if len(tries) == 1:
            raise UsageError("no", "")
        notes.note("x", "m", 8)

    table = table_of(world.tables.embeddings, "x", Once(note))
    with pytest.raises(UsageError):
        table.put({"user_chunk": "eve#01", "embedding_id": "e"})
    assert _items(world, "x") == 0
    for _ in range(2):
        table.put({"user_chunk": "eve#01", "embedding_id": "e"})
    assert (len(tries), _items(world, "x")) == (2, 1)
    assert [str(one) for one in notes.noted()] == ["x"]


def test_a_generation_keeps_its_model(world: World) -> None:
    """One that was begun takes no vectors of another model, until it was dropped."""
    notes = world.generations
    notes.check("new", *_model(world, "new"))
    with pytest.raises(UsageError, match="was begun with"):
        notes.check("new", "another", 3)
    notes.note_dropped("new")
    notes.check("new", "another", 3)
    assert notes.note("new", "another", 3).dropped_at is None
    with pytest.raises(UsageError):
        notes.check("new", *_model(world, "new"))


def _model(world: World, name: str) -> tuple[str, int]:
    embedder = parts_of(world.engines[name]).embedder
    return embedder.model, embedder.dimensions
