"""Embeddings from an Ollama server, usually on this machine: `POST /api/embed`.

A text longer than the model's context is cut by the server, and `Vectors.shortened` says so:
each request first asks for no cutting, and only a refused text is sent again to be cut.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import urllib3

from core.clock import SYSTEM_CLOCK, Clock
from core.errors import EmbedderUnavailableError, EmbeddingError, UsageError
from core.llm.embedder import (
    BlockingEmbedder,
    Usage,
    Vectors,
    failure,
    readable,
    unit_vectors,
)
from core.resilience.retry import Retrier, RetryPolicy

DEFAULT_URL = "http://127.0.0.1:11434"
DEFAULT_MODEL = "nomic-embed-text"
TEXTS_A_REQUEST = 32
KNOWN_DIMENSIONS: Mapping[str, int] = {
    "all-minilm": 384,
    "bge-large": 1024,
    "bge-m3": 1024,
    "embeddinggemma": 768,
    "mxbai-embed-large": 1024,
    "nomic-embed-text": 768,
    "paraphrase-multilingual": 768,
    "snowflake-arctic-embed": 1024,
    "snowflake-arctic-embed2": 1024,
}
_TOO_LONG = re.compile(r"context length|input length", re.IGNORECASE)
_WRONG_REQUEST = frozenset({400, 413, 422})
# 503 while a model loads or the queue is full.
_PASSING = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class _Part:
    """What some of the texts came to."""

    rows: list[Any]
    tokens: int
    requests: int
    shortened: tuple[bool, ...]


class _RefusedError(Exception):
    """The server's own words, before they are made a sentence of ours; never leaves here."""

    def __init__(self, status: int, told: str) -> None:
        super().__init__(told)
        self.status = status
        self.told = told


