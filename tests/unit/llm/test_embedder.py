"""What a provider answers is never taken on trust."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import EmbeddingError
from core.llm.embedder import unit_vectors

GOOD = [3.0, 4.0]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([GOOD], "1 of 2 dimensions came for 2 texts"),
        ([GOOD, GOOD, GOOD], "3 of 2 dimensions came for 2 texts"),
        ([GOOD, [1.0]], "differ in length"),
        ([[1.0], [1.0]], "2 of 1 dimensions"),
        ([GOOD, [float("nan"), 1]], "NaN or infinity"),
        ([GOOD, [float("-inf"), 1]], "NaN or infinity"),
        ([GOOD, [0, 0.0]], "all zeros"),
        ([GOOD, ["1", "2"]], "other than numbers"),
        ([GOOD, [None, 2]], "other than numbers"),
        ([[True, False]] * 2, "other than numbers"),
        ([GOOD, None], "differ in length|other than numbers"),
        ({"0": GOOD}, "other than numbers"),
        (None, "other than numbers"),
        ([], "shape"),
        ([[], []], "2 of 0 dimensions"),
        ([[GOOD], [GOOD]], "shape"),
        (1.0, "shape"),
    ],
)
def test_rubbish_is_named(rows: object, says: str) -> None:
    """Each way of answering wrongly is an error with the model and the reason, not a vector."""
    with pytest.raises(EmbeddingError, match=says) as caught:
        unit_vectors(rows, "some-model", 2, 2)
    assert "some-model" in caught.value.what
    assert caught.value.fields["model"] == "some-model"
    assert caught.value.fields["reason"]


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_any_size_becomes_length_one(size: float) -> None:
    """Numbers whose squares are no numbers any more are brought to length 1 all the same."""
    found = unit_vectors([[3 * size, 4 * size]], "m", 1, 2)
    assert found[0] == pytest.approx([0.6, 0.8], abs=1e-6)
    assert found.dtype == np.float32


def test_whole_numbers_are_numbers() -> None:
    """A provider may write 1 in place of 1.0."""
    assert unit_vectors([[0, 2]], "m", 1, 2).tolist() == [[0.0, 1.0]]
