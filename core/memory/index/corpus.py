"""The rows that a question is ranked against: what ranking needs of them, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.integer]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Corpus:
    """The rows of a user, as columns of one length; those that are not `alive` are never found.

    Attributes:
        lengths: how many terms a row has, repetitions and the words of its date counted.
        times: in microseconds since the epoch; of rows that score the same, the later is first.
        voice_of: points into `voice_terms`.
        voice_terms: the hashed terms of each voice's name (`words.voice_terms`).
        previous: the row before in the same session, in order of time; -1: none.
        following: the row after, likewise.
        alive: which rows stand for a message that is there.
        worded: whose terms are among the postings; those of the others are not known yet.
        postings: in which rows a hashed term stands, and how often in each. A row may come twice:
            its counts add up. Rows that are not alive may be among them.
    """

    lengths: FloatArray
    times: npt.NDArray[np.int64]
    voice_of: Integers
    voice_terms: tuple[frozenset[int], ...]
    previous: Integers
    following: Integers
    alive: BoolArray
    worded: BoolArray
    postings: Callable[[int], tuple[Integers, npt.NDArray[np.number]]]

    def __len__(self) -> int:
        return len(self.times)
