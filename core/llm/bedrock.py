"""Titan text embeddings V2 on Amazon Bedrock.

The API takes one text a request, so several requests are under way at once, within a bound that
holds for all threads that share the embedder. Limits are from the Bedrock user guide, "Amazon
Titan Text Embeddings models": 50,000 characters and 8,192 tokens a text. A longer text is cut
there, and `Vectors.shortened` says so.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import orjson
from botocore.exceptions import (
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from core.aws.session import AwsClient
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import (
    AccessDeniedError,
    AwsError,
    EmbedderUnavailableError,
    EmbeddingError,
    IalError,
    NotFoundError,
    TargetError,
    UsageError,
)
from core.llm.embedder import (
    BlockingEmbedder,
    Usage,
    Vectors,
    failure,
    readable,
    unit_vectors,
)
from core.resilience.retry import Retrier, RetryPolicy

TITAN_V2 = "amazon.titan-embed-text-v2:0"
TITAN_DIMENSIONS = (256, 512, 1024)
MAX_CHARACTERS = 50_000
MAX_TOKENS = 8_192
PARALLEL_REQUESTS = 8
_CUTS = 5
_TOO_MANY_TOKENS = re.compile(r"too many input tokens|token count|maxLength", re.IGNORECASE)
# What Bedrock says of a model that a region does not have.
_NO_SUCH_MODEL = re.compile(r"model identifier", re.IGNORECASE)
_TOKEN_COUNT = re.compile(r"token count:?\s*(\d+)", re.IGNORECASE)
# The body is read after the client, with its own retries, has returned.
_CUT_SHORT = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_ENABLE = (
    "Enable the model on Bedrock's page 'Model access' of this region, or choose another region "
    "with `--region`."
)
_NO_MODELS = "Does that endpoint run models? Bedrock itself is reached with `--target aws`."


@dataclass(frozen=True)
class _One:
    row: object
    tokens: int
    requests: int
    shortened: bool


class BedrockEmbedder(BlockingEmbedder):
    """Vectors from `amazon.titan-embed-text-v2:0`. Thread-safe.

    Throttling and passing faults are tried again by the client, within its retry time.
    """

    def __init__(
        self,
        client: AwsClient,
        dimensions: int = 1024,
        parallel: int = PARALLEL_REQUESTS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Over `AwsSession.client("bedrock-runtime")`, with at most `parallel` requests at once.

        Raises:
            UsageError: the model makes no vectors of so many dimensions, or parallel is below 1.
        """
        if dimensions not in TITAN_DIMENSIONS:
            raise UsageError(
                f"'{TITAN_V2}' makes no vectors of {dimensions} dimensions.",
                "Choose 256, 512 or 1024.",
            )
        if parallel < 1:
            raise UsageError(f"{parallel} requests at once embed nothing.", "Choose 1 or more.")
        self._client = client
        self._dimensions = dimensions
        self._parallel = parallel
        self._slots = threading.BoundedSemaphore(parallel)
        self._clock = clock
        self._retrier = Retrier(
            RetryPolicy(attempts=3), lambda error: isinstance(error, _CUT_SHORT), clock=clock
        )

    @property
    def model(self) -> str:
        """The model's id."""
        return TITAN_V2

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors of `texts`, one request a text; see `Embedder.embed`.

        Raises:
            EmbeddingError: a text is blank, or an answer holds no usable vector.
            EmbedderUnavailableError: Bedrock can't be reached, throttles or refuses us.
        """
        begin = self._clock.monotonic()
        found = self._all(readable(texts, TITAN_V2))
        array = unit_vectors([one.row for one in found], TITAN_V2, len(found), self._dimensions)
        usage = Usage(
            tokens=sum(one.tokens for one in found),
            requests=sum(one.requests for one in found),
            milliseconds=(self._clock.monotonic() - begin) * 1000,
            computed=len(found),
        )
        return Vectors(array, usage, tuple(n for n, one in enumerate(found) if one.shortened))

    def _all(self, texts: list[str]) -> list[_One]:
        if len(texts) < 2:
            return [self._one(text) for text in texts]
        workers = min(self._parallel, len(texts))
        with ThreadPoolExecutor(workers, thread_name_prefix="bedrock-embed") as pool:
            # Of the first failure on, `map` drops the texts that nobody has begun.
            return list(pool.map(self._one, texts))

    def _one(self, text: str) -> _One:
        rest = text[:MAX_CHARACTERS]
        for request in range(1, _CUTS + 1):
            try:
                row, tokens = self._ask(rest)
            except AwsError as error:
                shorter = _shorter(rest, error)
                if not shorter:
                    raise _translated(error) from error
                rest = shorter
            except TargetError as error:
                raise _translated(error) from error
            else:
                return _One(row, tokens, request, len(rest) < len(text))
        raise failure(TITAN_V2, f"a text of {len(text)} characters is too long, however cut")

    def _ask(self, text: str) -> tuple[object, int]:
        body = {"inputText": text, "dimensions": self._dimensions, "normalize": True}
        with self._slots:
            try:
                answer = self._retrier(lambda: self._send(orjson.dumps(body)))
            except _CUT_SHORT as error:
                raise _unavailable(f"its answer was cut short ({error})") from error
        return _read(answer, self._dimensions)

    def _send(self, body: bytes) -> bytes:
        answer = self._client.invoke_model(
            modelId=TITAN_V2, body=body, accept="application/json", contentType="application/json"
        )
        read: bytes = answer["body"].read()
        return read


def _read(answer: bytes, dimensions: int) -> tuple[object, int]:
    try:
        found = orjson.loads(answer)
    except orjson.JSONDecodeError as error:
        raise failure(TITAN_V2, "its answer is not JSON") from error
    if not isinstance(found, dict) or "embedding" not in found:
        raise failure(TITAN_V2, "its answer holds no embedding", _NO_MODELS)
    row = unit_vectors([found["embedding"]], TITAN_V2, 1, dimensions)[0]
    tokens = found.get("inputTextTokenCount")
    return row, tokens if isinstance(tokens, int) else 0


def _shorter(text: str, error: AwsError) -> str:
    """The text cut to fit, where it was refused for its length; empty otherwise."""
    if error.code != "ValidationException" or not _TOO_MANY_TOKENS.search(error.what):
        return ""
    counted = _TOKEN_COUNT.search(error.what)
    share = 0.5
    if counted and int(counted[1]) > MAX_TOKENS:
        # A little less than the share that fits: tokens are not spread evenly over a text.
        share = 0.95 * MAX_TOKENS / int(counted[1])
    return text[: int(len(text) * share)]


def _translated(error: IalError) -> EmbeddingError:
    """A request that is wrong stays so; whatever else is in the way is the model's absence."""
    invalid = isinstance(error, AwsError) and error.code == "ValidationException"
    absent = isinstance(error, AccessDeniedError | NotFoundError)
    if absent or (invalid and _NO_SUCH_MODEL.search(error.what)):
        return _unavailable(_clause(error.what), _ENABLE)
    if invalid:
        return failure(TITAN_V2, _clause(error.what), error.cure)
    return _unavailable(_clause(error.what), error.cure)


def _clause(sentence: str) -> str:
    return sentence.rstrip(".")


def _unavailable(reason: str, cure: str | None = None) -> EmbedderUnavailableError:
    return EmbedderUnavailableError(
        f"The embedding model '{TITAN_V2}' on Bedrock can't be used now: {reason}.",
        cure or "Try again in a moment.",
        model=TITAN_V2,
        reason=reason,
    )
