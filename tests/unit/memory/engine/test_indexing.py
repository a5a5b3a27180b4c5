"""What is stored comes into the index, whatever failed before, in segments that an item holds."""

from __future__ import annotations

import numpy as np
import pytest

from core.aws.capacity import NOTHING
from core.errors import ThrottledError
from core.llm.embedder import FloatArray
from core.llm.hashing import HashingEmbedder
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.index.nearest import Nearest
from core.memory.index.partition import SEGMENT_ROWS, IndexPartition
from core.memory.parts import Options, Parts, Tables
from core.testing.clock import FakeClock
from core.testing.table import FakeTable
from tests.engines import Calls, conversation, engine_over, fake_tables

QUESTION = "What is the otter called?"


def _failing(*operations: str) -> Calls:
    def fail(operation: str) -> None:
        if operation in operations:
            raise ThrottledError("Too many requests.")

    return Calls(fail=fail)


def _runs(tables: Tables, kind: str) -> list[str]:
    table = tables.embeddings
    assert isinstance(table, FakeTable)
    keys = (str(item["embedding_id"]) for item in table.all_items())
    return [key for key in keys if key.startswith("L#") and f"#{kind}" in key]


def test_looking_for_what_waits_to_be_indexed_may_fail_too() -> None:
    """Then that waits on, and what was just stored with it: no save fails for it."""
    calls = _failing("batch_write")
    tables = fake_tables(calls)
    with engine_over(tables) as engine:
        saved = engine.save_interaction_optimized("The otter is Ottilie.", "Oh!", "ada", "s1")
        assert "not indexed" in saved.missing[0]
        calls.fail = _failing("get").fail
        saved = engine.save_interaction_optimized("The newt is Nero.", "Oh!", "ada", "s1")
        assert "4 messages are stored, but not indexed" in saved.missing[0]
        calls.fail = lambda _: None
        assert engine.save_interaction_optimized("Bye.", "Bye!", "ada", "s1").missing == ()
    with engine_over(tables) as fresh:
        assert fresh.memory.get_user_stats("ada").messages == 6


def test_what_waits_to_be_indexed_does_not_undo_an_edit() -> None:
    """The text that was to be indexed first is not the message's any more."""
    calls = _failing("batch_write")
    tables = fake_tables(calls)
    with engine_over(tables) as engine:
        saved = engine.save_interaction_optimized("The otter is Ottilie.", "Oh!", "ada", "s1")
        calls.fail = lambda _: None
        with engine_over(tables) as other:
            other.memory.edit_message_optimized(
                "ada", saved.appended[0].place, "The otter is Oskar."
            )
        engine.save_interaction_optimized("Bye.", "Bye!", "ada", "s1")
    with engine_over(tables) as fresh:
        text = fresh.build_context(QUESTION, "ada").text
        assert "Oskar" in text
        assert "Ottilie" not in text


def test_a_message_may_come_twice_in_one_import() -> None:
    """DynamoDB takes no key twice in a request; the message stands once, and is indexed."""
    tables = fake_tables()
    messages = conversation("ada", 5)
    with engine_over(tables) as engine:
        assert engine.import_messages("ada", [*messages, *messages]).missing == ()
        assert engine.memory.get_user_stats("ada").messages == 5


def test_saves_that_many_writers_left_are_sealed_in_segments_of_the_usual_size() -> None:
    """All in one they would not fit into an item once there are some thousands."""
    tables = fake_tables()
    messages = conversation("ada", 2 * SEGMENT_ROWS + 20)
    for begin in range(0, len(messages), 30):
        with engine_over(tables) as writer:
            writer.import_messages("ada", messages[begin : begin + 30])
    assert not _runs(tables, "s")
    with engine_over(tables) as engine:
        engine.build_context(QUESTION, "ada")
        engine.save_interaction_optimized("The otter is Ottilie.", "Oh!", "ada", "s1")
        assert len(_runs(tables, "s")) == 2
        assert len(_runs(tables, "e")) <= 2
    with engine_over(tables) as fresh:
        assert fresh.memory.get_user_stats("ada").messages == len(messages) + 2
        assert "Ottilie" in fresh.build_context(QUESTION, "ada").text


def test_an_index_that_can_not_be_packed_is_indexed_all_the_same() -> None:
    """What is told is that it is not packed; nothing is indexed twice for it."""
    calls = Calls()
    tables = fake_tables(calls)
    with engine_over(tables) as engine:
        engine.import_messages("ada", conversation("ada", SEGMENT_ROWS - 1))
        # Of those who save only they query who seal.
        calls.fail = _failing("query").fail
        saved = engine.save_interaction_optimized("The otter is Ottilie.", "Oh!", "ada", "s1")
        assert "packed" in saved.missing[0]
        calls.fail = lambda _: None
        saved = engine.save_interaction_optimized("Bye.", "Bye!", "ada", "s1")
        assert saved.missing == ()
        assert len(_runs(tables, "s")) == 1
        assert len(_runs(tables, "e")) == 1


@pytest.mark.parametrize("saves", [2, 70])
def test_a_name_of_any_length_is_indexed(saves: int) -> None:
    """By its beginning: whole ones of a segment's speakers would not fit into an item."""
    tables = fake_tables()
    with engine_over(tables) as engine:
        for n in range(saves):
            name = "".join(chr(0x4E00 + (n * 31 + i * 7919) % 20_000) for i in range(60_000))
            saved = engine.save_interaction_optimized(
                f"The otter is Ottilie {n}.", "Oh!", "ada", "s1", {"speaker": name}
            )
            assert saved.missing == ()


class _Elsewhere:
    """A search that finds what it is told to, as an index of the table's own does."""

    def __init__(self, *places: str) -> None:
        self._places = places

    def nearest(self, user_id: str, vector: FloatArray, limit: int) -> Nearest:
        """All of it."""
        return Nearest(self._places, np.ones(len(self._places), np.float32), NOTHING, True)


def test_what_is_found_elsewhere_is_read_by_a_process_that_knows_nothing_of_the_user() -> None:
    """Message by message, without its index; what has expired or gone is left out."""
    tables, clock = fake_tables(), FakeClock()
    places = []
    for keep_days in (365, 0.01):
        with engine_over(tables, clock=clock, options=Options(keep_days=keep_days)) as engine:
            said = {"speaker": "Ada"}
            saved = engine.save_interaction_optimized("The otter.", "Oh!", "ada", "s1", said)
            places.append(saved.appended[0].place)
    clock.advance(86_400)
    elsewhere = _Elsewhere(*places, "0000000000000001#user")
    parts = Parts(tables, HashingEmbedder(), Options(), clock, native=elsewhere)
    with OptimizedContextEngine(parts) as engine:
        for _ in range(2):
            found = engine.embeddings.find_similar_conversations_optimized("otter", "ada").items
            assert [similar.place for similar in found] == places[:1]
            message = found[0].message
            assert (message.session_id, message.role, message.speaker) == ("s1", "user", "Ada")
            engine.build_context(QUESTION, "ada")


def test_a_run_may_be_named_twice_to_be_deleted() -> None:
    """As one that a segment was known to hold, and that was read again since."""
    tables = fake_tables()
    with engine_over(tables) as engine:
        engine.import_messages("ada", conversation("ada", 3))
    keys = _runs(tables, "e")
    IndexPartition(tables.embeddings).delete("ada", [*keys, *keys])
    assert _runs(tables, "e") == []