class OllamaEmbedder(BlockingEmbedder):
    """Vectors from a model that an Ollama server runs. Thread-safe."""

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        dimensions: int | None = None,
        base_url: str = DEFAULT_URL,
        *,
        connect_timeout_s: float = 2.0,
        read_timeout_s: float = 60.0,
        policy: RetryPolicy | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """A model of the server at `base_url`; its first answer may take as long as it loads.

        Raises:
            UsageError: the URL is none, or the dimensions of a model unknown here aren't given.
        """
        known = dimensions or KNOWN_DIMENSIONS.get(model.partition(":")[0])
        if known is None or known < 1:
            raise UsageError(
                f"How many dimensions the Ollama model '{model}' has is not known here.",
                f"Give its dimensions: 'embedding length' in `ollama show {model}`.",
            )
        if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", base_url):
            raise UsageError(
                f"'{base_url}' is not the URL of an Ollama server.", f"Such as {DEFAULT_URL}."
            )
        self._model, self._dimensions = model, known
        self._base_url = base_url.rstrip("/")
        self._clock = clock
        self._pool = urllib3.PoolManager(
            maxsize=8, timeout=urllib3.Timeout(connect=connect_timeout_s, read=read_timeout_s)
        )
        self._retrier = Retrier(policy or RetryPolicy(attempts=4, total_s=10), _passing, clock)

    @property
    def model(self) -> str:
        """The model's name, as `ollama list` shows it."""
        return self._model

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors of `texts`, 32 a request; see `Embedder.embed`.

        Raises:
            EmbeddingError: a text is blank, or the answer is not one usable vector a text.
            EmbedderUnavailableError: no server answers there, or it does not have the model.
        """
        begin = self._clock.monotonic()
        clean = readable(texts, self._model)
        parts = [
            self._part(clean[start : start + TEXTS_A_REQUEST])
            for start in range(0, len(clean), TEXTS_A_REQUEST)
        ]
        rows = [row for part in parts for row in part.rows]
        shortened = [cut for part in parts for cut in part.shortened]
        usage = Usage(
            tokens=sum(part.tokens for part in parts),
            requests=sum(part.requests for part in parts),
            milliseconds=(self._clock.monotonic() - begin) * 1000,
            computed=len(clean),
        )
        array = unit_vectors(rows, self._model, len(clean), self._dimensions)
        return Vectors(array, usage, tuple(n for n, cut in enumerate(shortened) if cut))

    def _part(self, texts: list[str]) -> _Part:
        try:
            return self._ask(texts, cut=False)
        except _RefusedError as error:
            if not _too_long(error):
                raise self._sentence(error) from error
        # One is too long, and the refusal does not say which.
        parts = [self._cut(text) for text in texts]
        return _Part(
            [row for part in parts for row in part.rows],
            sum(part.tokens for part in parts),
            1 + sum(part.requests for part in parts),
            tuple(cut for part in parts for cut in part.shortened),
        )

    def _cut(self, text: str) -> _Part:
        try:
            return self._ask([text], cut=False)
        except _RefusedError as error:
            if not _too_long(error):
                raise self._sentence(error) from error
        try:
            part = self._ask([text], cut=True)
        except _RefusedError as error:
            raise self._sentence(error) from error
        return _Part(part.rows, part.tokens, 2, (True,))

    def _ask(self, texts: list[str], *, cut: bool) -> _Part:
        body = orjson.dumps({"model": self._model, "input": texts, "truncate": cut})
        try:
            answer = self._retrier(lambda: self._send(body))
        except urllib3.exceptions.HTTPError as error:
            raise self._down(error) from error
        try:
            found = orjson.loads(answer)
        except orjson.JSONDecodeError as error:
            raise failure(self._model, "its answer is not JSON") from error
        rows = found.get("embeddings") if isinstance(found, dict) else None
        if not isinstance(rows, list) or len(rows) != len(texts):
            raise failure(self._model, f"its answer holds not {len(texts)} embeddings")
        tokens = found.get("prompt_eval_count")
        counted = tokens if isinstance(tokens, int) else 0
        return _Part(rows, counted, 1, (False,) * len(texts))

    def _send(self, body: bytes) -> bytes:
        answer = self._pool.request(
            "POST",
            f"{self._base_url}/api/embed",
            body=body,
            headers={"Content-Type": "application/json"},
            retries=False,
        )
        if answer.status != 200:
            raise _RefusedError(answer.status, _told(answer.data))
        return answer.data

    def _sentence(self, error: _RefusedError) -> EmbeddingError:
        told = error.told
        if error.status == 404 and "model" in told:
            return self._unavailable(told, f"Fetch the model: `ollama pull {self._model}`.")
        if error.status in _WRONG_REQUEST:
            return failure(self._model, f"the server answers {error.status}, {told}")
        if error.status >= 429:
            return self._unavailable(
                f"the server answers {error.status}, {told}",
                "Look into the server's log; is there memory enough for the model?",
            )
        return self._unavailable(
            f"what answers at {self._base_url} (HTTP {error.status}) is not an Ollama server of "
            "version 0.3 or newer",
            "Check the address, and `ollama --version`.",
        )

    def _down(self, error: urllib3.exceptions.HTTPError) -> EmbedderUnavailableError:
        if isinstance(error, urllib3.exceptions.ReadTimeoutError):
            return self._unavailable(
                f"no answer came in time from {self._base_url}",
                "Is the model too large for this machine? Choose a smaller one.",
            )
        if isinstance(error, urllib3.exceptions.ProtocolError):
            return self._unavailable(
                f"{self._base_url} closed the connection in the middle",
                "Look into the server's log; is there memory enough for the model?",
            )
        return self._unavailable(
            f"no Ollama server answers at {self._base_url}",
            f"Start it with `ollama serve`, and fetch the model: `ollama pull {self._model}`.",
        )

    def _unavailable(self, reason: str, cure: str) -> EmbedderUnavailableError:
        return EmbedderUnavailableError(
            f"The embedding model '{self._model}' of Ollama can't be used now: {reason}.",
            cure,
            model=self._model,
            reason=reason,
        )


def _too_long(error: _RefusedError) -> bool:
    return error.status in {400, 500} and _TOO_LONG.search(error.told) is not None


def _passing(error: BaseException) -> bool:
    """A busy server, or a connection that broke; one that nobody listens to stays so."""
    if isinstance(error, _RefusedError):
        return error.status in _PASSING
    return isinstance(error, urllib3.exceptions.ProtocolError)


def _told(body: bytes) -> str:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "no reason given"
    told = found.get("error") if isinstance(found, dict) else None
    return " ".join(str(told or "no reason given").split())[:300].rstrip(".")
