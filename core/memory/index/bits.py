"""Numbers as bits, both ways, whole arrays at a time. Pure.

Integers of known width stand side by side; sets of integers as the gaps between them. Bits fill
a byte from its low end. What is read comes through a `Reader`, which never reads past the end.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from core.errors import DamagedError

IntArray = npt.NDArray[np.int64]

MAX_WIDTH = 56
"""The widest number that may stand side by side with others: with its shift it fills 63 bits."""
_MAX_REMAINDER = 24
_MAX_VARINT_BYTES = 9
_REBUILD = "Rebuild the user's index: it is made from the stored messages."


class Reader:
    """Bytes read from front to back; `subject` begins the sentences of what it complains about."""

    def __init__(self, raw: bytes, subject: str) -> None:
        self._raw = raw
        self._at = 0
        self._subject = subject

    @property
    def left(self) -> int:
        """How many bytes are still unread."""
        return len(self._raw) - self._at

    def take(self, size: int) -> bytes:
        """The next `size` bytes.

        Raises:
            DamagedError: there are fewer.
        """
        begin = self._at
        if size > len(self._raw) - begin:
            raise self.damaged(f"ends {size - self.left} bytes too soon")
        self._at = begin + size
        return self._raw[begin : self._at]

    def varint(self, largest: int = 2**62) -> int:
        """A number of 0 to `largest`, seven bits a byte, low ones first (LEB128).

        Raises:
            DamagedError: it is larger, or cut short.
        """
        value = 0
        for shift in range(0, 7 * _MAX_VARINT_BYTES, 7):
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            if byte < 128:
                break
        else:
            raise self.damaged("holds a number without an end")
        if value > largest:
            raise self.damaged(f"says {value} where {largest} is the most")
        return value

    def signed(self) -> int:
        """A number of either sign, as `signed` writes it.

        Raises:
            DamagedError: it is cut short.
        """
        value = self.varint()
        return value >> 1 if value & 1 == 0 else -(value >> 1) - 1

    def within(self, raw: bytes) -> Reader:
        """A reader of bytes that stood packed in these, complaining alike."""
        return Reader(raw, self._subject)

    def damaged(self, how: str) -> DamagedError:
        """The error that says what is wrong with these bytes."""
        return DamagedError(f"{self._subject} {how}.", _REBUILD)


def varint(value: int) -> bytes:
    """A number of 0 or more, seven bits a byte, low ones first (LEB128)."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value: int) -> bytes:
    """A number of either sign as a varint, the small ones of both short (zigzag)."""
    return varint(value << 1 if value >= 0 else ~value << 1 | 1)


def size_of(count: int, width: int) -> int:
    """How many bytes `count` numbers of `width` bits take."""
    return (count * width + 7) // 8


def pack_fixed(values: IntArray, width: int) -> bytes:
    """Numbers below 2**width, side by side.

    After D. Lemire and L. Boytsov, "Decoding billions of integers per second through
    vectorization" (2015), section 2.6, without the vectors' interleaving.
    """
    bits = values[:, np.newaxis] >> np.arange(width) & 1
    return np.packbits(bits.astype(np.uint8), bitorder="little").tobytes()


def unpack_fixed(raw: bytes, count: int, width: int) -> IntArray:
    """What `pack_fixed` packed: `raw` is of `size_of(count, width)` bytes, width 0 to MAX_WIDTH.

    Each number is cut out of the eight bytes that begin where it begins.
    """
    if width == 0:
        return np.zeros(count, np.int64)
    words = np.ndarray((len(raw) + 1,), "<u8", raw + bytes(8), strides=(1,))
    start = np.arange(0, count * width, width)
    shifted = words[start >> 3] >> (start & 7).view(np.uint64)
    found: IntArray = (shifted & np.uint64((1 << width) - 1)).view(np.int64)
    return found


def pack_bits(bits: npt.NDArray[np.bool_]) -> bytes:
    """Truth values, eight to a byte."""
    return np.packbits(bits, bitorder="little").tobytes()


def unpack_bits(raw: bytes, count: int) -> npt.NDArray[np.bool_]:
    """What `pack_bits` packed: `raw` is of `size_of(count, 1)` bytes."""
    octets = np.frombuffer(raw, np.uint8)
    return np.unpackbits(octets, count=count, bitorder="little").view(np.bool_)


def pack_set(values: IntArray) -> bytes:
    """Distinct numbers of 0 or more, ascending, at least one: as Golomb-Rice codes of their gaps.

    The low bits of all gaps stand side by side, then the rest of each as so many zeros and a one.
    R. Rice, "Some practical universal noiseless coding techniques" (JPL 79-22, 1979), laid out as
    P. Elias, "Efficient storage and retrieval by content and address of static files" (1974) does
    with the numbers themselves. Of a random set the gaps take 0.4 bits a number less than those:
    each is rounded down by itself. What is given up is finding one without reading all.
    """
    gaps = np.diff(values, prepend=-1) - 1
    low = _cheapest_remainder(gaps)
    rest = gaps >> low
    ends = np.cumsum(rest + 1) - 1
    unary = np.zeros(int(ends[-1]) + 1, np.bool_)
    unary[ends] = True
    tail = pack_bits(unary)
    return varint(low) + varint(len(tail)) + pack_fixed(gaps & ((1 << low) - 1), low) + tail


def unpack_set(reader: Reader, count: int, limit: int) -> IntArray:
    """What `pack_set` packed: `count` (at least one) numbers, ascending, all below `limit`.

    Raises:
        DamagedError: other than so many stand there, or one is not below `limit`.
    """
    low = reader.varint(_MAX_REMAINDER)
    size = reader.varint()
    lows = unpack_fixed(reader.take(size_of(count, low)), count, low)
    ends = np.flatnonzero(unpack_bits(reader.take(size), size * 8))
    if ends.size != count:
        raise reader.damaged(f"holds a set of {ends.size} numbers where it says {count}")
    rest = np.diff(ends, prepend=-1) - 1
    values = np.cumsum((rest << low | lows) + 1) - 1
    if values[-1] >= limit:
        raise reader.damaged(f"holds a set that reaches {values[-1]}, past {limit}")
    return values


def _cheapest_remainder(gaps: IntArray) -> int:
    likely = int(gaps.mean()).bit_length()
    choices = range(max(0, likely - 3), min(likely + 1, _MAX_REMAINDER) + 1)
    return min(choices, key=lambda low: gaps.size * low + int((gaps >> low).sum()))
