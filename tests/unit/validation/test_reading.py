"""Items as validation sees them: whatever they hold, it says so and never fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.llm.hashing import HashingEmbedder
from core.memory.index.items import MessageItems
from core.memory.index.partition import partition_of
from core.memory.index.rows import Indexed
from core.memory.items import to_items
from core.memory.keys import sort_keys
from core.memory.model import Message
from core.memory.schema import embeddings_schema
from core.testing.table import FakeTable
from core.validation.comparing import disagreements
from core.validation.kinds import INVARIANTS, KINDS
from core.validation.reading import HEAD_ATTRIBUTES, HeadSeen, read_history
from core.validation.reading_vectors import (
    VECTOR_ATTRIBUTES,
    Row,
    VectorSeen,
    read_embeddings,
)

EMBEDDER = HashingEmbedder()
VALUES = st.one_of(
    st.text(max_size=20),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False),
    st.binary(max_size=40),
    st.none(),
    st.booleans(),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    st.frozensets(st.text(max_size=5), min_size=1, max_size=3),
)
TEXTS = st.text(min_size=1, max_size=60)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Any message that can be stored."""
    return Message(
        draw(TEXTS),
        draw(TEXTS),
        draw(TEXTS),
        draw(st.integers(0, 10**16 - 1)),
        draw(st.text(min_size=1, max_size=10)),
        draw(st.text(max_size=3000)),
        expires_at=draw(st.none() | st.integers(1, 4_000_000_000)),
    )


def head_of(message: Message) -> dict[str, Any]:
    """Its item, at its second place."""
    places = list(sort_keys(message))
    return {**to_items(message).head, "timestamp_type": places[1]}


def vector_of(message: Message) -> dict[str, Any]:
    """Its vector and text."""
    made = MessageItems(FakeTable(embeddings_schema("t")), EMBEDDER.model, EMBEDDER.dimensions)
    vector = EMBEDDER.embed(["otter"]).array[0]
    return dict(made.item(Indexed(message, list(sort_keys(message))[1], vector)))


@given(messages())
def test_what_the_engine_writes_holds(message: Message) -> None:
    """Nothing is wrong with a message that was stored, its vector, or between the two."""
    head, vector = read_history(head_of(message)), read_embeddings(vector_of(message))
    assert isinstance(head, HeadSeen)
    assert isinstance(vector, VectorSeen)
    assert (head.kinds, vector.kinds) == (frozenset(), frozenset())
    row = Row(vector.place, head.session, head.ttl, removed=False)
    assert disagreements(head, vector, row, 0) == frozenset()


@given(messages(), st.dictionaries(st.sampled_from(sorted(HEAD_ATTRIBUTES)), VALUES, max_size=4))
def test_no_damage_of_a_message_fails(message: Message, damage: dict[str, Any]) -> None:
    """Whatever its attributes hold, each item is something, and what is wrong has a name."""
    seen = read_history({**head_of(message), **damage})
    kinds = seen.kinds if isinstance(seen, HeadSeen) else {getattr(seen, "kind", "unknown_item")}
    assert kinds <= KINDS.keys()


@given(
    messages(),
    st.dictionaries(st.sampled_from(sorted(VECTOR_ATTRIBUTES)), VALUES, max_size=4),
    st.sampled_from(["", "L#1", "L$", "T#0000000000000001#s", "L#0000000000000001#e1"]),
)
def test_no_damage_of_a_vector_or_an_entry_fails(
    message: Message, damage: dict[str, Any], key: str
) -> None:
    """As for messages."""
    item = {**vector_of(message), **damage}
    if key:
        item |= {"user_chunk": partition_of(message.user_id), "embedding_id": key}
    seen = read_embeddings(item)
    kinds = seen.kinds if isinstance(seen, VectorSeen) else {getattr(seen, "kind", "unknown_item")}
    assert kinds <= KINDS.keys()


def test_each_kind_says_what_it_is_and_what_to_do() -> None:
    """Sentences; each belongs to an invariant, and stands in the docs."""
    page = (Path(__file__).parents[3] / "docs" / "validation.md").read_text()
    for kind in KINDS.values():
        assert f"| {kind.name.replace('_', ' ')} | {kind.sentence} |" in page
        assert kind.invariant in INVARIANTS
        assert kind.sentence.endswith(".")
        assert kind.cure.endswith(".")
