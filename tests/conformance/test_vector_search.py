"""What every search by vectors must do, whatever does the searching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pytest

from core.aws.boto_table import open_table
from core.aws.session import AwsSession
from core.aws.table import Table
from core.errors import UsageError
from core.llm.embedder import FloatArray
from core.llm.hashing import HashingEmbedder
from core.memory.chunks import user_chunk
from core.memory.index.native import native_attributes, open_native
from core.memory.index.nearest import VectorSearch
from core.memory.index.rows import Indexed
from core.memory.model import Message
from core.memory.parts import Options, Parts
from core.memory.schema import embeddings_schema
from tests.engines import fake_tables
from tests.tables import create_table
from tests.waiting import until

DIMENSIONS = 64
CLUSTERS, A_CLUSTER = 15, 20
KINDS = ["native", "segments"]
ME = "Caroline"


class Vectors(Protocol):
    """A search, and a way to store and delete what it finds."""

    @property
    def search(self) -> VectorSearch:
        """What is tested; over vectors of DIMENSIONS numbers."""

    def store(self, user_id: str, vectors: Mapping[str, FloatArray]) -> None:
        """Stores vectors by place, a message each; over what stands there."""

    def delete(self, user_id: str, places: Sequence[str]) -> None:
        """Deletes the messages of these places."""


class Native:
    """The embeddings table with a vector index."""

    def __init__(self, search: VectorSearch, table: Table) -> None:
        self.search = search
        self._table = table

    def store(self, user_id: str, vectors: Mapping[str, FloatArray]) -> None:
        """Puts items such as messages have, with a list of numbers."""
        self._table.batch_write(
            [
                {**_key(user_id, place), "user_id": user_id, **native_attributes(vector)}
                for place, vector in vectors.items()
            ]
        )

    def delete(self, user_id: str, places: Sequence[str]) -> None:
        """Deletes the items."""
        self._table.batch_write((), [_key(user_id, place) for place in places])


def native(request: pytest.FixtureRequest) -> Vectors:
    """A table of its own at the endpoint."""
    aws: AwsSession = request.getfixturevalue("aws")
    schema = embeddings_schema(request.getfixturevalue("project"))
    create_table(aws, schema, vectors=DIMENSIONS)
    search = open_native(aws, schema.name)
    if search is None:
        pytest.skip("this endpoint has no vector indexes")
    return Native(search, open_table(aws, schema))


class Segments:
    """Packed segments, written by one process and searched by another."""

    def __init__(self, writer: Parts, reader: Parts) -> None:
        self.search = reader.search
        self._parts = writer

    def store(self, user_id: str, vectors: Mapping[str, FloatArray]) -> None:
        """Indexes a message for each place."""
        self._parts.writer.add(
            user_id,
            [
                Indexed(Message(user_id, "s", place, int(place[:16]), "user", "x"), place, vector)
                for place, vector in vectors.items()
            ],
        )

    def delete(self, user_id: str, places: Sequence[str]) -> None:
        """Takes them out of the index, and their items away."""
        self._parts.writer.remove(user_id, places)
        self._parts.items.delete(user_id, places)


def segments(request: pytest.FixtureRequest) -> Vectors:
    """Tables in memory, two processes on them."""
    tables = fake_tables()
    made = [Parts(tables, HashingEmbedder(DIMENSIONS), Options()) for _ in range(2)]
    for parts in made:
        request.addfinalizer(parts.close)
    return Segments(*made)


MAKERS = {"native": native, "segments": segments}


@pytest.fixture(params=KINDS)
def vectors(request: pytest.FixtureRequest) -> Vectors:
    """Each search in turn, with nothing stored."""
    return MAKERS[request.param](request)


def test_it_finds_what_an_exact_search_finds(vectors: Vectors) -> None:
    """Of the exact ten nearest at least 98% are found, over clusters and queries beside them."""
    rows = _clusters()
    stored = {_place(n): row for n, row in enumerate(rows)}
    vectors.store(ME, stored)
    _wait(vectors, ME, 100)
    recalls = []
    for query in _near(rows[:: A_CLUSTER + 7], 0.3, 2):
        exact = sorted(stored, key=lambda place: -float(stored[place] @ query))[:10]
        found = vectors.search.nearest(ME, query, 10)
        assert len(found.places) == 10
        recalls.append(len(set(exact) & set(found.places)) / 10)
    assert np.mean(recalls) >= 0.98


def test_the_best_come_first_with_their_cosines(vectors: Vectors) -> None:
    """Cosines fall, belong to their places, and are right where they are said to be exact."""
    rows = _near(np.tile(_unit(np.ones(DIMENSIONS)), (30, 1)), 0.8, 3)
    stored = {_place(n): row for n, row in enumerate(rows)}
    vectors.store(ME, stored)
    _wait(vectors, ME, 30)
    found = vectors.search.nearest(ME, rows[7] * 5, 20)
    assert found.places[0] == _place(7)
    assert found.cosines.dtype == np.float32
    assert len(found.places) == len(found.cosines) == len(set(found.places)) == 20
    assert (np.diff(found.cosines) <= 0).all()
    assert found.consumed.requests >= found.consumed.rounds
    if found.exact:
        right = [float(stored[place] @ rows[7]) for place in found.places]
        assert found.cosines == pytest.approx(right, abs=0.01)
    again = vectors.search.nearest(ME, rows[7] * 5, 20)
    assert again.places == found.places


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ("a", "ab"),
        ("a", "a#00"),
        ("a", "a#segments"),
        ("a#", "a%23"),
        ("a%23", "a%2523"),
        ("a", "A"),
        ("a", "a "),
        ("é", "e\u0301"),
        ("a", "a\x00"),
        (":user", "#user"),
    ],
)
def test_only_the_users_own_are_found(vectors: Vectors, mine: str, theirs: str) -> None:
    """Ids that begin with, encode to or look like one another share nothing."""
    query = _unit(np.ones(DIMENSIONS))
    far = _near(query[np.newaxis], 2.0, 4)[0]
    vectors.store(theirs, {_place(1): query, _place(2): query})
    _wait(vectors, theirs, 2)
    assert vectors.search.nearest(mine, query, 10).places == ()
    vectors.store(mine, {_place(1): far, _place(3): far})
    _wait(vectors, mine, 2)
    found = vectors.search.nearest(mine, query, 10)
    assert set(found.places) == {_place(1), _place(3)}
    assert max(found.cosines) < 0.99
    assert set(vectors.search.nearest(theirs, query, 10).places) == {_place(1), _place(2)}


def test_no_more_than_the_limit_come(vectors: Vectors) -> None:
    """The limit holds, also where less is there or more than one request can bring."""
    rows = _clusters()[:130]
    vectors.store(ME, {_place(n): row for n, row in enumerate(rows)})
    _wait(vectors, ME, 100)
    for limit in (1, 3, 100):
        assert len(vectors.search.nearest(ME, rows[0], limit).places) == limit
    assert 100 <= len(vectors.search.nearest(ME, rows[0], 1000).places) <= 130
    for limit in (0, -1):
        with pytest.raises(UsageError):
            vectors.search.nearest(ME, rows[0], limit)


def test_what_was_deleted_is_gone(vectors: Vectors) -> None:
    """A deleted message is not found again, and the others still are."""
    row = _unit(np.ones(DIMENSIONS))
    vectors.store(ME, {_place(n): row for n in range(4)})
    _wait(vectors, ME, 4)
    vectors.delete(ME, [_place(0), _place(2)])
    until(lambda: len(vectors.search.nearest(ME, row, 10).places) == 2)
    assert set(vectors.search.nearest(ME, row, 10).places) == {_place(1), _place(3)}
    vectors.delete(ME, [_place(1), _place(3)])
    until(lambda: vectors.search.nearest(ME, row, 10).places == ())


def test_a_place_has_its_newest_vector(vectors: Vectors) -> None:
    """A message stored again is found once, by what it is now."""
    row = _unit(np.ones(DIMENSIONS))
    vectors.store(ME, {_place(0): row})
    _wait(vectors, ME, 1)
    vectors.store(ME, {_place(0): -row})
    until(lambda: vectors.search.nearest(ME, row, 10).cosines[0] < -0.9)
    assert vectors.search.nearest(ME, row, 10).places == (_place(0),)


def test_a_user_without_messages_has_none(vectors: Vectors) -> None:
    """Nothing stored: an empty answer of the right kind."""
    found = vectors.search.nearest(ME, _unit(np.ones(DIMENSIONS)), 10)
    assert found.places == ()
    assert found.cosines.shape == (0,)
    assert found.cosines.dtype == np.float32


@pytest.mark.parametrize(
    "wrong",
    [
        np.ones(DIMENSIONS - 1),
        np.ones(DIMENSIONS + 1),
        np.ones(1),
        np.zeros(DIMENSIONS),
        np.full(DIMENSIONS, np.nan),
        np.full(DIMENSIONS, np.inf),
    ],
    ids=["shorter", "longer", "one", "zeros", "nan", "infinity"],
)
def test_a_wrong_vector_is_told(vectors: Vectors, wrong: npt.NDArray[Any]) -> None:
    """A query of other dimensions, or without a direction, is an error and no wrong answer."""
    vectors.store(ME, {_place(0): _unit(np.ones(DIMENSIONS))})
    with pytest.raises(UsageError) as caught:
        vectors.search.nearest(ME, wrong.astype(np.float32), 10)
    assert caught.value.cure


@pytest.mark.parametrize("user_id", ["", "half \ud83d of a pair", "x" * 3000])
def test_a_user_id_that_none_can_have_is_told(vectors: Vectors, user_id: str) -> None:
    """No message can be of that user, so the call is wrong."""
    with pytest.raises(UsageError):
        vectors.search.nearest(user_id, _unit(np.ones(DIMENSIONS)), 10)


def test_threads_get_what_one_would_get(vectors: Vectors) -> None:
    """Eight threads over four users at once: each answer is its own user's."""
    rows = _clusters()[: 4 * 5]
    for n in range(4):
        mine = {_place(n * 5 + k): rows[n * 5 + k] for k in range(5)}
        vectors.store(f"user {n}", mine)
        _wait(vectors, f"user {n}", 5)
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda n: vectors.search.nearest(f"user {n % 4}", rows[n], 5), range(20))
        )
    for n, one in enumerate(found):
        assert set(one.places) == {_place(n % 4 * 5 + k) for k in range(5)}


