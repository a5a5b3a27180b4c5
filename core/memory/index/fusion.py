"""Words and vectors in one ranking, with what stands around a hit counted in. Pure.

A row's own score is a convex combination of its BM25 and its cosine, each between 0 and 1 (S. Bruch
et al., "An Analysis of Fusion Functions for Hybrid Retrieval", 2022): BM25 as a part of the best
row's, a cosine as a part of the way from the median row's to the best row's. Scores keep what ranks
throw away, how far a hit stands out; and the median, of rows that nearly all say nothing of the
question, is a steadier foot than the least.

Of a long history a process that has just been started knows every vector, and the words of the
newest rows only. A row whose words are not known is not one without: its vector stands for both
parts, or else whatever shares a common word with the question would come before it.

A question is answered by an exchange more than by a turn: what the turns around a hit score is
added to it, and so is the best score nearby.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.memory.index.corpus import BoolArray, Corpus, FloatArray, Integers
from core.memory.index.words import at

HASHING_MODELS = "hashing-"
# Of looking for the best score nearby, each twice as far as the one before: 1, 3, 7 rows.
_ROUNDS = 3


@dataclass(frozen=True)
class Weights:
    """How much what counts.

    `words` of a row's own score is BM25's part, the rest the vector's. Rows of a speaker whom the
    question names get `speaker` of their own score in addition. `beside` of the turns right before
    and after is added, `near` of those two away, then `episode` of the best sum within seven
    turns.

    Chosen on three of five LoCoMo conversations (26, 41 and 43) with vectors of all-MiniLM-L6-v2,
    from round figures. They find, at 5/10/25/50 turns, 74.1/83.8/91.4/94.7% of the evidence there
    and 69.5/78.4/86.7/92.1% in the two that were held out, where BM25 with its neighbours finds
    63.0/72.6/82.0/87.7% and 63.3/72.5/80.4/85.9%. Half of any of them, or `words` from 0.4 to 0.6,
    costs at most a point and a half, which is why they are not finer.

    Where a row's words are not known yet, its vector counts `alone`, for itself and for the words.
    Of five LoCoMo conversations as one history, the words known of the last 1,024 messages only,
    more finds more of the older evidence and less of the newest, less the other way round.
    """

    words: float = 0.5
    speaker: float = 0.5
    beside: float = 0.3
    near: float = 0.1
    episode: float = 0.4
    alone: float = 0.8


SEMANTIC = Weights()
"""For vectors that know of meaning: words and vectors count the same."""
LEXICAL_VECTORS = Weights(words=0.8, alone=0.9)
"""For vectors that are made of words themselves (the hashing embedder): they add what BM25 does
not see, parts of words, and little else. From 0.7 to 0.9 all find the same. Of words that are not
known they say more than others."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """The score of each row: `total` is the sum of the five parts that follow it.

    `words` and `vector` are the two parts of a row's own score, `speaker` what it gets for being
    said by somebody the question names, `around` what its neighbours give, `episode` the best
    score nearby. Rows that are not alive have zeros. Totals compare within one question only;
    `cosines`, 0 where there is none, compare with those of any other.
    """

    total: FloatArray
    words: FloatArray
    vector: FloatArray
    speaker: FloatArray
    around: FloatArray
    episode: FloatArray
    cosines: FloatArray
    times: npt.NDArray[np.int64]
    alive: BoolArray

    def best(self, limit: int) -> npt.NDArray[np.int64]:
        """At most `limit` rows that bear on the question at all, best first.

        Of equal totals the higher cosine is first, then the later message, then the later row.
        """
        rows = np.flatnonzero(self.alive & ((self.total > 0) | (self.cosines > 0)))
        if limit < 1:
            return rows[:0]
        if limit < len(rows):
            least = np.partition(self.total[rows], -limit)[-limit]
            rows = rows[self.total[rows] >= least]
        keys = (rows, self.times[rows], self.cosines[rows], self.total[rows])
        return rows[np.lexsort(keys)[::-1][:limit]]


def weights_for(model: str) -> Weights:
    """The weights that suit the vectors of a model."""
    return LEXICAL_VECTORS if model.startswith(HASHING_MODELS) else SEMANTIC


def fused(
    corpus: Corpus,
    own: FloatArray,
    cosines: FloatArray | None,
    named: BoolArray,
    weights: Weights = SEMANTIC,
) -> Ranking:
    """The ranking of all rows.

    Args:
        corpus: the rows.
        own: `words.own_scores`, neighbours not counted in.
        cosines: of each row's vector with the query's, exact or estimated without bias; NaN where
            there is none: such rows rank by words. None: no vectors at all.
        named: `words.named_rows`.
        weights: how much what counts.
    """
    alive = corpus.alive
    near = np.full(len(corpus), np.nan, np.float32) if cosines is None else cosines
    known = alive & np.isfinite(near)
    words = np.float32(weights.words) * _of_best(np.where(alive, own, np.float32(0)))
    share = np.where(corpus.worded, np.float32(1 - weights.words), np.float32(weights.alone))
    vector = share * _above_median(near, known)
    speaker = np.where(named, np.float32(weights.speaker) * (words + vector), np.float32(0))
    single = words + vector + speaker
    around = np.where(alive, _around(corpus, single, weights), np.float32(0))
    best = _best_nearby(corpus, single + around)
    episode = np.where(alive, np.float32(weights.episode) * best, np.float32(0))
    total = single + around + episode
    shown = np.where(known, near, np.float32(0))
    return Ranking(
        total, words, vector, speaker, around, episode, shown, corpus.times, corpus.alive
    )


def _of_best(scores: FloatArray) -> FloatArray:
    best = scores.max(initial=np.float32(0))
    return scores / best if best > 0 else np.zeros_like(scores)


def _above_median(cosines: FloatArray, known: BoolArray) -> FloatArray:
    """1 for the best row, 0 for the median one and below, for a cosine of 0 and for none."""
    part = np.zeros_like(cosines)
    if not known.any():
        return part
    found = cosines[known]
    best, foot = found.max(), np.maximum(np.median(found), 0)
    if best > foot:
        part[known] = np.maximum((found - foot) / (best - foot), 0)
    else:
        # Nothing stands out of one row, or of rows that are all alike.
        part[known] = found > 0
    return part


def _around(corpus: Corpus, scores: FloatArray, weights: Weights) -> FloatArray:
    total = np.zeros_like(scores)
    for beside in (corpus.previous, corpus.following):
        one = at(scores, beside)
        total += np.float32(weights.beside) * one + np.float32(weights.near) * at(one, beside)
    return total


def _best_nearby(corpus: Corpus, scores: FloatArray) -> FloatArray:
    """The highest score from seven rows before to seven after in the same session."""
    before = _best_on_one_side(scores, corpus.previous)
    after = _best_on_one_side(scores, corpus.following)
    return np.maximum(before, after)


def _best_on_one_side(scores: FloatArray, step: Integers) -> FloatArray:
    best = scores
    for _ in range(_ROUNDS):
        best = np.maximum(best, at(best, step))
        step = _twice(step)
    return best


def _twice(step: Integers) -> Integers:
    return np.where(step >= 0, step[step], -1)
