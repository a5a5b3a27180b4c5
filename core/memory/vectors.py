"""Vectors as bytes: the versioned envelope of `vector_compressed`. Pure.

    offset  bytes  what
    0       2      magic, 0xEA 0x56
    2       1      version, 1
    3       1      codec: 1 float32+zlib, 2 float16, 3 int8
    4       2      dimensions
    6       4      scale, float32: a number of the payload times the scale is the vector's
    10      4      length of the payload
    14      n      payload
    14+n    4      CRC-32 of all before it

All numbers are little-endian. What is read is checked against its own words (length, checksum)
and against sense (finite, not all zeros): a damaged envelope is an error, never another vector.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from core.errors import DamagedError, UsageError
from core.llm.embedder import Embedder, FloatArray

MAGIC = b"\xea\x56"
VERSION = 1
MAX_DIMENSIONS = 65_535
_HEADER = struct.Struct("<2sBBHfI")
_CHECKSUM = struct.Struct("<I")
OVERHEAD_BYTES = _HEADER.size + _CHECKSUM.size
_INT8_LARGEST = 127
# Outside of these a scale would leave the range of float32; no embedding comes near.
_SMALLEST, _LARGEST = 1e-30, 1e30
_REEMBED = "Embed the message again: the vector is made from its text."


class Codec(Enum):
    """How an envelope writes its numbers; the value is the byte that names it there."""

    FLOAT32_ZLIB = 1
    FLOAT16 = 2
    INT8 = 3


def pack(vector: npt.ArrayLike, codec: Codec = Codec.INT8) -> bytes:
    """A vector's envelope. The vector's length is kept, so it need not be 1.

    Args:
        vector: one dimension, 1 to 65,535 numbers.
        codec: FLOAT32_ZLIB is exact; FLOAT16 errs by at most 0.05% of the largest number; INT8 by
            at most 0.4% of it.

    Raises:
        UsageError: it is no vector, holds NaN or infinity, is all zeros, or is out of range.
    """
    clean = checked_vector(vector)
    how = _CODECS[codec]
    largest = float(np.abs(clean).max())
    scale = np.float32(largest / how.largest if how.largest else 1.0)
    payload = how.write(clean, scale)
    head = _HEADER.pack(MAGIC, VERSION, codec.value, clean.size, scale, len(payload))
    body = head + payload
    return body + _CHECKSUM.pack(zlib.crc32(body))


def unpack(envelope: bytes) -> FloatArray:
    """The vector of an envelope, of whatever codec, as float32.

    Raises:
        DamagedError: it is cut short, altered, of an unknown version or codec, or holds no vector.
    """
    codec, dimensions, scale, payload = _opened(envelope)
    vector = _CODECS[codec].read(payload, dimensions, np.float32(scale))
    if vector.size != dimensions:
        raise _damaged(f"holds {vector.size} numbers where it says {dimensions}")
    if not np.isfinite(vector).all():
        raise _damaged("holds NaN or infinity")
    if not vector.any():
        raise _damaged("holds nothing but zeros")
    return vector


def codec_of(envelope: bytes) -> Codec:
    """How an envelope writes its numbers; checked as `unpack` checks, but for the numbers.

    Raises:
        DamagedError: it is cut short, altered, or of an unknown version or codec.
    """
    return _opened(envelope)[0]


def check_model(stored_model: str, stored_dimensions: int, embedder: Embedder) -> None:
    """Refuses to compare vectors of different models, whose similarity would mean nothing.

    Raises:
        UsageError: the stored vectors are of another model or length than the embedder's.
    """
    if (stored_model, stored_dimensions) == (embedder.model, embedder.dimensions):
        return
    raise UsageError(
        f"The stored vectors are of '{stored_model}' with {stored_dimensions} dimensions; "
        f"the query's would be of '{embedder.model}' with {embedder.dimensions}.",
        f"Choose the embedder '{stored_model}' with {stored_dimensions} dimensions, or embed the "
        "stored messages again.",
        stored_model=stored_model,
        model=embedder.model,
    )


def checked_vector(vector: npt.ArrayLike) -> FloatArray:
    """The vector as float32, if it is one that can be stored and compared.

    Raises:
        UsageError: it is no vector, holds NaN or infinity, is all zeros, or is out of range.
    """
    found = _numbers(vector)
    if found.ndim != 1 or not 1 <= found.size <= MAX_DIMENSIONS:
        raise _unusable(f"has the shape {found.shape}; one row of 1 to {MAX_DIMENSIONS} is needed")
    if not np.isfinite(found).all():
        raise _unusable("holds NaN or infinity")
    largest = np.abs(found).max()
    if largest == 0:
        raise _unusable("is all zeros")
    if not _SMALLEST <= largest <= _LARGEST:
        raise _unusable(f"has {largest:.0e} as its largest number")
    return found.astype(np.float32)


def unit(vector: FloatArray) -> FloatArray:
    """A checked vector brought to length 1."""
    # Scaled first: the square of a very large or very small number is no number any more.
    scaled = vector / np.abs(vector).max()
    found: FloatArray = (scaled / np.linalg.norm(scaled)).astype(np.float32)
    return found


def _numbers(vector: npt.ArrayLike) -> npt.NDArray[np.float64]:
    try:
        found = np.asarray(vector)
    except ValueError as error:
        raise _unusable("has rows of unequal length") from error
    if found.dtype.kind not in "fiu":
        raise _unusable("holds something other than numbers")
    return found.astype(np.float64)


def _opened(envelope: bytes) -> tuple[Codec, int, float, bytes]:
    if not isinstance(envelope, bytes | bytearray | memoryview):
        raise _damaged(f"is {type(envelope).__name__}, not binary")
    whole = bytes(envelope)
    if len(whole) < OVERHEAD_BYTES:
        raise _damaged(f"is cut short: {len(whole)} bytes")
    magic, version, code, dimensions, scale, length = _HEADER.unpack_from(whole)
    if magic != MAGIC:
        raise _damaged("does not begin as one")
    if version != VERSION:
        raise DamagedError(
            f"A stored vector's envelope has version {version}; this program reads {VERSION}.",
            "Was it written by a newer one? Install that; otherwise embed the message again.",
        )
    if len(whole) != OVERHEAD_BYTES + length:
        raise _damaged(f"has {len(whole)} bytes where it says {OVERHEAD_BYTES + length}")
    (checksum,) = _CHECKSUM.unpack_from(whole, len(whole) - _CHECKSUM.size)
    if checksum != zlib.crc32(whole[: -_CHECKSUM.size]):
        raise _damaged("was altered: its checksum is another")
    if code not in {codec.value for codec in Codec}:
        raise _damaged(f"has the unknown codec {code}")
    if dimensions == 0 or not _SMALLEST / 1000 <= scale <= _LARGEST:
        raise _damaged(f"says {dimensions} dimensions with the scale {scale}")
    return Codec(code), dimensions, scale, whole[_HEADER.size : -_CHECKSUM.size]


def _damaged(how: str) -> DamagedError:
    return DamagedError(f"A stored vector's envelope {how}.", _REEMBED)


def _unusable(how: str) -> UsageError:
    return UsageError(
        f"A vector {how}, and can't be stored.", "Is it what the embedding model answered?"
    )


def _read_zlib(payload: bytes, dimensions: int, scale: np.float32) -> FloatArray:
    inflate = zlib.decompressobj()
    try:
        # Bounded: a few bytes may inflate to gigabytes.
        raw = inflate.decompress(payload, dimensions * 4 + 1)
    except zlib.error as error:
        raise _damaged("can't be decompressed") from error
    if len(raw) != dimensions * 4 or not inflate.eof or inflate.unused_data:
        raise _damaged(f"holds not {dimensions} numbers of four bytes")
    if scale != 1:
        raise _damaged(f"has the scale {scale}, which this codec has none of")
    return np.frombuffer(raw, "<f4").astype(np.float32)


def _read_plain(kind: str) -> Callable[[bytes, int, np.float32], FloatArray]:
    size = np.dtype(kind).itemsize

    def read(payload: bytes, dimensions: int, scale: np.float32) -> FloatArray:
        if len(payload) != dimensions * size:
            raise _damaged(f"holds not {dimensions} numbers of {size} bytes")
        return np.frombuffer(payload, kind).astype(np.float32) * scale

    return read


@dataclass(frozen=True)
class _How:
    """A codec: the payload number that the vector's largest becomes (0: unscaled), both ways."""

    largest: float
    write: Callable[[FloatArray, np.float32], bytes]
    read: Callable[[bytes, int, np.float32], FloatArray]


_CODECS = {
    Codec.FLOAT32_ZLIB: _How(0, lambda v, _: zlib.compress(v.astype("<f4").tobytes()), _read_zlib),
    Codec.FLOAT16: _How(1, lambda v, s: (v / s).astype("<f2").tobytes(), _read_plain("<f2")),
    Codec.INT8: _How(
        _INT8_LARGEST,
        lambda v, s: (
            np.clip(np.rint(v / s), -_INT8_LARGEST, _INT8_LARGEST).astype(np.int8).tobytes()
        ),
        _read_plain("i1"),
    ),
}
