"""The embedder that the settings name: each of them, and what does not go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.aws.session import AwsSession
from core.errors import SettingsError, UsageError
from core.llm.cached import ENTRY_OVERHEAD_BYTES, CachedEmbedder
from core.llm.choosing import MIB, USABLE_TEXTS, open_embedder
from core.llm.hashing import HashingEmbedder
from core.llm.ollama import DEFAULT_URL
from core.settings import EMBEDDERS, Settings, load_settings
from core.testing.clock import FakeClock
from tests.providers import Provider, ollama, titan


def chosen(**flags: Any) -> CachedEmbedder:
    """The embedder of these settings."""
    settings = load_settings(flags, environment={}, folder=Path("/nowhere")).settings
    return open_embedder(settings, AwsSession(settings), FakeClock())


def test_without_settings_texts_are_hashed() -> None:
    """A newcomer needs no model: the vectors are those of the hashing embedder."""
    found = chosen().embed(["She adopted a puppy."])
    assert (found.array == HashingEmbedder().embed(["She adopted a puppy."]).array).all()


@pytest.mark.parametrize(
    ("flags", "model", "dimensions"),
    [
        ({"embedder": "hashing"}, "hashing-v1", 384),
        ({"embedding_dimensions": 64}, "hashing-v1", 64),
        ({"embedding_model": "hashing-v1"}, "hashing-v1", 384),
        ({"embedding_model": "hashing-v1-seed7"}, "hashing-v1-seed7", 384),
        ({"embedder": "ollama"}, "nomic-embed-text", 768),
        ({"embedder": "ollama", "embedding_model": "all-minilm:33m"}, "all-minilm:33m", 384),
        (
            {"embedder": "ollama", "embedding_model": "mine", "embedding_dimensions": 77},
            "mine",
            77,
        ),
        ({"embedder": "bedrock", "target": "aws"}, "amazon.titan-embed-text-v2:0", 1024),
        (
            {"embedder": "bedrock", "endpoint_url": "http://x:1", "embedding_dimensions": 256},
            "amazon.titan-embed-text-v2:0",
            256,
        ),
        ({"embedder": "sentence-transformers"}, "all-MiniLM-L6-v2", 384),
    ],
)
def test_each_embedder_can_be_chosen(flags: dict[str, Any], model: str, dimensions: int) -> None:
    """Model and dimensions are the settings', or the embedder's own; nobody is asked."""
    found = chosen(**{"region": "eu-west-1", **flags})
    assert (found.model, found.dimensions) == (model, dimensions)


def test_a_folder_is_a_model_of_sentence_transformers(tmp_path: Path) -> None:
    """The model is called like the folder, wherever that lies."""
    folder = tmp_path / "my-model"
    folder.mkdir()
    found = chosen(
        embedder="sentence-transformers", embedding_model=str(folder), embedding_dimensions=12
    )
    assert (found.model, found.dimensions) == ("my-model", 12)


@pytest.mark.parametrize(
    ("flags", "says", "cure"),
    [
        ({"embedding_model": "nomic-embed-text"}, "no model 'nomic-embed-text'", "`embedder`"),
        ({"embedding_dimensions": 8}, "8 dimensions", "16 to 4096"),
        ({"embedder": "bedrock"}, "runs no models", "--target aws"),
        ({"embedder": "bedrock", "target": "aws", "embedding_model": "x"}, "'x'", "titan"),
        ({"embedder": "bedrock", "target": "aws", "embedding_dimensions": 384}, "384", "512"),
        ({"embedder": "ollama", "embedding_dimensions": 384}, "768 dimensions", "leave"),
        ({"embedder": "ollama", "embedding_model": "mine"}, "'mine'", "ollama show mine"),
        (
            {"embedder": "sentence-transformers", "embedding_dimensions": 768},
            "384 dimensions, not 768",
            "leave",
        ),
        (
            {"embedder": "sentence-transformers", "embedding_model": "/nowhere/at/all"},
            "no such folder",
            "folder",
        ),
        (
            {"embedder": "sentence-transformers", "embedding_model": "/"},
            "is not known here",
            "embedding_dimensions",
        ),
    ],
)
def test_what_does_not_go_together_is_told(flags: dict[str, Any], says: str, cure: str) -> None:
    """A wrong combination is one sentence and a cure, when it is opened and not later."""
    with pytest.raises(UsageError) as caught:
        chosen(**{"region": "eu-west-1", **flags})
    assert says in caught.value.what
    assert cure.lower() in (caught.value.cure or "").lower()


def test_an_embedder_unknown_here_is_refused_with_the_known_ones() -> None:
    """The sentence lists what can be chosen."""
    with pytest.raises(SettingsError, match=" or ".join(EMBEDDERS)):
        chosen(embedder="word2vec")


def test_the_cache_is_bounded_by_its_setting() -> None:
    """No more bytes than set; but a cache that can hold nothing is of no use to anyone."""
    found = chosen(embedding_cache_mb=1)
    texts = [f"text {n}" for n in range(700)]
    found.embed(texts)
    entry = 384 * 4 + ENTRY_OVERHEAD_BYTES
    assert MIB - entry <= found.statistics().bytes <= MIB
    large = chosen(embedding_cache_mb=1, embedding_dimensions=4096)
    large.embed(texts[:100])
    assert large.statistics().entries == USABLE_TEXTS


def test_ollama_is_asked_at_its_url() -> None:
    """`ollama_url` is where the texts go; its default is the embedder's."""
    assert Settings().ollama_url == DEFAULT_URL
    with Provider(ollama).running() as server:
        found = chosen(
            embedder="ollama", embedding_model="all-minilm", ollama_url=server.url
        ).embed(["one"])
        assert len(server.bodies) == found.usage.computed == 1


def test_bedrock_is_asked_through_the_session() -> None:
    """The session's endpoint answers, with the dimensions set."""
    with Provider(titan).running() as server:
        found = chosen(embedder="bedrock", endpoint_url=server.url, embedding_dimensions=512).embed(
            ["one"]
        )
        assert found.array.shape == (1, 512)
        assert server.bodies[0]["dimensions"] == 512
