"""Chunks, keys and similarity hashes are the same in every process, and keep users apart."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from core.memory import keys
from core.memory.chunks import CHUNKS, chunk_of, similarity_hash, user_chunk, user_chunks

ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50)
seeds = st.integers(0, 2**32 - 1)


@given(ids, ids)
def test_a_vectors_partition_is_one_of_its_users(user: str, embedding_id: str) -> None:
    """Ten partitions a user, and the id alone decides which."""
    chunk = chunk_of(embedding_id)
    assert 0 <= chunk < CHUNKS
    assert user_chunk(user, embedding_id) == user_chunks(user)[chunk]
    assert user_chunk(user, embedding_id) == f"{keys.encoded(user)}#{chunk:02d}"


@given(ids, ids)
def test_users_never_share_a_partition(one: str, other: str) -> None:
    """Whatever the ids hold, hash signs included."""
    if one != other:
        assert not set(user_chunks(one)) & set(user_chunks(other))


def test_chunks_are_evenly_filled() -> None:
    """Ten thousand ids: each chunk holds a tenth, give or take a tenth of that."""
    filled = Counter(chunk_of(f"message-{n}") for n in range(10_000))
    assert all(900 < filled[chunk] < 1100 for chunk in range(CHUNKS))


@pytest.mark.parametrize("bad", ["", "x" * 1025, "\ud800"])
def test_ids_that_make_no_key_are_refused(bad: str) -> None:
    """An empty or endless id, or one that is no text."""
    with pytest.raises(UsageError):
        chunk_of(bad)
    with pytest.raises(UsageError):
        user_chunk("", "id")


@given(seeds, st.sampled_from([1, 16, 384, 1000]))
def test_a_hash_tells_the_direction_alone(seed: int, dimensions: int) -> None:
    """Length does not matter; the opposite direction has every bit turned."""
    vector = np.random.default_rng(seed).standard_normal(dimensions)
    found = similarity_hash(vector, "model")
    assert re.fullmatch(r"[0-9a-f]{16}", found)
    assert similarity_hash(vector * 2.0, "model") == found
    assert int(similarity_hash(-vector, "model"), 16) == int(found, 16) ^ (2**64 - 1)


@given(seeds)
def test_like_vectors_share_most_bits(seed: int) -> None:
    """A small step turns few bits, a random vector about half of them."""
    rng = np.random.default_rng(seed)
    one, step, other = rng.standard_normal((3, 384))
    bits = [int(similarity_hash(v, "m"), 16) for v in (one, one + 0.1 * step, other)]
    assert (bits[0] ^ bits[1]).bit_count() < 16
    assert 8 < (bits[0] ^ bits[2]).bit_count() < 56


def test_another_model_has_other_planes() -> None:
    """Hashes of two models are not comparable."""
    vector = np.arange(1, 65) - 20.5
    assert similarity_hash(vector, "one") != similarity_hash(vector, "two")


def test_a_new_process_finds_the_same() -> None:
    """Nothing depends on the process; and the values are pinned, for rows are found by them."""
    program = (
        "from core.memory.chunks import *; import numpy as np;"
        "print(chunk_of('m-1'), chunk_of('é'), similarity_hash(np.eye(384)[383], 'hashing-v1'),"
        " similarity_hash(np.arange(1, 65) - 20.0, 'm'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["8", "1", "881e30b6b7c15d91", "3a91418a3afe53c0"]
    assert similarity_hash(np.arange(1, 65) - 20.0, "m") == "3a91418a3afe53c0"
    assert chunk_of("m-1") == 8


@pytest.mark.parametrize("bad", [[], [0.0, 0.0], [float("nan")], [float("inf"), 1.0], [[1.0]]])
def test_what_has_no_direction_has_no_hash(bad: list[float]) -> None:
    """Zeros, NaN and infinity are refused; so is a model without a name."""
    with pytest.raises(UsageError):
        similarity_hash(bad, "model")
    with pytest.raises(UsageError, match="no name"):
        similarity_hash([1.0], "")
