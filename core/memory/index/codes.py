"""Vectors as the signs of their numbers: one bit a dimension, compared with a whole query. Pure.

The query stays as it is and only what is stored is coarse ("asymmetric"): of all-MiniLM-L6-v2's
vectors, the 32 with the best estimates hold 0.99 of the ten nearest ones.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from core.llm.embedder import FloatArray
from core.memory.index.block import ByteArray

# A vector whose numbers are about normally distributed has that cosine with its signs: the mean of
# |x| for a standard normal x. Divided by it, estimates are on the cosines' own scale.
_SHARE = math.sqrt(2 / math.pi)
_ROWS_AT_ONCE = 4096


def code_bytes(dimensions: int) -> int:
    """Bytes of one code."""
    return -(-dimensions // 8)


def sign_codes(vectors: npt.ArrayLike) -> ByteArray:
    """The codes of vectors of shape (rows, dimensions), padded with zero bits to whole bytes."""
    return np.packbits(np.asarray(vectors) >= 0, axis=1)


def estimates(query: FloatArray, codes: ByteArray) -> FloatArray:
    """What the cosine of a query of length 1 with each coded vector is about, float32 of (rows,).

    A table of what each byte's eight signs add up to turns a row into a sum of a few look-ups.
    """
    width = codes.shape[1]
    padded = np.zeros(width * 8, np.float32)
    padded[: query.size] = query
    table = (_SIGNS @ padded.reshape(width, 8).T).T.astype(np.float32)
    places = np.arange(width)
    sums = [
        table[places, codes[begin : begin + _ROWS_AT_ONCE]].sum(axis=1)
        for begin in range(0, len(codes), _ROWS_AT_ONCE)
    ]
    scale = np.float32(1 / (_SHARE * math.sqrt(query.size)))
    return np.concatenate([np.zeros(0, np.float32), *sums]) * scale


_SIGNS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float32) * 2 - 1
