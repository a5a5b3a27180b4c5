"""What reads and writes of the engine cost, by DynamoDB's rules, in histories of any length."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import pytest

from core.memory.context import Context
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.model import Message
from core.memory.parts import Options, Tables
from tests.engines import conversation, engine_over, fake_tables

MIB = 1024 * 1024
QUESTIONS = ("What did we say about that yesterday?", "Which one was it, and where?")
SIZES = (1, 629, 1_000, pytest.param(10_000, marks=pytest.mark.slow))


@pytest.fixture(scope="module")
def filled() -> dict[int, tuple[Tables, OptimizedContextEngine]]:
    """Tables that hold a user's history, with the engine that wrote it, by size."""
    return {}


@pytest.fixture
def writer(
    request: pytest.FixtureRequest, filled: dict[int, tuple[Tables, OptimizedContextEngine]]
) -> tuple[Tables, OptimizedContextEngine]:
    """The tables and the engine of one size; made once."""
    size = request.param
    if size not in filled:
        tables = fake_tables()
        engine = engine_over(tables)
        engine.import_messages("ada", conversation("ada", size))
        filled[size] = tables, engine
    return filled[size]


@pytest.fixture
def reader(writer: tuple[Tables, OptimizedContextEngine]) -> Iterator[OptimizedContextEngine]:
    """An engine that knows nothing of the user yet."""
    with engine_over(writer[0]) as engine:
        yield engine


def _session(size: int) -> str:
    return f"session-{(size - 1) // 40:05d}"


def _build(engine: OptimizedContextEngine, size: int, question: str = QUESTIONS[0]) -> Context:
    return engine.build_context(question, "ada", _session(size))


@pytest.mark.parametrize(("writer", "size"), [(s, s) for s in (1, 629, 1_000)], indirect=["writer"])
def test_appending_costs_the_same_however_long_the_history_is(
    writer: tuple[Tables, OptimizedContextEngine], size: int
) -> None:
    """One request and one write unit a message on the history; the index is accounted apart."""
    saved = writer[1].memory.save_conversation_optimized("ada", "new", [("user", "word " * 50)])
    assert saved.history.requests == 1
    assert saved.history.write_units - saved.history.index_write_units <= 1.1
    assert saved.index.write_units > 0
    assert saved.missing == ()


@pytest.mark.parametrize("writer", [629, 1_000], indirect=True)
def test_the_last_twenty_are_one_request_of_one_read_unit(reader: OptimizedContextEngine) -> None:
    """Read from the index over time, no base table touched."""
    recent = reader.memory.get_recent_context_optimized("ada", 20)
    assert len(recent.items) == 20
    assert recent.consumed.requests == 1
    assert recent.consumed.read_units <= 1.0
    assert recent.consumed.bytes <= 6 * 1024


@pytest.mark.parametrize(
    ("writer", "size"),
    [(1, 1), (629, 629), (1_000, 1_000), pytest.param(10_000, 10_000, marks=pytest.mark.slow)],
    indirect=["writer"],
)
class TestContexts:
    """A context in a process that knows the user, and in one that does not."""

    def test_what_this_process_wrote_is_one_round_of_two_read_units(
        self, writer: tuple[Tables, OptimizedContextEngine], size: int
    ) -> None:
        """Texts and vectors are at hand: only what may be new is asked for."""
        engine = writer[1]
        _build(engine, size)
        warm = _build(engine, size)
        assert warm.consumed.rounds == 1
        assert warm.consumed.requests <= 3
        assert warm.consumed.read_units <= 2.0
        assert warm.embeddings_made == 0

    def test_the_next_context_after_writing_takes_one_round(
        self, writer: tuple[Tables, OptimizedContextEngine], size: int
    ) -> None:
        """Even the first: what it would fetch is known to who wrote it."""
        with engine_over(fake_tables()) as engine:
            engine.import_messages("ada", conversation("ada", min(size, 1_000)))
            assert _build(engine, size).consumed.rounds == 1

    def test_cold_it_takes_two_rounds_and_few_units(
        self, reader: OptimizedContextEngine, size: int
    ) -> None:
        """The index first, the texts of what it found second."""
        cold = _build(reader, size)
        assert cold.consumed.rounds <= 2
        assert cold.consumed.requests <= 4
        assert cold.consumed.read_units <= {1: 3.0, 629: 27.0, 1_000: 27.0, 10_000: 85.0}[size]
        assert cold.embeddings_made == 1
        assert len(cold.lines) >= min(size, 15)

    def test_warm_it_takes_one_round_whatever_is_asked(
        self, reader: OptimizedContextEngine, size: int
    ) -> None:
        """At most so many texts are fetched as leave it at ten and a half units."""
        _build(reader, size)
        for message in conversation("ada", min(size, 600))[::97]:
            warm = _build(reader, size, message.content)
            assert warm.consumed.rounds == 1
            assert warm.consumed.requests <= 3
            assert warm.consumed.read_units <= 10.5
            assert warm.embeddings_made == 1

    def test_memory_is_bounded(self, reader: OptimizedContextEngine, size: int) -> None:
        """What is held of a user, after questions that brought much of it."""
        for question in QUESTIONS:
            _build(reader, size, question)
        held = reader.get_performance_metrics()["memory_bytes"]
        assert held <= (5 if size <= 1_000 else 15) * MIB


