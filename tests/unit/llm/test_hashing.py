"""The hashing embedder: the same everywhere, lexical, and never without an answer."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from core.llm.hashing import HashingEmbedder, features, tokens

PINNED_PLACES = [44, 246, 179, 162]
PINNED_NUMBERS = [-0.38040012, 0.30233702, -0.30233702, 0.30233702]
PINNED = "Caroline's 2 кошки 去北京 🎉"


def likeness(one: str, other: str) -> float:
    """The cosine of two texts."""
    found = HashingEmbedder().embed([one, other]).array
    return float(found[0] @ found[1])


def test_the_numbers_are_pinned() -> None:
    """Vectors stored by an older version stay comparable: these numbers must never change."""
    vector = HashingEmbedder().embed([PINNED]).array[0]
    assert vector[PINNED_PLACES] == pytest.approx(PINNED_NUMBERS, abs=1e-6)
    assert np.count_nonzero(vector) == 38


def test_another_process_computes_the_same() -> None:
    """Python's hash seed plays no part."""
    program = (
        "from core.llm.hashing import HashingEmbedder as H;"
        f"print(H().embed([{PINNED!r}]).array.tobytes().hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == HashingEmbedder().embed([PINNED]).array.tobytes().hex()


def test_words_in_common_make_texts_alike() -> None:
    """Shared words, and forms of a word, count; words that only hold sentences together hardly."""
    assert likeness("She adopted a puppy", "adopting puppies") > 0.3
    assert likeness("What did she do with the dog?", "What did he do with the car?") < 0.3
    assert likeness("去北京的火车", "北京火车站") > 0.2
    assert likeness("great 🎉🎉", "party 🎉") > 0.2


def test_meaning_is_not_known() -> None:
    """It is lexical, as the docs say: words of one meaning are strangers."""
    assert abs(likeness("automobile", "car")) < 0.2


def test_a_seed_makes_another_model() -> None:
    """Vectors of two seeds carry different model names, for they are not comparable."""
    one, other = HashingEmbedder(), HashingEmbedder(seed=7)
    assert (one.model, other.model) == ("hashing-v1", "hashing-v1-seed7")
    text = ["the same text"]
    assert abs(float(one.embed(text).array[0] @ other.embed(text).array[0])) < 0.5


@pytest.mark.parametrize(("dimensions", "seed"), [(0, 0), (15, 0), (4097, 0), (384, -1)])
def test_dimensions_and_seed_out_of_range(dimensions: int, seed: int) -> None:
    """What can't be made is refused at once."""
    with pytest.raises(UsageError):
        HashingEmbedder(dimensions, seed)


@given(st.text(min_size=1).filter(lambda text: text.strip() != ""))
def test_whatever_is_not_blank_has_a_vector(text: str) -> None:
    """Signs, emoji, control characters, any script: one unit vector, no error."""
    vector = HashingEmbedder(16).embed([text]).array[0]
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_a_text_whose_features_cancel_out_still_has_a_vector() -> None:
    """Collisions of opposite sign may leave nothing; then the text as a whole is hashed."""
    embedder = HashingEmbedder(16)
    places: dict[tuple[int, float], str] = {}
    for number in range(10_000):
        # Signs other than ASCII have one feature each.
        sign = chr(0x2190 + number)
        if [name for name, _ in features(sign)] != [f"sign:{sign}"] or len(list(tokens(sign))) != 1:
            continue
        place, value = embedder._hashed(f"sign:{sign}")
        opposite = places.get((place, -value))
        if opposite:
            vector = embedder.embed([sign + opposite]).array[0]
            assert np.count_nonzero(vector) == 1
            return
        places[place, value] = sign
    pytest.fail("no two signs cancel out")
