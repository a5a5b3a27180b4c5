"""Envelopes give back what was put in, or say that they are damaged."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from core.errors import DamagedError, UsageError
from core.memory import vectors
from core.memory.vectors import Codec, codec_of, pack, unpack

Vector = npt.NDArray[np.float32]
rows = arrays.arrays(
    np.float32,
    st.integers(1, 300),
    elements=st.floats(-1e4, 1e4, width=32, allow_subnormal=False),
).filter(lambda v: float(np.abs(v).max()) > 1e-6)
codecs = st.sampled_from(Codec)
# How far a number may be from what was put in, as a share of the largest one.
ERRS = {Codec.FLOAT32_ZLIB: 0.0, Codec.FLOAT16: 0.0005, Codec.INT8: 0.00395}


@given(rows, codecs)
def test_what_goes_in_comes_out(vector: Vector, codec: Codec) -> None:
    """Every codec is read back within the error that it promises, and never grows at a re-pack."""
    packed = pack(vector, codec)
    found = unpack(packed)
    assert codec_of(packed) is codec
    assert found.dtype == np.float32
    assert found.shape == vector.shape
    assert np.abs(found - vector).max() <= ERRS[codec] * np.abs(vector).max()
    assert np.abs(unpack(pack(found, codec)) - found).max() <= 1e-6 * np.abs(vector).max()


@given(rows, codecs, st.data())
def test_cut_short_anywhere_is_damaged(vector: Vector, codec: Codec, data: st.DataObject) -> None:
    """No beginning of an envelope is an envelope; neither is one with something after it."""
    packed = pack(vector, codec)
    with pytest.raises(DamagedError):
        unpack(packed[: data.draw(st.integers(0, len(packed) - 1))])
    with pytest.raises(DamagedError):
        unpack(packed + data.draw(st.binary(min_size=1, max_size=20)))


@given(rows, codecs, st.data())
def test_an_altered_byte_is_damaged(vector: Vector, codec: Codec, data: st.DataObject) -> None:
    """Whichever byte is another: an error, never another vector."""
    packed = bytearray(pack(vector, codec))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedError):
        unpack(bytes(packed))


@given(st.binary(max_size=200))
def test_rubbish_is_damaged(rubbish: bytes) -> None:
    """Bytes of something else are no vector, not even behind the right magic."""
    for begin in (b"", vectors.MAGIC, vectors.MAGIC + b"\x01"):
        with pytest.raises(DamagedError):
            unpack(begin + rubbish)


def forged(
    code: int, dimensions: int, scale: float, payload: bytes, version: int = 1, extra: int = 0
) -> bytes:
    """An envelope whose checksum is right, whatever else it says."""
    head = struct.pack(
        "<2sBBHfI", vectors.MAGIC, version, code, dimensions, scale, len(payload) + extra
    )
    return head + payload + struct.pack("<I", zlib.crc32(head + payload))


def floats(*numbers: float) -> bytes:
    """Numbers as the float32 codec writes them."""
    return zlib.compress(np.array(numbers, "<f4").tobytes())


@pytest.mark.parametrize(
    ("envelope", "says"),
    [
        (forged(3, 2, 1, b"\x01\x02", version=2), "has version 2; this program reads 1"),
        (forged(9, 2, 1, b"\x01\x02"), "unknown codec 9"),
        (forged(3, 2, 1, b"\x01\x02", extra=1), "bytes where it says"),
        (forged(3, 3, 1, b"\x01\x02"), "not 3 numbers of 1 bytes"),
        (forged(3, 65_535, 1, b"\x01\x02"), "not 65535 numbers of 1 bytes"),
        (forged(2, 2, 1, b"\x01\x02"), "not 2 numbers of 2 bytes"),
        (forged(3, 0, 1, b""), "0 dimensions"),
        (forged(3, 2, float("nan"), b"\x01\x02"), "scale nan"),
        (forged(3, 2, float("inf"), b"\x01\x02"), "scale inf"),
        (forged(3, 2, -1, b"\x01\x02"), "scale -1"),
        (forged(3, 2, 0, b"\x01\x02"), "scale 0"),
        (forged(3, 2, 1, b"\x00\x00"), "nothing but zeros"),
        (forged(2, 1, 1, struct.pack("<e", float("nan"))), "NaN or infinity"),
        (forged(1, 2, 1, floats(1, float("inf"))), "NaN or infinity"),
        (forged(1, 2, 1, floats(0, 0)), "nothing but zeros"),
        (forged(1, 2, 1, floats(1, 2, 3)), "not 2 numbers of four bytes"),
        (forged(1, 2, 1, floats(1)), "not 2 numbers of four bytes"),
        (forged(1, 2, 1, floats(1, 2) + b"more"), "not 2 numbers of four bytes"),
        (forged(1, 2, 1, floats(1, 2)[:-5]), "not 2 numbers|decompressed"),
        (forged(1, 2, 1, zlib.compress(bytes(50_000_000))), "not 2 numbers of four bytes"),
        (forged(1, 2, 1, b"not zlib"), "can't be decompressed"),
        (forged(1, 2, 3, floats(1, 2)), "has the scale 3"),
        (b"", "cut short"),
    ],
)
def test_an_envelope_that_lies_is_damaged(envelope: bytes, says: str) -> None:
    """A right checksum over wrong words is no excuse; the sentence says which words."""
    with pytest.raises(DamagedError, match=says) as caught:
        unpack(envelope)
    assert caught.value.cure


def test_other_types_are_damaged() -> None:
    """What a foreign item may hold in the attribute: text, a number, nothing."""
    foreign: list[Any] = ["text", 7, None, [1.0, 2.0]]
    for value in foreign:
        with pytest.raises(DamagedError, match="not binary"):
            unpack(value)


@pytest.mark.parametrize(
    ("vector", "says"),
    [
        ([], "shape"),
        ([[1.0, 2.0]], "shape"),
        (1.0, "shape"),
        ([1.0] * 65_536, "shape"),
        ([0.0, 0.0], "all zeros"),
        ([1.0, float("nan")], "NaN"),
        ([1.0, float("inf")], "NaN"),
        ([1e-40, 0.0], "1e-40 as its largest"),
        ([1e39, 0.0], r"1e\+39 as its largest"),
        (["a", "b"], "other than numbers"),
        ([[1.0], [1.0, 2.0]], "unequal length"),
    ],
)
@pytest.mark.parametrize("codec", Codec)
def test_what_is_no_vector_is_refused(vector: npt.ArrayLike, says: str, codec: Codec) -> None:
    """Nothing is written that could not be read back."""
    with pytest.raises(UsageError, match=says):
        pack(vector, codec)


@pytest.mark.parametrize(
    ("codec", "written"),
    [
        (Codec.FLOAT32_ZLIB, None),
        (Codec.FLOAT16, "ea5601020300cdcc4c3f06000000003a000000bc04cacb95"),
        (Codec.INT8, "ea5601030300a069ce3b030000005f0081da43a869"),
    ],
)
def test_the_layout_is_pinned(codec: Codec, written: str | None) -> None:
    """Rows written by an older version stay readable: these bytes must never change."""
    packed = pack([0.6, 0.0, -0.8], codec)
    if written is not None:  # zlib may choose other bytes for the same content
        assert packed.hex() == written
    assert unpack(packed) == pytest.approx([0.6, 0, -0.8], abs=0.004)
