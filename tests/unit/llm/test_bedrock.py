"""Titan on Bedrock, over real HTTP: bounds, limits, throttles, and answers that are none."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

from core.aws.session import AwsSession
from core.errors import EmbedderUnavailableError, EmbeddingError, UsageError
from core.llm.bedrock import BedrockEmbedder
from core.settings import load_settings
from core.testing.clock import FakeClock
from tests.providers import Answer, Body, Provider, Reply, made_up_vector, titan


def embedder(url: str, **options: Any) -> BedrockEmbedder:
    """An embedder of 256 dimensions on a server, whose waits take no time."""
    flags = {"endpoint_url": url, "read_timeout_s": 1.0, "connect_timeout_s": 0.5}
    clock = FakeClock()
    session = AwsSession(load_settings(flags, environment={}).settings, clock=clock)
    return BedrockEmbedder(session.client("bedrock-runtime"), 256, clock=clock, **options)


def caught_from(reply: Reply) -> tuple[EmbeddingError, int]:
    """What embedding a text on such a server raises, and how often the server was asked."""
    with Provider(reply).running() as server:
        with pytest.raises(EmbeddingError) as caught:
            embedder(server.url).embed(["hello"])
        return caught.value, len(server.bodies)


def test_a_request_a_text_with_its_tokens_counted() -> None:
    """Each text is one request; tokens are the provider's own count."""
    with Provider(titan).running() as server:
        found = embedder(server.url).embed(["abcd", "abcdefgh", "x"])
        assert (found.usage.requests, found.usage.tokens) == (3, 1 + 2 + 1)
        asked = {"inputText": "abcd", "dimensions": 256, "normalize": True}
        assert asked in server.bodies
    assert found.shortened == ()


def test_requests_go_side_by_side_within_the_bound() -> None:
    """Several at once, never more than asked for, and the answers keep the texts' order."""

    def slow(path: str, body: Body) -> Answer:
        time.sleep(0.03)
        return titan(path, body)

    texts = [f"text {n}" for n in range(12)]
    with Provider(slow).running() as server:
        made = embedder(server.url, parallel=3)
        found = made.embed(texts)
        assert 2 <= server.most_at_once <= 3
        assert (found.array[5] == made.embed(["text 5"]).array[0]).all()


@pytest.mark.parametrize("length", [50_001, 40_000, 1_000_000])
def test_a_long_text_is_cut_and_that_is_said(length: int) -> None:
    """Over the limit of characters or tokens, the beginning is embedded; which text is told."""
    with Provider(titan).running() as server:
        found = embedder(server.url).embed(["short", "y" * length])
        assert found.shortened == (1,)
        assert found.usage.tokens <= 8192 + 2
        assert found.usage.tokens > 7000
        assert found.usage.requests == 3


def test_a_refusal_without_a_count_halves_the_text() -> None:
    """Where the service does not say how many tokens there are, cutting still ends."""

    def curt(path: str, body: Body) -> Answer:
        if len(body["inputText"]) > 1000:
            return Answer(400, {"message": "Too many input tokens."}, "ValidationException")
        return titan(path, body)

    with Provider(curt).running() as server:
        assert embedder(server.url).embed(["z" * 4000]).shortened == (0,)
        with pytest.raises(EmbeddingError, match="too long, however cut"):
            embedder(server.url).embed(["z" * 50_000])


def test_throttling_is_waited_out() -> None:
    """A throttled request is sent again; the caller sees vectors."""
    turns = itertools.count()

    def throttling(path: str, body: Body) -> Answer:
        if next(turns) % 3 != 2:
            return Answer(429, {"message": "Too many requests"}, "ThrottlingException")
        return titan(path, body)

    with Provider(throttling).running() as server:
        assert embedder(server.url, parallel=1).embed(["a", "b"]).array.shape == (2, 256)
        assert len(server.bodies) == 6


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (429, "ThrottlingException", "ThrottlingException"),
        (403, "AccessDeniedException", "may not call InvokeModel"),
        (404, "ResourceNotFoundException", "ResourceNotFoundException"),
        (400, "ExpiredTokenException", "expired"),
        (429, "ModelNotReadyException", "ModelNotReadyException"),
        (408, "ModelTimeoutException", "ModelTimeoutException"),
        (424, "ModelErrorException", "ModelErrorException"),
        (503, "ServiceUnavailableException", "ServiceUnavailableException"),
        (500, "InternalServerException", "InternalServerException"),
    ],
)
def test_a_model_that_is_down_is_told_from_a_text_without_vector(
    status: int, code: str, says: str
) -> None:
    """Whatever keeps Bedrock from answering is 'unavailable', with a cure: go on without it."""
    error, _ = caught_from(lambda path, body: Answer(status, {"message": "m"}, code))
    assert type(error) is EmbedderUnavailableError
    assert says in error.what
    assert error.cure
    assert error.fields["model"] == "amazon.titan-embed-text-v2:0"


