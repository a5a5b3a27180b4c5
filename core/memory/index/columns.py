"""A column of integers in few bytes: most are narrow, the odd wide one is patched in. Pure.

    varint   head: width | 64 (has exceptions) | 128 (differences)
    signed   the first value         } of differences only
    varint   the differences' unit   }
    signed   base, the least of them
    bits     what each is above its base, in units, its low `width` bits
    varint   number of exceptions    }
    set      their positions         } where there are any
    column   their high bits         }

After M. Zukowski et al., "Super-scalar RAM-CPU cache compression" (ICDE 2006), "patched frame of
reference". A constant column takes its head and its base.
"""

from __future__ import annotations

import numpy as np

from core.memory.index.bits import (
    MAX_WIDTH,
    IntArray,
    Reader,
    pack_fixed,
    pack_set,
    signed,
    size_of,
    unpack_fixed,
    unpack_set,
    varint,
)

_WIDTH = 63
_PATCHED = 64
_DIFFERENCES = 128
# Exceptions may have exceptions: counts of terms are 1, some 2, and one in a thousand 9.
_DEPTH = 2


def pack_column(values: IntArray) -> bytes:
    """Numbers in any order, within 2**55 of each other; plain or as differences, what is shorter.

    No numbers take no bytes.
    """
    if values.size == 0:
        return b""
    plain = _pack_plain(values, _DEPTH)
    return min(plain, _pack_differences(values), key=len) if values.size > 2 else plain


def unpack_column(reader: Reader, count: int) -> IntArray:
    """What `pack_column` packed. Arithmetic is modulo 2**64: whoever reads checks the range.

    Raises:
        DamagedError: it is cut short or contradicts itself.
    """
    if count == 0:
        return np.zeros(0, np.int64)
    head = reader.varint(_WIDTH | _PATCHED | _DIFFERENCES)
    if not head & _DIFFERENCES:
        return _read_plain(reader, head, count, _DEPTH)
    first, unit = reader.signed(), reader.varint()
    values = np.empty(count, np.int64)
    values[0] = first
    values[1:] = _read_plain(reader, head & ~_DIFFERENCES, count - 1, _DEPTH)
    values[1:] *= unit
    return np.cumsum(values, out=values)


def _pack_differences(values: IntArray) -> bytes:
    steps = np.diff(values)
    unit = int(np.gcd.reduce(steps)) or 1
    head, rest = _plain_parts(steps // unit, _DEPTH)
    return varint(head | _DIFFERENCES) + signed(int(values[0])) + varint(unit) + rest


def _pack_plain(values: IntArray, depth: int) -> bytes:
    head, rest = _plain_parts(values, depth)
    return varint(head) + rest


def _plain_parts(values: IntArray, depth: int) -> tuple[int, bytes]:
    base = int(values.min())
    above = values - base
    width = _cheapest_width(above) if depth else int(above.max()).bit_length()
    high = above >> width
    exceptions = np.flatnonzero(high)
    rest = signed(base) + pack_fixed(above & ((1 << width) - 1), width)
    if exceptions.size == 0:
        return width, rest
    patches = pack_set(exceptions) + _pack_plain(high[exceptions], depth - 1)
    return width | _PATCHED, rest + varint(exceptions.size) + patches


def _cheapest_width(above: IntArray) -> int:
    """An estimate: an exception costs its high bits and about two more than its gap's logarithm."""
    count = above.size
    largest = int(above.max()).bit_length()
    limits = np.int64(1) << np.arange(largest + 1)
    narrow = np.searchsorted(np.sort(above), limits)
    wide = count - narrow
    widths = np.arange(largest + 1)
    gap = np.log2(count / np.maximum(wide, 1)) + 2
    overhead = np.where(wide > 0, 32, 0)
    return int(np.argmin(count * widths + wide * (gap + largest - widths) + overhead))


def _read_plain(reader: Reader, head: int, count: int, depth: int) -> IntArray:
    width = head & _WIDTH
    if width > MAX_WIDTH:
        raise reader.damaged(f"has a column of {width} bits; {MAX_WIDTH} is the most")
    base = reader.signed()
    values = unpack_fixed(reader.take(size_of(count, width)), count, width)
    if head & _PATCHED:
        _patch(reader, values, width, depth)
    values += base
    return values


def _patch(reader: Reader, values: IntArray, width: int, depth: int) -> None:
    if depth == 0:
        raise reader.damaged("has exceptions of exceptions without an end")
    count = reader.varint(values.size)
    if count == 0:
        raise reader.damaged("says that it has exceptions, and has none")
    places = unpack_set(reader, count, values.size)
    head = reader.varint(_WIDTH | _PATCHED)
    values[places] |= _read_plain(reader, head, count, depth - 1) << width
