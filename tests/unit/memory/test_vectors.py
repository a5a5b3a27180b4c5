"""Stored vectors find what exact ones find, and models are never mixed."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import UsageError
from core.llm.hashing import HashingEmbedder
from core.memory.vectors import Codec, check_model, pack, unpack
from tests.conftest import SHARED_DATA

VECTORS = SHARED_DATA / "locomo-dev-minilm.npz"
QUERIES = 500


@pytest.mark.skipif(not VECTORS.exists(), reason="the vectors of LoCoMo are not on this machine")
@pytest.mark.parametrize(
    ("codec", "at_least", "bytes_each"),
    [(Codec.FLOAT32_ZLIB, 1.0, 1600), (Codec.FLOAT16, 0.999, 786), (Codec.INT8, 0.98, 402)],
)
def test_recall_on_real_vectors(codec: Codec, at_least: float, bytes_each: int) -> None:
    """Of the ten nearest by exact cosine, this share is among the ten nearest as stored."""
    with np.load(VECTORS) as data:
        exact = data["vectors"].astype(np.float32)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    queries, corpus = exact[:QUERIES], exact[QUERIES:]
    envelopes = [pack(vector, codec) for vector in corpus]
    stored = np.array([unpack(envelope) for envelope in envelopes])
    nearest = [np.argsort(-(queries @ kept.T), axis=1)[:, :10] for kept in (corpus, stored)]
    shared = [len(set(a) & set(b)) for a, b in zip(*nearest, strict=True)]
    assert sum(shared) / (10 * QUERIES) >= at_least
    assert max(map(len, envelopes)) <= bytes_each


def test_models_are_never_mixed() -> None:
    """The same model and length pass; another of either is told with what would help."""
    embedder = HashingEmbedder(256)
    check_model("hashing-v1", 256, embedder)
    for model, dimensions in [("hashing-v1", 384), ("all-MiniLM-L6-v2", 256)]:
        with pytest.raises(UsageError, match=f"'{model}' with {dimensions} dimensions") as caught:
            check_model(model, dimensions, embedder)
        assert f"Choose the embedder '{model}'" in str(caught.value.cure)
