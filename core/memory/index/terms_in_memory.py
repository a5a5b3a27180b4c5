"""Which terms stand in which rows, in memory: a large sorted list and a small one beside it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_SMALL, _WAITING = 4096, 128
_Columns = tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.uint8]]


class TermLists:
    """Postings that grow. What is new waits unsorted, then goes to a small list, then to the large
    one, so that a message more costs no sorting of all. Not thread-safe."""

    def __init__(self) -> None:
        self._large: _Columns = _EMPTY
        self._small: _Columns = _EMPTY
        self._new: list[_Columns] = []

    @property
    def bytes(self) -> int:
        """What the lists take."""
        return sum(c.nbytes for part in (self._large, self._small, *self._new) for c in part)

    def add(
        self,
        terms: npt.NDArray[np.uint32],
        rows: npt.NDArray[np.int64],
        counts: npt.NDArray[np.uint8],
    ) -> None:
        """Adds postings in any order."""
        if len(terms):
            self._new.append((terms.astype(np.uint32), rows.astype(np.uint32), counts))
        if len(self._new) > _WAITING:
            self._tidy()

    def postings(self, term: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
        """The rows that hold a term, and how often each does."""
        self._tidy()
        found = [_of(part, term) for part in (self._large, self._small)]
        return np.concatenate([r for r, _ in found]), np.concatenate([c for _, c in found])

    def _tidy(self) -> None:
        if not self._new:
            return
        self._small = _sorted([self._small, *self._new])
        self._new = []
        if len(self._small[0]) > _SMALL + len(self._large[0]) // 16:
            self._large = _sorted([self._large, self._small])
            self._small = _EMPTY


_EMPTY: _Columns = (np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0, np.uint8))


def _sorted(parts: list[_Columns]) -> _Columns:
    terms = np.concatenate([p[0] for p in parts])
    rows = np.concatenate([p[1] for p in parts])
    counts = np.concatenate([p[2] for p in parts])
    order = np.argsort(terms, kind="stable")
    return terms[order], rows[order], counts[order]


def _of(part: _Columns, term: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
    terms, rows, counts = part
    begin, end = np.searchsorted(terms, np.array((term, term + 1), np.uint32))
    return rows[begin:end], counts[begin:end]
