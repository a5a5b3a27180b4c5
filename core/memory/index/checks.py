"""What can't be packed is refused before a byte is written. Pure."""

from __future__ import annotations

import numpy as np

from core.errors import UsageError
from core.memory.index.bits import IntArray, size_of
from core.memory.index.block import TERM_BITS, Block
from core.memory.keys import LATEST_US
from core.memory.vectors import MAX_DIMENSIONS

MAX_ROWS = 65_535
LATEST_EXPIRY = LATEST_US
"""The largest expiry time that fits, in seconds: far beyond what any clock says."""
MOST_COUNTED = 255
MAX_CODE_BYTES = 64 * 1024 * 1024
"""What the codes of a block may take in memory: MAX_ROWS rows of 8,000 dimensions."""


def check_block(block: Block) -> None:
    """Refuses a block that would not come back as it is.

    Raises:
        UsageError: over MAX_ROWS rows, columns of unequal length, or a number out of its range.
    """
    rows = len(block)
    check_rows(rows)
    columns = (block.expires, block.voice_of, block.session_of, block.coded, block.removed)
    if any(column.shape != (rows,) for column in (block.times, *columns)):
        raise refused("has columns of unequal length")
    _check_range("times", block.times, LATEST_US)
    _check_range("expiry times", block.expires, LATEST_EXPIRY)
    _check_range("voices", block.voice_of, len(block.voices) - 1)
    _check_range("sessions", block.session_of[~block.removed], len(block.sessions) - 1)
    if not all(0 <= row < rows and suffix for row, suffix in block.suffixes.items()):
        raise refused("has an empty suffix, or one of a row that it has not")
    if (block.coded & ~block.removed).any():
        _check_codes(block)


def check_rows(rows: int) -> None:
    """Refuses a number of rows that no block may have.

    Raises:
        UsageError: it is below 0 or over MAX_ROWS.
    """
    if not 0 <= rows <= MAX_ROWS:
        raise UsageError(
            f"A block of the index has {rows} rows; {MAX_ROWS} is the limit.",
            "Pack fewer messages at a time.",
        )


def check_postings(terms: IntArray, places: IntArray, counts: IntArray, rows: int) -> None:
    """Refuses postings that would not come back as they are.

    Raises:
        UsageError: over MAX_ROWS rows, columns of unequal length, not in order of (term, row), one
            pair twice, or a number out of its range.
    """
    check_rows(rows)
    if not terms.shape == places.shape == counts.shape == (terms.size,):
        raise refused("has postings of unequal length")
    _check_range("terms", terms, (1 << TERM_BITS) - 1)
    _check_range("rows of terms", places, rows - 1)
    _check_range("counts", counts, MOST_COUNTED, least=1)
    if (np.diff(terms * (MAX_ROWS + 1) + places) <= 0).any():
        raise refused("has postings out of order, or one twice")


def refused(how: str) -> UsageError:
    """The error that says why a block can't be packed."""
    return UsageError(
        f"A block of the index {how}, and can't be packed.",
        "Build it from the stored messages again.",
    )


def _check_codes(block: Block) -> None:
    if not block.model or not 1 <= block.dimensions <= MAX_DIMENSIONS:
        raise refused(f"has codes of the model '{block.model}' with {block.dimensions} dimensions")
    shape = (len(block), size_of(block.dimensions, 1))
    if block.codes.shape != shape or block.codes.dtype != np.uint8:
        raise refused(f"has codes of the shape {block.codes.shape}, not {shape} bytes")
    if block.codes.size > MAX_CODE_BYTES:
        raise refused(f"has {block.codes.size} bytes of codes, over {MAX_CODE_BYTES}")


def _check_range(what: str, values: IntArray, largest: int, least: int = 0) -> None:
    if values.size and not (least <= values.min() and values.max() <= largest):
        raise refused(f"has {what} from {values.min()} to {values.max()}, not {least} to {largest}")
