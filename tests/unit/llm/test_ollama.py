"""Ollama, over real HTTP: batches, long texts, a server that is not there or not well."""

from __future__ import annotations

import itertools
import time

import pytest

from core.errors import EmbedderUnavailableError, EmbeddingError, UsageError
from core.llm.ollama import OllamaEmbedder
from core.testing.clock import FakeClock
from tests.providers import Answer, Body, Provider, Reply, made_up_vector, ollama


def embedder(url: str, model: str = "all-minilm", dimensions: int | None = None) -> OllamaEmbedder:
    """An embedder on a server, whose waits take no time."""
    return OllamaEmbedder(
        model, dimensions, url, connect_timeout_s=0.5, read_timeout_s=0.5, clock=FakeClock()
    )


def caught_from(reply: Reply) -> tuple[EmbeddingError, int]:
    """What embedding a text on such a server raises, and how often the server was asked."""
    with Provider(reply).running() as server:
        with pytest.raises(EmbeddingError) as caught:
            embedder(server.url).embed(["hello"])
        return caught.value, len(server.bodies)


def test_thirty_two_texts_a_request() -> None:
    """Many texts go in few requests, in order, with the server's count of tokens."""
    with Provider(ollama).running() as server:
        made = embedder(server.url)
        found = made.embed([f"no {n:05d}" for n in range(70)])
        assert [len(body["input"]) for body in server.bodies] == [32, 32, 6]
        assert (found.usage.requests, found.usage.tokens) == (3, 140)
        assert (found.array[69] == made.embed(["no 00069"]).array[0]).all()


def test_a_long_text_is_cut_and_that_is_said() -> None:
    """Only the text that was refused for its length is cut; its neighbours are whole."""
    with Provider(ollama).running() as server:
        found = embedder(server.url).embed(["short", "y" * 5000, "also short"])
        assert found.shortened == (1,)
        assert found.usage.requests == len(server.bodies) == 5
        assert [body["truncate"] for body in server.bodies].count(True) == 1


def test_no_server_says_how_to_start_one() -> None:
    """Nothing listens: told at once, without retries, with the two commands that help."""
    made = embedder("http://127.0.0.1:1")
    with pytest.raises(EmbedderUnavailableError, match="no Ollama server answers") as caught:
        made.embed(["a"])
    assert "ollama serve" in str(caught.value.cure)
    assert "ollama pull all-minilm" in str(caught.value.cure)


def test_a_missing_model_says_how_to_fetch_it() -> None:
    """The server runs, the model is not there."""
    with Provider(ollama).running() as server:
        with pytest.raises(EmbedderUnavailableError, match="not found") as caught:
            embedder(server.url, "nomic-embed-text").embed(["a"])
        assert "ollama pull nomic-embed-text" in str(caught.value.cure)
        assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("answer", "says", "asked"),
    [
        (Answer(404, b"404 page not found"), "(HTTP 404) is not an Ollama server", 1),
        (Answer(302, b""), "(HTTP 302) is not an Ollama server", 1),
        (Answer(401, b"<html>log in"), "(HTTP 401) is not an Ollama server", 1),
        (Answer(503, {"error": "server busy"}), "503, server busy", 4),
        (Answer(500, {"error": "out of memory"}), "500, out of memory", 1),
        (Answer(502, b"<html>"), "502, no reason given", 4),
        (Answer(200, b'{"emb', claimed_length=99), "closed the connection", 4),
    ],
)
def test_a_server_that_is_not_well_is_unavailable(answer: Answer, says: str, asked: int) -> None:
    """Passing faults are tried again, others are not; both end as 'unavailable', with a cure."""
    error, requests = caught_from(lambda path, body: answer)
    assert type(error) is EmbedderUnavailableError
    assert says in error.what
    assert error.cure
    assert requests == asked


def test_a_busy_moment_is_not_noticed() -> None:
    """An answer after two refusals is an answer."""
    turns = itertools.count()

    def busy(path: str, body: Body) -> Answer:
        return Answer(503, {"error": "loading"}) if next(turns) < 2 else ollama(path, body)

    with Provider(busy).running() as server:
        assert embedder(server.url).embed(["a"]).array.shape == (1, 384)


def test_a_server_that_hangs_is_left_in_time() -> None:
    """A request that is not answered ends with its timeout, once."""

    def hanging(path: str, body: Body) -> Answer:
        time.sleep(1)
        return ollama(path, body)

    begin = time.monotonic()
    error, asked = caught_from(hanging)
    assert "no answer came in time" in error.what
    assert asked == 1
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>", "not JSON"),
        ([], "not 1 embeddings"),
        ({"embedding": [1.0]}, "not 1 embeddings"),
        ({"embeddings": []}, "not 1 embeddings"),
        ({"embeddings": [made_up_vector("a", 384)] * 2}, "not 1 embeddings"),
        ({"embeddings": [made_up_vector("a", 768)]}, "1 of 768 dimensions came for 1 text of 384"),
        ({"embeddings": [[0.0] * 384]}, "all zeros"),
        ({"embeddings": ["x"]}, "other than numbers"),
        ({"embeddings": [[None] * 384]}, "other than numbers"),
    ],
)
def test_a_garbled_answer_is_no_vector(body: object, says: str) -> None:
    """An answer that holds no usable vector is an error that says what was wrong with it."""
    error, _ = caught_from(lambda path, _: Answer(200, body))
    assert type(error) is EmbeddingError
    assert says in error.what


def test_a_refused_request_is_not_unavailable() -> None:
    """A request that the server calls wrong will be wrong again."""
    error, _ = caught_from(lambda path, _: Answer(400, {"error": "invalid input"}))
    assert type(error) is EmbeddingError
    assert "400, invalid input" in error.what


def test_dimensions_of_known_models_are_known() -> None:
    """A tag changes nothing; an unknown model's dimensions must be given."""
    assert embedder("http://127.0.0.1:1", "nomic-embed-text:v1.5").dimensions == 768
    assert embedder("http://127.0.0.1:1", "my-own", 99).dimensions == 99
    with pytest.raises(UsageError, match="my-own") as caught:
        embedder("http://127.0.0.1:1", "my-own")
    assert "ollama show my-own" in str(caught.value.cure)
    with pytest.raises(UsageError, match="not the URL"):
        embedder("127.0.0.1:11434")
