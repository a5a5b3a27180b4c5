"""Blocks and postings as bytes: what the index's items hold. Pure.

A block's body:

    varints  rows, dimensions, sessions, voices
    columns  flags (1 coded, 2 removed, 4 expires), times, voices, sessions
    varint   0: expiry times as they are, 1: seconds after the message  } where any
    column   expiry times of the rows that have one                     } row expires
    varint   number of rows that have a suffix
    set      those rows, where there are any
    texts    model, sessions, role and speaker of each voice, suffixes
    bytes    codes of the coded rows

Postings' body:

    varints  rows, postings
    bits     one for each posting: it begins a term   }
    set      the terms                                } where there
    bits     the postings' rows                       } are postings
    column   their counts                             }

One format for one row and for 65,535. What is read is checked against its own words and against
sense: a damaged item is an error, never another answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from core.memory.index.bits import (
    IntArray,
    Reader,
    pack_bits,
    pack_fixed,
    pack_set,
    size_of,
    unpack_bits,
    unpack_fixed,
    unpack_set,
    varint,
)
from core.memory.index.block import NEVER, TERM_BITS, Block, ByteArray, Postings, Voice
from core.memory.index.checks import (
    LATEST_EXPIRY,
    MAX_CODE_BYTES,
    MAX_ROWS,
    MOST_COUNTED,
    check_block,
    check_postings,
)
from core.memory.index.columns import pack_column, unpack_column
from core.memory.index.envelope import Kind, closed, opened
from core.memory.index.texts import pack_texts, unpack_texts
from core.memory.keys import LATEST_US, MICROSECONDS
from core.memory.vectors import MAX_DIMENSIONS

BLOCK = Kind(b"\xea\x42", "A stored block of the index")
POSTINGS = Kind(b"\xea\x54", "A stored item of the index's terms")
_CODED, _REMOVED, _EXPIRES = 1, 2, 4
_PLAIN, _AFTER = 0, 1
_TERMS = 1 << TERM_BITS
_T = TypeVar("_T")
_Flags = npt.NDArray[np.bool_]


def pack_block(block: Block) -> bytes:
    """A block's bytes, its rows in the order given.

    Of a removed row only its place is kept, and nothing that no row refers to. A block without
    coded rows has no model and no dimensions when it is read back.

    Raises:
        UsageError: over MAX_ROWS rows, columns of unequal length, a number out of its range, or
            text that is none.
    """
    check_block(block)
    voices, voice_of = _used(*_voices(block))
    sessions, session_of = _used(*_sessions(block))
    coded = block.coded & ~block.removed
    expiring = (block.expires != NEVER) & ~block.removed
    flags = coded * _CODED + block.removed * _REMOVED + expiring * _EXPIRES
    dimensions = block.dimensions if coded.any() else 0
    counts = (len(block), dimensions, len(sessions), len(voices))
    columns = (flags, block.times, voice_of, session_of)
    names = [block.model if dimensions else "", *sessions]
    names += [name for voice in voices for name in (voice.role, voice.speaker)]
    suffixed = sorted(block.suffixes)
    names += [block.suffixes[row] for row in suffixed]
    body = [*map(varint, counts), *(pack_column(c.astype(np.int64)) for c in columns)]
    body += [_pack_expires(block, expiring), _pack_places(suffixed), pack_texts(names)]
    body += [block.codes[coded].tobytes() if dimensions else b""]
    return closed(BLOCK, b"".join(body))


def unpack_block(raw: bytes) -> Block:
    """What `pack_block` packed, in arrays of its own.

    Raises:
        DamagedError: it is cut short, altered, of another version, or contradicts itself.
    """
    reader = opened(BLOCK, raw)
    rows, dimensions = reader.varint(MAX_ROWS), reader.varint(MAX_DIMENSIONS)
    session_count, voice_count = reader.varint(rows), reader.varint(rows)
    flags = _read_flags(reader, rows)
    times = _checked(reader, "times", unpack_column(reader, rows), LATEST_US)
    voice_of = _checked(reader, "voices", unpack_column(reader, rows), voice_count - 1)
    session_of = _checked(reader, "sessions", unpack_column(reader, rows), session_count - 1)
    expires = _read_expires(reader, times, flags & _EXPIRES != 0)
    suffixed = _read_places(reader, rows)
    model, sessions, spoken, suffixes = _split(
        unpack_texts(reader, 1 + session_count + 2 * voice_count + len(suffixed)),
        (1, session_count, 2 * voice_count),
    )
    coded = flags & _CODED != 0
    if not (dimensions > 0) == coded.any() == bool(model[0]):
        raise reader.damaged("contradicts itself about its vectors")
    return Block(
        model=model[0],
        dimensions=dimensions,
        times=times,
        expires=expires,
        voices=tuple(map(Voice, spoken[::2], spoken[1::2])),
        voice_of=voice_of,
        sessions=tuple(sessions),
        session_of=session_of,
        codes=_read_codes(reader, coded, dimensions),
        coded=coded,
        removed=flags & _REMOVED != 0,
        suffixes=dict(zip(suffixed, suffixes, strict=True)),
    )


def pack_postings(postings: Postings, rows: int) -> bytes:
    """The postings of a block of `rows` rows as bytes.

    Raises:
        UsageError: over MAX_ROWS rows, columns of unequal length, not in order of (term, row), one
            pair twice, or a number out of its range.
    """
    terms, places = postings.terms.astype(np.int64), postings.rows.astype(np.int64)
    counts = postings.counts.astype(np.int64)
    check_postings(terms, places, counts, rows)
    begins = np.diff(terms, prepend=-1) != 0
    body = [varint(rows), varint(terms.size)]
    if terms.size:
        body += [pack_bits(begins), pack_set(terms[begins])]
        body += [pack_fixed(places, _row_width(rows)), pack_column(counts)]
    return closed(POSTINGS, b"".join(body))


def unpack_postings(raw: bytes) -> tuple[Postings, int]:
    """What `pack_postings` packed: the postings, in arrays of their own, and the rows.

    Raises:
        DamagedError: it is cut short, altered, of another version, or contradicts itself.
    """
    reader = opened(POSTINGS, raw)
    rows = reader.varint(MAX_ROWS)
    # Each takes a bit at the least, so no lie can ask for more than the item's own size.
    count = reader.varint(reader.left * 8)
    found = _read_postings(reader, rows, count) if count else _no_postings()
    if reader.left:
        raise reader.damaged(f"has {reader.left} bytes too many")
    return found, rows


def _read_postings(reader: Reader, rows: int, count: int) -> Postings:
    begins = unpack_bits(reader.take(size_of(count, 1)), count)
    if not begins[0]:
        raise reader.damaged("has postings before its first term")
    distinct = unpack_set(reader, int(np.count_nonzero(begins)), _TERMS)
    width = _row_width(rows)
    places = unpack_fixed(reader.take(size_of(count, width)), count, width)
    counts = unpack_column(reader, count)
    if places.max() >= rows or counts.min() < 1 or counts.max() > MOST_COUNTED:
        raise reader.damaged("has postings out of range")
    if (~begins[1:] & (np.diff(places) <= 0)).any():
        raise reader.damaged("has a term's rows out of order")
    terms = distinct.astype(np.uint32)[np.cumsum(begins) - 1]
    return Postings(terms, places.astype(np.uint32), counts.astype(np.uint8))


def _no_postings() -> Postings:
    return Postings(np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0, np.uint8))


def _row_width(rows: int) -> int:
    return max(0, rows - 1).bit_length()


def _voices(block: Block) -> tuple[Sequence[Voice], IntArray]:
    """A removed row keeps its role, which is part of its place, and no speaker."""
    silent = tuple(Voice(voice.role, voice.role) for voice in block.voices)
    of = np.where(block.removed, block.voice_of + len(block.voices), block.voice_of)
    return (*block.voices, *silent), of


def _sessions(block: Block) -> tuple[Sequence[str], IntArray]:
    of = np.where(block.removed, len(block.sessions), block.session_of)
    return (*block.sessions, ""), of


def _used(values: Sequence[_T], of: IntArray) -> tuple[list[_T], IntArray]:
    """The values that are pointed to, each once, and the pointers to them there."""
    first: dict[_T, int] = {}
    once = np.array([first.setdefault(v, n) for n, v in enumerate(values)], np.int64)
    used, found = np.unique(once[of], return_inverse=True)
    return [values[n] for n in used.tolist()], found.astype(np.int64)


def _split(values: Sequence[_T], sizes: Sequence[int]) -> list[Sequence[_T]]:
    """The values in runs of the given sizes, and what is left as the last run."""
    ends = [0, *accumulate(sizes)]
    return [values[begin:end] for begin, end in zip(ends, [*ends[1:], None], strict=True)]


def _pack_places(rows: Sequence[int]) -> bytes:
    return varint(len(rows)) + (pack_set(np.array(rows, np.int64)) if rows else b"")


def _read_places(reader: Reader, rows: int) -> list[int]:
    count = reader.varint(rows)
    found: list[int] = unpack_set(reader, count, rows).tolist() if count else []
    return found


def _pack_expires(block: Block, expiring: _Flags) -> bytes:
    """Whichever is shorter: as they are, or as seconds after the messages' own times."""
    if not expiring.any():
        return b""
    ends = block.expires[expiring]
    lasts = ends - block.times[expiring] // MICROSECONDS
    plain, after = pack_column(ends), pack_column(lasts)
    return varint(_AFTER) + after if len(after) <= len(plain) else varint(_PLAIN) + plain


