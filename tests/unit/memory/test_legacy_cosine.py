"""The comparison of the legacy search."""

from __future__ import annotations

import numpy as np
import pytest

from core.memory.bedrock_embeddings import cosine


def test_cosine_is_that_of_numpy() -> None:
    """Any lengths, however large; zeros are like nothing."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=50), rng.normal(size=50)
    expected = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert cosine(list(a * 1e120), list(b * 1e-120)) == pytest.approx(expected)
    assert cosine([0.0, 0.0], [1.0, 0.0]) == 0.0