def _key(user_id: str, place: str) -> dict[str, str]:
    return {"user_chunk": user_chunk(user_id, place), "embedding_id": place}


def _place(n: int) -> str:
    """A sort key such as messages have."""
    return f"{1_750_000_000_000_000 + n * 1_000_000:016d}#user"


def _unit(row: npt.NDArray[Any]) -> FloatArray:
    found: FloatArray = (row / np.linalg.norm(row)).astype(np.float32)
    return found


def _near(rows: npt.NDArray[Any], spread: float, seed: int) -> FloatArray:
    """A unit vector beside each row; a spread of 1 is as long as the row itself."""
    noise = np.random.default_rng(seed).standard_normal(rows.shape) / np.sqrt(DIMENSIONS)
    return np.array([_unit(row) for row in rows + spread * noise])


def _clusters() -> FloatArray:
    centres = np.random.default_rng(1).standard_normal((CLUSTERS, DIMENSIONS))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return _near(np.repeat(centres, A_CLUSTER, axis=0), 0.7, 5)


def _wait(vectors: Vectors, user_id: str, count: int) -> None:
    """Until so many are found: an index may follow its table by seconds."""
    query = _unit(np.ones(DIMENSIONS))
    until(lambda: len(vectors.search.nearest(user_id, query, count).places) >= count)