def test_a_region_without_the_model() -> None:
    """Bedrock calls that an invalid identifier; the cure is another region."""
    told = {"message": "The provided model identifier is invalid."}
    error, _ = caught_from(lambda path, body: Answer(400, told, "ValidationException"))
    assert type(error) is EmbedderUnavailableError
    assert "--region" in str(error.cure)


def test_nothing_listens_there() -> None:
    """No endpoint is an unavailable model."""
    with pytest.raises(EmbedderUnavailableError, match=r"127\.0\.0\.1:1"):
        embedder("http://127.0.0.1:1").embed(["a"])


def test_a_refused_request_is_not_unavailable() -> None:
    """A request that the service calls wrong will be wrong again: an EmbeddingError, asked once."""
    error, asked = caught_from(lambda p, b: Answer(400, {"message": "no"}, "ValidationException"))
    assert type(error) is EmbeddingError
    assert asked == 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>hello</html>", "not JSON"),
        (b"", "not JSON"),
        (b'{"embedding": [NaN]}', "not JSON"),
        ([1], "no embedding"),
        ({"message": "hm"}, "no embedding"),
        ({"embedding": None}, "gave no usable vector"),
        ({"embedding": "text"}, "other than numbers"),
        ({"embedding": []}, "1 of 0 dimensions"),
        ({"embedding": made_up_vector("t", 512)}, "1 of 512 dimensions came for 1 text of 256"),
        ({"embedding": [0.0] * 256}, "all zeros"),
        ({"embedding": [[1.0] * 256]}, "shape"),
    ],
)
def test_a_garbled_answer_is_no_vector(body: object, says: str) -> None:
    """An answer that holds no usable vector is an error that says what was wrong with it."""
    error, _ = caught_from(lambda path, _: Answer(200, body))
    assert type(error) is EmbeddingError
    assert says in error.what


def test_an_endpoint_without_models_is_told_as_one() -> None:
    """An emulator that answers with something of its own: the cure names the real service."""
    error, _ = caught_from(lambda path, _: Answer(200, {"completion": "Hello!"}))
    assert "--target aws" in str(error.cure)


def test_an_answer_cut_in_the_middle_is_asked_for_again() -> None:
    """A body that breaks off is retried, and then the model is unavailable."""
    turns = itertools.count()

    def breaking(path: str, body: Body) -> Answer:
        good = titan(path, body)
        return good if next(turns) else Answer(200, b'{"embed', claimed_length=500)

    with Provider(breaking).running() as server:
        assert embedder(server.url).embed(["a"]).array.shape == (1, 256)
    error, asked = caught_from(lambda p, b: Answer(200, b'{"embed', claimed_length=500))
    assert type(error) is EmbedderUnavailableError
    assert asked == 3


def test_the_first_failure_ends_a_batch() -> None:
    """All vectors or none: texts that nobody has begun are not sent after a failure."""

    def failing(path: str, body: Body) -> Answer:
        time.sleep(0.01)
        return Answer(400, {"message": "no"}, "ValidationException")

    with Provider(failing).running() as server:
        with pytest.raises(EmbeddingError):
            embedder(server.url, parallel=2).embed(["t"] * 50)
        assert len(server.bodies) < 10


@pytest.mark.parametrize("wrong", [{"dimensions": 384}, {"parallel": 0}])
def test_what_titan_can_not_make_is_refused_at_once(wrong: dict[str, Any]) -> None:
    """Dimensions that the model lacks are told before a request is sent."""
    settings = load_settings({"endpoint_url": "http://127.0.0.1:1"}, environment={}).settings
    client = AwsSession(settings).client("bedrock-runtime")
    with pytest.raises(UsageError):
        BedrockEmbedder(client, **wrong)
