"""What an embedder is: texts in, unit vectors and what they cost out.

Every embedder passes `tests/conformance/test_embedder.py`. What a provider answers is never taken
on trust: `unit_vectors` is the one way from numbers to `Vectors`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from core.errors import EmbeddingError

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Usage:
    """What texts cost: tokens (0 where the model counts none), requests sent, milliseconds.

    `computed` counts the texts whose vector was made for this call, not found in a cache.
    """

    tokens: int = 0
    requests: int = 0
    milliseconds: float = 0.0
    computed: int = 0


@dataclass(frozen=True, eq=False)
class Vectors:
    """One vector a text, in the texts' order.

    `array` is float32 of shape (texts, dimensions), read-only, every row of length 1. `shortened`
    holds the positions of texts that were too long for the model, whose end it never saw.
    """

    array: FloatArray
    usage: Usage
    shortened: tuple[int, ...] = ()


class Embedder(Protocol):
    """Turns texts into vectors whose dot product is their similarity. Thread-safe.

    The same text gives the same vector for as long as `model` and `dimensions` are the same;
    vectors of two models are never comparable. No texts give no vectors, and cost nothing.
    """

    @property
    def model(self) -> str:
        """The model's name, stored beside each vector."""

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has; known without asking anybody."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors of `texts`, all of them or none.

        Raises:
            EmbeddingError: a text is blank, or the answer is not one usable vector a text.
            EmbedderUnavailableError: the model can't be reached, refuses us, or is not there.
        """

    async def embed_async(self, texts: Sequence[str]) -> Vectors:
        """As `embed`, without blocking the event loop; raises the same."""


class BlockingEmbedder(ABC):
    """The async twin for embedders that block: a thread of the loop's default executor.

    A cancelled call ends at once for who awaits it; the request already sent runs to its end.
    """

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors of `texts`; see `Embedder.embed`."""

    async def embed_async(self, texts: Sequence[str]) -> Vectors:
        """As `embed`, in a thread."""
        return await asyncio.to_thread(self.embed, texts)


def readable(texts: Sequence[str], model: str) -> list[str]:
    """The texts as a model can take them: halves of surrogate pairs become U+FFFD.

    Raises:
        EmbeddingError: a text is blank; it has no meaning that a vector could show.
    """
    if isinstance(texts, str):
        raise failure(model, "a single text was given in place of a list of texts")
    for position, text in enumerate(texts):
        if not text.strip():
            raise failure(model, f"text {position + 1} of {len(texts)} is blank")
    return [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]


def unit_vectors(rows: object, model: str, texts: int, dimensions: int) -> FloatArray:
    """What a provider answered, checked and brought to length 1.

    Args:
        rows: anything; usable is one list of `dimensions` finite numbers a text.
        model: named in the error.
        texts: how many vectors there must be.
        dimensions: how many numbers each must have.

    Raises:
        EmbeddingError: the shape is another, a number is not finite, a vector is all zeros.
    """
    if texts == 0:
        return _frozen(np.zeros((0, dimensions), np.float32))
    found = _as_numbers(rows, model)
    if found.shape != (texts, dimensions):
        raise failure(
            model,
            f"{_shape(found)} came for {texts} text{'s' * (texts != 1)} of {dimensions} dimensions",
        )
    if not np.isfinite(found).all():
        raise failure(model, "a vector holds NaN or infinity")
    # Scaled first: the square of a very large or very small number is no number any more.
    largest = np.abs(found).max(axis=1, keepdims=True)
    if not largest.all():
        raise failure(model, "a vector is all zeros")
    scaled = found / largest
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    return _frozen(scaled.astype(np.float32))


def failure(model: str, reason: str, cure: str | None = None) -> EmbeddingError:
    """The error that says why `model` gave no usable vector."""
    return EmbeddingError(
        f"The embedding model '{model}' gave no usable vector: {reason}.",
        cure,
        model=model,
        reason=reason,
    )


def _as_numbers(rows: object, model: str) -> npt.NDArray[np.float64]:
    try:
        found = np.asarray(rows)
    except ValueError as error:  # rows of unequal length
        raise failure(model, "its vectors differ in length") from error
    # A list of texts, of nulls or of booleans is no vector, even where numpy could convert it.
    if found.dtype.kind not in "fiu":
        raise failure(model, "something other than numbers came")
    return found.astype(np.float64)


def _shape(found: npt.NDArray[np.float64]) -> str:
    if found.ndim == 2:
        return f"{found.shape[0]} of {found.shape[1]} dimensions"
    return f"numbers of shape {found.shape}"


def _frozen(array: FloatArray) -> FloatArray:
    array.setflags(write=False)
    return array
