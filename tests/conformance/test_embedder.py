"""What every embedder guarantees, whoever makes its vectors."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.aws.session import AwsSession
from core.errors import EmbeddingError
from core.llm.bedrock import BedrockEmbedder
from core.llm.cached import CachedEmbedder
from core.llm.embedder import Embedder
from core.llm.hashing import HashingEmbedder
from core.llm.ollama import OllamaEmbedder
from core.llm.sentence_transformers import SentenceTransformersEmbedder
from core.settings import load_settings
from tests.providers import Provider, ollama, titan

KINDS = ["hashing", "bedrock", "ollama", "sentence-transformers", "cached", "cached-bedrock"]


@pytest.fixture(scope="module", params=KINDS)
def embedder(request: pytest.FixtureRequest) -> Iterator[Embedder]:
    """Each embedder in turn."""
    kind = str(request.param)
    if kind == "sentence-transformers":
        if importlib.util.find_spec("sentence_transformers") is None:
            pytest.skip("the extra local-embeddings is not installed")
        yield SentenceTransformersEmbedder()
    elif kind == "ollama":
        with Provider(ollama).running() as server:
            yield OllamaEmbedder("all-minilm", base_url=server.url)
    elif kind.endswith("bedrock"):
        with Provider(titan).running() as server:
            settings = load_settings({"endpoint_url": server.url}, environment={}).settings
            made = BedrockEmbedder(AwsSession(settings).client("bedrock-runtime"), 256)
            yield CachedEmbedder(made) if kind.startswith("cached") else made
    else:
        hashing = HashingEmbedder()
        yield CachedEmbedder(hashing) if kind == "cached" else hashing


TEXTS = ["Caroline went to Lisbon.", "去北京的火车", "🎉🎉", "?!", "a", "the of and", "x" * 3000]


def test_each_text_has_a_unit_vector(embedder: Embedder) -> None:
    """One read-only float32 row a text, of the promised length, whatever the text is of."""
    found = embedder.embed(TEXTS)
    assert found.array.shape == (len(TEXTS), embedder.dimensions)
    assert found.array.dtype == np.float32
    assert np.linalg.norm(found.array, axis=1) == pytest.approx(1, abs=1e-5)
    assert found.usage.milliseconds >= 0
    with pytest.raises(ValueError, match="read-only"):
        found.array[0, 0] = 1


def test_no_texts_cost_nothing(embedder: Embedder) -> None:
    """An empty list is answered without asking anybody."""
    found = embedder.embed([])
    assert found.array.shape == (0, embedder.dimensions)
    assert (found.usage.tokens, found.usage.requests, found.shortened) == (0, 0, ())
    assert found.usage.computed == 0


def test_texts_that_were_computed_are_counted(embedder: Embedder) -> None:
    """Every text counts for which a vector was made, and none that a cache had."""
    texts = [f"never seen before {n}" for n in range(3)]
    assert embedder.embed(texts).usage.computed == 3
    again = embedder.embed([*texts, "nor this one"]).usage.computed
    assert again == (1 if isinstance(embedder, CachedEmbedder) else 4)


def test_a_vector_depends_on_its_text_alone(embedder: Embedder) -> None:
    """Alone, in company, repeated, or asked again: the same text has the same vector."""
    alone = embedder.embed(["Where is my umbrella?"]).array[0]
    mixed = embedder.embed(["Other.", "Where is my umbrella?", "Other."]).array
    assert np.abs(mixed[1] - alone).max() < 1e-5
    assert np.abs(mixed[0] - mixed[2]).max() < 1e-5
    assert np.abs(mixed[0] - alone).max() > 1e-3


@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\u3000"])
def test_a_blank_text_is_refused(embedder: Embedder, blank: str) -> None:
    """The error names the model and which text it was; nothing is embedded."""
    with pytest.raises(EmbeddingError, match="text 2 of 3 is blank") as caught:
        embedder.embed(["one", blank, "three"])
    assert caught.value.fields["model"] == embedder.model
    assert embedder.model in caught.value.what


def test_one_text_is_not_a_list_of_letters(embedder: Embedder) -> None:
    """A text given in place of a list is told, rather than embedded letter by letter."""
    with pytest.raises(EmbeddingError, match="a single text"):
        embedder.embed("hello")


def test_half_a_surrogate_pair_is_embedded_as_unreadable(embedder: Embedder) -> None:
    """Text that is no proper Unicode does not stop its neighbours."""
    found = embedder.embed(["half \ud83d of a pair", "fine"])
    assert np.isfinite(found.array).all()
    again = embedder.embed(["half \ufffd of a pair"])
    assert np.abs(found.array[0] - again.array[0]).max() < 1e-5


def test_a_very_long_text_is_embedded(embedder: Embedder) -> None:
    """A megabyte has a vector; where the model did not see all of it, that is said."""
    found = embedder.embed(["word " * 200_000, "short"])
    assert np.linalg.norm(found.array, axis=1) == pytest.approx(1, abs=1e-5)
    assert found.shortened == (() if embedder.model.startswith("hashing") else (0,))


def test_the_async_twin_answers_the_same(embedder: Embedder) -> None:
    """Awaited, the same vectors come, and the loop goes on meanwhile."""

    async def both() -> float:
        ticks = asyncio.create_task(asyncio.sleep(0))
        first, second = await asyncio.gather(
            embedder.embed_async(["one", "two"]), embedder.embed_async(["two"])
        )
        await ticks
        return float(np.abs(first.array[1] - second.array[0]).max())

    assert asyncio.run(both()) < 1e-5


def test_many_threads_share_one(embedder: Embedder) -> None:
    """Eight threads at once get what one would have got."""
    texts = [f"message {n % 5}" for n in range(40)]
    alone = {text: embedder.embed([text]).array[0] for text in set(texts)}
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: embedder.embed([text]).array[0], texts))
    for text, vector in zip(texts, found, strict=True):
        assert np.abs(vector - alone[text]).max() < 1e-5
