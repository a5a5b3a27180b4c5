"""Signs of vectors: what they keep of cosines, for models of both kinds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.llm.embedder import FloatArray
from core.llm.hashing import HashingEmbedder
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.index.codes import code_bytes, estimates, sign_codes, turned
from core.memory.index.rows import Indexed
from core.memory.model import Message
from tests.engines import FIRST_US, engine_over, fake_tables

NEAREST = 10


def _units(rows: int, dimensions: int, seed: int = 1) -> FloatArray:
    made = np.random.default_rng(seed).standard_normal((rows, dimensions))
    found: FloatArray = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    return found


@given(st.integers(1, 600), st.text(min_size=1, max_size=5))
def test_turning_keeps_cosines(dimensions: int, model: str) -> None:
    """Of any number of dimensions."""
    vectors = _units(4, dimensions)
    made = turned(vectors, model)
    assert made.shape == vectors.shape
    assert made @ made.T == pytest.approx(vectors @ vectors.T, abs=1e-5)


def test_turning_is_the_same_for_good() -> None:
    """Codes are stored: what another machine computes must be the same."""
    made = turned(np.eye(1, 384, dtype=np.float32), "a model")[0]
    assert made[:4] == pytest.approx(_TURNED, abs=1e-6)


_TURNED = [0.0390625, -0.0234375, -0.0234375, -0.0234375]


@given(st.integers(1, 100))
def test_codes_are_a_bit_a_dimension(dimensions: int) -> None:
    """Padded to whole bytes."""
    assert sign_codes(_units(3, dimensions), "m").shape == (3, code_bytes(dimensions))


def test_estimates_are_without_bias() -> None:
    """So that they stand on one scale with exact cosines."""
    vectors = _units(4000, 384)
    query = vectors[0] * 0.6 + _units(1, 384, 2)[0] * 0.8
    query /= np.linalg.norm(query)
    found = estimates(query, sign_codes(vectors, "m"), "m")
    assert found.dtype == np.float32
    assert np.abs(found - vectors @ query).mean() < 0.05
    assert found[0] == pytest.approx(float(vectors[0] @ query), abs=0.08)


def test_no_codes_have_no_estimates() -> None:
    """An empty history."""
    assert estimates(_units(1, 384)[0], np.zeros((0, 48), np.uint8), "m").shape == (0,)


def _recall(tmp: OptimizedContextEngine, vectors: FloatArray, queries: FloatArray) -> float:
    """Of the exact ten nearest, how many a search finds that knows no vector beforehand."""
    places = [f"{FIRST_US + n:016d}#user" for n in range(len(vectors))]
    messages = [Message("ada", "s", p, FIRST_US + n, "user", "x") for n, p in enumerate(places)]
    tmp._parts.writer.add(
        "ada", [Indexed(*one) for one in zip(messages, places, vectors, strict=True)]
    )
    found = []
    for query in queries:
        tmp._parts.copies.drop("ada")
        exact = vectors @ query
        least = np.sort(exact)[-NEAREST] - 0.002  # what int8 may be wrong by
        nearest = tmp._parts.search.nearest("ada", query, NEAREST).places
        rows = [int(place[:16]) - FIRST_US for place in nearest]
        found.append(float(np.mean(exact[rows] >= least)))
    return float(np.mean(found))


def _texts(locomo: Path, sample: int) -> tuple[list[str], list[str]]:
    loaded = json.loads(locomo.read_bytes())[sample]
    sessions = loaded["conversation"].values()
    turns = [turn["text"] for s in sessions if isinstance(s, list) for turn in s]
    return turns, [qa["question"] for qa in loaded["qa"]]


FAR = (
    "How do I configure a Kubernetes ingress?",
    "The mitochondria is the powerhouse of the cell.",
    "Quarterly revenue rose by 4% in EMEA.",
    "SELECT * FROM users WHERE id = 1",
    "The treaty of Westphalia ended the Thirty Years' War.",
    "Install gcc on Ubuntu 22.04",
)


@pytest.fixture
def engine() -> Iterator[OptimizedContextEngine]:
    """An engine of 384 dimensions over empty tables."""
    with engine_over(fake_tables()) as made:
        yield made


def test_search_finds_the_hashing_embedders_nearest(
    locomo: Path, engine: OptimizedContextEngine
) -> None:
    """Its vectors are mostly zeros, whose signs alone would say nothing."""
    turns, questions = _texts(locomo, 2)
    embed = HashingEmbedder().embed
    vectors = embed(turns).array
    assert _recall(engine, vectors, embed(questions[::6]).array) >= 0.98


def test_search_finds_most_of_what_is_nearest_to_something_else(
    locomo: Path, engine: OptimizedContextEngine
) -> None:
    """Questions of another conversation, and about nothing that was ever spoken of."""
    turns, _ = _texts(locomo, 2)
    _, strange = _texts(locomo, 4)
    embed = HashingEmbedder().embed
    vectors = embed(turns).array
    assert _recall(engine, vectors, embed([*FAR, *strange[::12]]).array) >= 0.95


def test_search_finds_a_neural_models_nearest(locomo: Path, engine: OptimizedContextEngine) -> None:
    """Real vectors of all-MiniLM-L6-v2, some of them asked for the nearest others."""
    loaded = np.load(locomo.with_name("locomo-dev-minilm.npz"))["vectors"].astype(np.float32)
    vectors = (loaded / np.linalg.norm(loaded, axis=1, keepdims=True))[:1500]
    assert _recall(engine, vectors, vectors[::50]) >= 0.98
