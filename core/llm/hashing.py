"""Embeddings without a model: words and pieces of words, hashed into a vector.

This is *lexical*: texts are alike where they share words, the beginnings of words or runs of
letters. It knows nothing of meaning: "car" and "automobile" are strangers to it. It needs no
network, no model and no download, costs 30 µs a message, and gives the same vector on every
machine, which is why it is the default.

Signed feature hashing after K. Weinberger et al., "Feature Hashing for Large Scale Multitask
Learning" (ICML 2009): each feature adds to one dimension, with a sign, so that collisions cancel
out on average. Features of a word are the word, its first five letters (a stemmer that suits
most alphabets; P. McNamee and J. Mayfield, "Character N-Gram Tokenization for European Language
Text Retrieval", 2004) and its runs of three and four letters, or of one and two characters in
scripts that write no spaces. A word that comes n times counts 1 + ln n. Words that hold English
sentences together count little: on LoCoMo's questions that is worth 9 points of recall at 10.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from core.clock import SYSTEM_CLOCK, Clock
from core.errors import UsageError
from core.llm.embedder import (
    BlockingEmbedder,
    FloatArray,
    Usage,
    Vectors,
    readable,
    unit_vectors,
)

DEFAULT_DIMENSIONS = 384
MIN_DIMENSIONS, MAX_DIMENSIONS = 16, 4096
STEM_LETTERS = 5
# Runs of letters longer than any word are cut, so that a text of a megabyte without a space costs
# no more than one with spaces.
_TOKEN = re.compile(r"[^\W_]{1,40}|[^\w\s]|_")
# Thai, Lao, Japanese, Chinese and Korean: words are not told apart by spaces.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_WORD_WEIGHT, _STEM_WEIGHT, _PIECES_WEIGHT = 1.0, 0.8, 1.0
# Short words are articles, pronouns and the like in many languages: half weight. So that a text
# of nothing but these, or of signs, still has a vector, their weight is little and not none.
_SHORT_LETTERS, _SHORT_WEIGHT, _LITTLE_WEIGHT = 3, 0.5, 0.1
_CACHED_WORDS = 2048
# English words that say little of what a text is about (and what an apostrophe leaves of them).
# A list of its own, not the lexical search's: stored vectors of `hashing-v1` depend on every word.
_LISTED = """
    a about after again all also am an and any are as at be because been before being but by can
    could d did didn do does doesn doing don down during each few for from further had has have
    having he her here hers him his how i if in into is isn it its just let ll m me more most my no
    nor not now of off on once only or other our out over own re s same she should so some such t
    than that the their them then there these they this those through to too under until up us ve
    very was wasn we were what when where which while who whom whose why will with won would you
    your yours
"""
FUNCTION_WORDS = frozenset(_LISTED.split())

_Features = tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]


class HashingEmbedder(BlockingEmbedder):
    """Deterministic, lexical vectors: the same in every process and on every machine.

    Thread-safe. Characters that Unicode assigned after the Unicode version of this Python may be
    told apart differently by another Python; nothing else differs.
    """

    def __init__(
        self, dimensions: int = DEFAULT_DIMENSIONS, seed: int = 0, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """Vectors of `dimensions` numbers; another `seed` (0 to 2**64 - 1) is another model.

        Raises:
            UsageError: dimensions or seed are out of range.
        """
        if not MIN_DIMENSIONS <= dimensions <= MAX_DIMENSIONS:
            raise UsageError(
                f"{dimensions} dimensions were asked of the hashing embedder.",
                f"Choose from {MIN_DIMENSIONS} to {MAX_DIMENSIONS}.",
            )
        if not 0 <= seed < 2**64:
            raise UsageError(f"The seed {seed} is not from 0 to 2**64 - 1.", "Choose another.")
        self._dimensions = dimensions
        self._key = seed.to_bytes(8, "big")
        self._model = f"hashing-v1-seed{seed}" if seed else "hashing-v1"
        self._clock = clock
        self._word = lru_cache(maxsize=_CACHED_WORDS)(self._features_of)

    @property
    def model(self) -> str:
        """`hashing-v1`, with the seed where it is not 0."""
        return self._model

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors of `texts`; no request, no tokens.

        Raises:
            EmbeddingError: a text is blank.
        """
        begin = self._clock.monotonic()
        clean = readable(texts, self._model)
        rows = np.array([self._vector(text) for text in clean])
        array: FloatArray = unit_vectors(rows, self._model, len(clean), self._dimensions)
        milliseconds = (self._clock.monotonic() - begin) * 1000
        return Vectors(array, Usage(milliseconds=milliseconds, computed=len(clean)))

    def _vector(self, text: str) -> npt.NDArray[np.float64]:
        counts = Counter(tokens(text))
        found = [self._word(token) for token in counts]
        if not found:
            return self._fallback(text)
        places = np.concatenate([places for places, _ in found])
        weights = np.concatenate(
            [
                weights if count == 1 else weights * (1 + math.log(count))
                for (_, weights), count in zip(found, counts.values(), strict=True)
            ]
        )
        vector = np.asarray(np.bincount(places, weights, self._dimensions), np.float64)
        return vector if vector.any() else self._fallback(text)

    def _fallback(self, text: str) -> npt.NDArray[np.float64]:
        """For a text whose features cancel out, or that has none: one dimension of its own."""
        vector = np.zeros(self._dimensions)
        place, sign = self._hashed(f"text:{text}")
        vector[place] = sign
        return vector

    def _features_of(self, token: str) -> _Features:
        hashed = [(self._hashed(name), weight) for name, weight in features(token)]
        places = np.array([place for (place, _), _ in hashed], np.intp)
        return places, np.array([sign * weight for (_, sign), weight in hashed])

    def _hashed(self, feature: str) -> tuple[int, float]:
        digest = hashlib.blake2b(feature.encode(), digest_size=8, key=self._key).digest()
        number = int.from_bytes(digest, "big")
        return (number >> 1) % self._dimensions, 1.0 if number & 1 else -1.0


def tokens(text: str) -> Iterator[str]:
    """Words in lower case, and every sign and emoji by itself."""
    plain = unicodedata.normalize("NFKC", text).lower()
    return (match.group() for match in _TOKEN.finditer(plain))


def features(token: str) -> Iterator[tuple[str, float]]:
    """Each feature of a token and its weight."""
    if not token[0].isalnum():
        yield f"sign:{token}", _LITTLE_WEIGHT if token.isascii() else _WORD_WEIGHT
    elif token in FUNCTION_WORDS:
        yield f"word:{token}", _LITTLE_WEIGHT
    elif _UNSPACED.search(token):
        yield f"word:{token}", _WORD_WEIGHT
        yield from _pieces(token, (1, 2))
    elif len(token) <= _SHORT_LETTERS and not token.isdecimal():
        yield f"word:{token}", _SHORT_WEIGHT
        yield from _pieces(f"<{token}>", (3,))
    else:
        yield f"word:{token}", _WORD_WEIGHT
        yield f"stem:{token[:STEM_LETTERS]}", _STEM_WEIGHT
        yield from _pieces(f"<{token}>", (3, 4))


def _pieces(token: str, sizes: tuple[int, ...]) -> Iterator[tuple[str, float]]:
    """Runs of characters, which together weigh as much for a long word as for a short one."""
    pieces = [token[n : n + size] for size in sizes for n in range(len(token) - size + 1)]
    weight = _PIECES_WEIGHT / math.sqrt(len(pieces))
    yield from ((f"part:{piece}", weight) for piece in pieces)
