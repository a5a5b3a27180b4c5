"""A run of messages as columns: what the index keeps of them, and nothing of their text.

A row names its message by time, role and suffix, which make up the message's sort key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from core.memory.keys import encoded

NEVER = 0
"""In a column of expiry times: the message does not expire."""
TERM_BITS = 20
"""Terms stand as hashes of so many bits: two of ten thousand words share one in a hundred cases."""

IntArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Voice:
    """Who speaks: the role, and a name (the role itself where there is none)."""

    role: str
    speaker: str


@dataclass(frozen=True, eq=False)
class Postings:
    """Which terms stand in which rows: three columns of one length, in order of (term, row).

    `terms` are hashes below 2**TERM_BITS, `rows` positions in the block, `counts` 1 to 255.
    """

    terms: npt.NDArray[np.uint32]
    rows: npt.NDArray[np.uint32]
    counts: ByteArray


@dataclass(frozen=True, eq=False)
class Block:
    """Messages in any order, one a row.

    `times` are microseconds since the epoch, `expires` seconds (NEVER: it does not). `voice_of`
    and `session_of` point into `voices` and `sessions`. `suffixes` holds what follows the role in
    the sort keys of the few rows that have something there. `codes` are the signs of the vectors,
    one bit a dimension, rows of zeros where `coded` is false. `removed` rows say that their
    message is gone: they hold nothing but its place.
    """

    model: str
    dimensions: int
    times: IntArray
    expires: IntArray
    voices: tuple[Voice, ...]
    voice_of: IntArray
    sessions: tuple[str, ...]
    session_of: IntArray
    codes: ByteArray
    coded: npt.NDArray[np.bool_]
    removed: npt.NDArray[np.bool_]
    suffixes: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times)

    def place(self, row: int) -> str:
        """The sort key of a row's message, which is its embedding's id too."""
        suffix = self.suffixes.get(row)
        key = f"{self.times[row]:016d}#{encoded(self.voices[self.voice_of[row]].role)}"
        return f"{key}#{suffix}" if suffix else key