def _read_expires(reader: Reader, times: IntArray, expiring: _Flags) -> IntArray:
    found = np.full(times.size, NEVER, np.int64)
    if not expiring.any():
        return found
    form = reader.varint(_AFTER)
    found[expiring] = unpack_column(reader, int(np.count_nonzero(expiring)))
    if form == _AFTER:
        found[expiring] += times[expiring] // MICROSECONDS
    return _checked(reader, "expiry times", found, LATEST_EXPIRY)


def _read_codes(reader: Reader, coded: _Flags, dimensions: int) -> ByteArray:
    width = size_of(dimensions, 1)
    if coded.size * width > MAX_CODE_BYTES:
        raise reader.damaged(f"says that its codes take {coded.size * width} bytes")
    size = width * int(np.count_nonzero(coded))
    if reader.left != size:
        raise reader.damaged(f"holds {reader.left} bytes of codes where it says {size}")
    codes = np.zeros((coded.size, width), np.uint8)
    codes[coded] = np.frombuffer(reader.take(size), np.uint8).reshape(-1, width) if size else 0
    return codes


def _checked(reader: Reader, what: str, values: IntArray, largest: int) -> IntArray:
    if values.size and not (values.min() >= 0 and values.max() <= largest):
        raise reader.damaged(f"has {what} from {values.min()} to {values.max()}")
    return values


def _read_flags(reader: Reader, rows: int) -> IntArray:
    flags = _checked(reader, "flags", unpack_column(reader, rows), _CODED | _REMOVED | _EXPIRES)
    if ((flags & _REMOVED != 0) & (flags != _REMOVED)).any():
        raise reader.damaged("holds more of a removed message than its place")
    return flags
