"""BM25 over the index's postings: `core.memory.bm25`, computed in columns. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from core.memory import bm25
from core.memory.index.block import TERM_BITS, Voice
from core.memory.index.corpus import BoolArray, Corpus, FloatArray, Integers
from core.memory.index.names import is_role
from core.memory.terms import terms

_CACHED_TERMS = 4096
_Scores = npt.NDArray[np.float64]


@lru_cache(maxsize=_CACHED_TERMS)
def hashed(term: str) -> int:
    """A term's number below 2**TERM_BITS, the same everywhere and for good.

    It is the top bits of the big-endian BLAKE2b digest, 4 bytes long, of the term's UTF-8.
    """
    digest = hashlib.blake2b(term.encode(errors="surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> (32 - TERM_BITS)


def query_terms(query: str) -> frozenset[int]:
    """The hashed terms of a query; how often one comes counts for nothing."""
    return frozenset(map(hashed, terms(query)))


def voice_terms(voices: Iterable[Voice]) -> tuple[frozenset[int], ...]:
    """The hashed terms of each voice's name; none for a role, which is a word like any other."""
    return tuple(
        frozenset() if is_role(voice.speaker) else query_terms(voice.speaker) for voice in voices
    )


def own_scores(
    corpus: Corpus, wanted: frozenset[int], weights: bm25.Weights = bm25.DEFAULT
) -> FloatArray:
    """BM25 of each row by itself, 0 where nothing matches; what `fusion.fused` takes.

    A name of somebody who speaks matches only what that person says, and only beside other words.

    Args:
        corpus: the rows.
        wanted: `query_terms` of the query, names left in.
        weights: BM25's; `neighbour` is not used.
    """
    return _own(corpus, wanted, weights).astype(np.float32)


def lexical_scores(corpus: Corpus, query: str, weights: bm25.Weights = bm25.DEFAULT) -> FloatArray:
    """The scores of `bm25.score`, neighbours counted in, 0 where it has none.

    They differ where two terms share a hash, where a term comes more than 255 times in a message,
    and where a query holds the name of a role.
    """
    own = _own(corpus, query_terms(query), weights)
    beside = at(own, corpus.previous) + at(own, corpus.following)
    total = own + weights.neighbour * beside
    return np.where(corpus.alive, total, 0.0).astype(np.float32)


def named_rows(corpus: Corpus, wanted: frozenset[int]) -> BoolArray:
    """Rows of speakers that the query names."""
    voices = np.array([not wanted.isdisjoint(v) for v in corpus.voice_terms], np.bool_)
    return corpus.alive & voices[corpus.voice_of] if len(voices) else np.zeros_like(corpus.alive)


def at(scores: npt.NDArray[np.floating], rows: Integers) -> npt.NDArray[np.floating]:
    """For each row the score of another one; 0 where there is none (-1)."""
    return np.where(rows >= 0, scores[rows], scores.dtype.type(0))


def _own(corpus: Corpus, wanted: frozenset[int], weights: bm25.Weights) -> _Scores:
    scores = np.zeros(len(corpus))
    alive = int(np.count_nonzero(corpus.alive))
    if not alive:
        return scores
    worded = corpus.alive & corpus.worded
    # Only of rows whose terms are known can it be told how rare one is.
    read = int(np.count_nonzero(worded))
    mean = (float(corpus.lengths[worded].mean(dtype=np.float64)) if read else 0.0) or 1.0
    names = _names(corpus)
    # In one order, since a sum of floats depends on it.
    for term in sorted(wanted - names.keys()):
        rows, counts = _living(corpus, term)
        damping = weights.k1 * (1 - weights.b + weights.b * corpus.lengths[rows] / mean)
        scores[rows] += _rarity(read, len(rows)) * counts * (weights.k1 + 1) / (counts + damping)
    rarity = {term: _rarity(alive, names[term]) for term in sorted(wanted & names.keys())}
    if rarity:
        voices = [sum(n for t, n in rarity.items() if t in v) for v in corpus.voice_terms]
        bonus = weights.speaker * np.array(voices, np.float64)[corpus.voice_of]
        scores += np.where(scores > 0, bonus, 0.0)
    return scores


def _names(corpus: Corpus) -> Counter[int]:
    """The terms of the names of those who speak, and in how many rows they do."""
    spoken = np.bincount(corpus.voice_of[corpus.alive], minlength=len(corpus.voice_terms))
    names: Counter[int] = Counter()
    for voice, rows in zip(corpus.voice_terms, spoken.tolist(), strict=True):
        if rows:
            names.update(dict.fromkeys(voice, rows))
    return names


def _living(corpus: Corpus, term: int) -> tuple[Integers, _Scores]:
    rows, counts = corpus.postings(term)
    living = corpus.alive[rows]
    once, which = np.unique(rows[living], return_inverse=True)
    return once, np.bincount(which, counts[living], len(once)).astype(np.float64)


def _rarity(rows: int, having: int) -> float:
    return float(np.log1p((rows - having + 0.5) / (having + 0.5)))
