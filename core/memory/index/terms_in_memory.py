"""Which terms stand in which rows, in memory: packed lists, the last of which still grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_WAITING = 128
_FULL = 32_768
"""Postings of a list that is full: a thousand messages or so."""

Rows = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class _Lists:
    """Rows and counts of all terms, one after the other; `ends` says where each term's end."""

    terms: npt.NDArray[np.uint32]
    ends: npt.NDArray[np.uint32]
    rows: Rows
    counts: Counts

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def bytes(self) -> int:
        """What the arrays take."""
        return sum(a.nbytes for a in (self.terms, self.ends, self.rows, self.counts))

    def of(self, term: int) -> tuple[Rows, Counts]:
        """The postings of a term."""
        at = int(np.searchsorted(self.terms, np.uint32(term)))
        if at == len(self.terms) or self.terms[at] != term:
            return self.rows[:0], self.counts[:0]
        begin = int(self.ends[at - 1]) if at else 0
        end = int(self.ends[at])
        return self.rows[begin:end], self.counts[begin:end]

    def columns(self) -> _Columns:
        """The postings, a term each."""
        lengths = np.diff(self.ends, prepend=np.uint32(0))
        return np.repeat(self.terms, lengths), self.rows, self.counts


_Columns = tuple[npt.NDArray[np.uint32], Rows, Counts]


class TermLists:
    """Postings that grow. Not thread-safe.

    What is new waits unsorted, then goes to a small list that is sorted anew; one that is full is
    left as it is. So a message more costs no sorting of all, nor memory for it.
    """

    def __init__(self) -> None:
        self._full: list[_Lists] = []
        self._small = _EMPTY
        self._new: list[_Columns] = []

    @property
    def bytes(self) -> int:
        """What the lists take."""
        waiting = sum(column.nbytes for columns in self._new for column in columns)
        return sum(part.bytes for part in (*self._full, self._small)) + waiting

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

    def postings(self, term: int) -> tuple[Rows, Counts]:
        """The rows that hold a term, and how often each does; a row may come twice."""
        self._tidy()
        found = [part.of(term) for part in (*self._full, self._small)]
        return np.concatenate([rows for rows, _ in found]), np.concatenate([n for _, n in found])

    def _tidy(self) -> None:
        if not self._new:
            return
        self._small = _packed([self._small.columns(), *self._new])
        self._new = []
        if len(self._small) > _FULL:
            self._full.append(self._small)
            self._small = _EMPTY


def _packed(parts: Sequence[_Columns]) -> _Lists:
    terms = np.concatenate([part[0] for part in parts])
    order = np.argsort(terms, kind="stable").astype(np.uint32)
    terms = terms[order]
    begins = np.flatnonzero(np.diff(terms, prepend=terms[:1] + 1)).astype(np.uint32)
    return _Lists(
        terms[begins],
        np.append(begins[1:], np.uint32(len(terms))).astype(np.uint32),
        np.concatenate([part[1] for part in parts])[order],
        np.concatenate([part[2] for part in parts])[order],
    )


_EMPTY = _Lists(
    np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0, np.uint8)
)
