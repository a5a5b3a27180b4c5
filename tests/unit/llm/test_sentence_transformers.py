"""The model on this machine: loaded when first needed, and missing with a sentence."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from core.errors import EmbedderUnavailableError
from core.llm.sentence_transformers import SentenceTransformersEmbedder
from tests.conftest import SHARED_DATA

INSTALLED = importlib.util.find_spec("sentence_transformers") is not None
needs_model = pytest.mark.skipif(
    not INSTALLED, reason="the extra local-embeddings is not installed"
)
VECTORS = SHARED_DATA / "locomo-dev-minilm.npz"
# A turn of the data set, found there by its digest.
QUESTION = "When did Caroline go to the LGBTQ support group?"


@pytest.mark.skipif(INSTALLED, reason="the extra local-embeddings is installed")
def test_a_missing_package_says_how_to_install_it() -> None:
    """Made without a word; the first text names the package and the command."""
    made = SentenceTransformersEmbedder()
    assert (made.model, made.dimensions) == ("all-MiniLM-L6-v2", 384)
    with pytest.raises(EmbedderUnavailableError, match="'sentence_transformers'") as caught:
        made.embed(["hello"])
    assert 'pip install "ialctl[local-embeddings]"' in str(caught.value.cure)


@needs_model
def test_meaning_is_known() -> None:
    """Words of one meaning are alike, which no lexical embedder knows; tokens are counted."""
    found = SentenceTransformersEmbedder().embed(["automobile", "car", "a bowl of soup"])
    assert found.array[0] @ found.array[1] > 0.8 > 0.5 > found.array[0] @ found.array[2]
    assert 3 <= found.usage.tokens <= 30


@needs_model
def test_the_end_that_the_model_does_not_see_is_said() -> None:
    """Over 256 tokens, a text is shortened and its tokens are those that were seen."""
    found = SentenceTransformersEmbedder().embed(["short", "word " * 500])
    assert found.shortened == (1,)
    assert found.usage.tokens < 270


@needs_model
@pytest.mark.skipif(not VECTORS.exists(), reason="the vectors of LoCoMo are not on this machine")
def test_vectors_are_those_of_the_model_everywhere() -> None:
    """The carried files give the vectors that the same model gave elsewhere."""
    with np.load(VECTORS) as data:
        digests, vectors = data["text_sha256_32"].tolist(), data["vectors"]
    digest = hashlib.sha256(QUESTION.encode()).hexdigest()[:32]
    stored = vectors[digests.index(digest)].astype(np.float32)
    assert SentenceTransformersEmbedder().embed([QUESTION]).array[0] @ stored > 0.999


@needs_model
def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    """Another folder may be given; what can't be loaded is unavailable, not a traceback."""
    with pytest.raises(EmbedderUnavailableError, match="no model can be loaded"):
        SentenceTransformersEmbedder(tmp_path, "own", 8).embed(["hello"])