def test_a_question_is_embedded_once() -> None:
    """Asked again, its vector comes from the cache."""
    with engine_over(fake_tables()) as engine:
        engine.save_interaction_optimized("My dog is called Ludwig.", "A fine name!", "ada", "s1")
        made = [engine.build_context(QUESTIONS[0], "ada", "s1").embeddings_made for _ in range(3)]
        assert made == [1, 0, 0]
        assert engine.get_performance_metrics()["cache_hit_rate"] == pytest.approx(2 / 3)


def test_the_tail_that_is_not_sealed_yet_stays_within_the_targets() -> None:
    """A thousand messages, saved two by two: seven segments, and a hundred rows in a tail."""
    tables = fake_tables()
    with engine_over(tables) as engine:
        for one, other in _pairs(conversation("ada", 1_000)):
            engine.save_interaction_optimized(one.content, other.content, "ada", one.session_id)
        stats = engine.memory.get_user_stats("ada")
        assert (stats.messages, stats.unsealed) == (1_000, 1_000 - 7 * 128)
    with engine_over(tables) as reader:
        cold = _build(reader, 1_000)
        assert cold.consumed.read_units <= 27.0
        assert cold.consumed.requests <= 4
        assert cold.consumed.rounds == 2


@pytest.mark.parametrize("saved_in_pairs", [True, False])
def test_words_that_are_hardly_ever_the_same_stay_within_the_targets(
    saved_in_pairs: bool,
) -> None:
    """The words are most of the index then, in a tail as in segments."""
    tables = fake_tables()
    messages = [
        dataclasses.replace(message, content=_dense(number))
        for number, message in enumerate(conversation("ada", 1_000))
    ]
    with engine_over(tables) as engine:
        if not saved_in_pairs:
            engine.import_messages("ada", messages)
        for one, other in _pairs(messages) if saved_in_pairs else ():
            engine.save_interaction_optimized(one.content, other.content, "ada", one.session_id)
    with engine_over(tables) as reader:
        cold = _build(reader, 1_000, f"where did we speak of {_dense(77)[:40]}")
        assert cold.consumed.read_units <= 27.0
        assert (cold.consumed.requests, cold.consumed.rounds) == (4, 2)
        assert cold.lines


def test_every_way_of_saving_is_counted() -> None:
    """Interactions, conversations, imports and edits: what they took is in the metrics."""
    with engine_over(fake_tables()) as engine:
        saved = [
            engine.save_interaction_optimized("Hello!", "Hi.", "ada", "s1"),
            engine.memory.save_conversation_optimized("ada", "s1", [("user", "Bye.")]),
            engine.import_messages("ada", conversation("ada", 3)),
        ]
        place = engine.memory.get_recent_context_optimized("ada").items[-1].place
        saved.append(engine.memory.edit_message_optimized("ada", place, "Good bye."))
        metrics = engine.get_performance_metrics()
    assert metrics["saves"] == 4
    for what, parts in (
        ("saves", [s.history for s in saved]),
        ("indexing", [s.index for s in saved]),
    ):
        assert metrics["consumption"][what]["write_units"] == sum(p.write_units for p in parts)


def _dense(number: int) -> str:
    """250 bytes of words of which no two are the same, hardly any known from another message."""
    return " ".join(f"w{(number * 131 + n * 7_919) % 9_973:04d}xyz" for n in range(28))[:250]


def _pairs(messages: Sequence[Message]) -> Iterator[tuple[Message, Message]]:
    yield from zip(messages[::2], messages[1::2], strict=True)


@pytest.mark.parametrize(("redis_url", "units"), [(None, 0.5), ("redis://127.0.0.1:1", 1.0)])
def test_where_contexts_are_kept_what_is_new_is_read_consistently(
    redis_url: str | None, units: float
) -> None:
    """A context that lacked what was acknowledged before it was built would lack it for minutes."""
    options = Options(redis_url=redis_url, project="t")
    with engine_over(fake_tables(), options=options) as engine:
        engine.memory.get_user_stats("ada")
        assert engine.memory.get_user_stats("ada").consumed.read_units == units
