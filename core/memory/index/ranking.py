"""Ranking a user's rows for a question: words, vectors, speakers and neighbours. Pure."""

from __future__ import annotations

from core.memory import bm25
from core.memory.index.corpus import Corpus, FloatArray
from core.memory.index.fusion import SEMANTIC, Ranking, Weights, fused
from core.memory.index.words import named_rows, own_scores, query_terms


def rank(
    corpus: Corpus,
    query: str,
    cosines: FloatArray | None,
    weights: Weights = SEMANTIC,
    word_weights: bm25.Weights = bm25.DEFAULT,
) -> Ranking:
    """The ranking of all rows for a question.

    Args:
        corpus: the rows.
        query: the question as it was asked, names left in.
        cosines: of each row's vector with that of `names.without_names(query, ...)`: float32,
            exact or estimated without bias, NaN where a row has none; None: no vectors.
        weights: how words, vectors and neighbours count (`fusion.weights_for` a model).
        word_weights: BM25's own.
    """
    wanted = query_terms(query)
    own = own_scores(corpus, wanted, word_weights)
    return fused(corpus, own, cosines, named_rows(corpus, wanted), weights)
