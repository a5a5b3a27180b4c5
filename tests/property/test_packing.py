"""Blocks and postings come back as they were, or are told to be damaged; nothing else."""

from __future__ import annotations

import zlib
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DamagedError
from core.memory.index.bits import (
    Reader,
    pack_fixed,
    pack_set,
    signed,
    unpack_fixed,
    unpack_set,
    varint,
)
from core.memory.index.block import Block, Postings, Voice
from core.memory.index.columns import pack_column, unpack_column
from core.memory.index.envelope import closed, opened
from core.memory.index.packing import (
    BLOCK,
    POSTINGS,
    pack_block,
    pack_postings,
    unpack_block,
    unpack_postings,
)
from core.memory.index.texts import pack_texts, unpack_texts
from core.memory.keys import LATEST_US

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
roles = st.sampled_from(["user", "assistant", "to#ol", "%23", "rôle"]) | texts
seeds = st.integers(0, 2**32 - 1)
times = st.integers(0, LATEST_US) | st.integers(1_700_000_000_000_000, 1_700_000_060_000_000)


def column(draw: st.DrawFn, values: st.SearchStrategy[Any], rows: int) -> Any:
    """An array of so many drawn values."""
    return np.array(draw(st.lists(values, min_size=rows, max_size=rows)))


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    """Blocks of any shape: empty, unsorted, of rows removed, not coded, expiring, suffixed."""
    rows = draw(st.integers(0, 40))
    dimensions = draw(st.integers(1, 70))
    voices = draw(st.lists(st.builds(Voice, roles, texts), min_size=1, max_size=5))
    sessions = draw(st.lists(texts | st.uuids().map(str), min_size=1, max_size=5))
    codes = np.random.default_rng(draw(seeds)).integers(0, 256, (rows, -(-dimensions // 8)))
    coded = column(draw, st.booleans(), rows).astype(np.bool_)
    codes[~coded] = 0
    return Block(
        model=draw(texts.filter(bool)),
        dimensions=dimensions,
        times=column(draw, times, rows).astype(np.int64),
        expires=column(draw, st.just(0) | times, rows).astype(np.int64),
        voices=tuple(voices),
        voice_of=column(draw, st.integers(0, len(voices) - 1), rows).astype(np.int64),
        sessions=tuple(sessions),
        session_of=column(draw, st.integers(0, len(sessions) - 1), rows).astype(np.int64),
        codes=codes.astype(np.uint8),
        coded=coded,
        removed=column(draw, st.integers(0, 5).map(lambda n: n == 0), rows).astype(np.bool_),
        suffixes=draw(st.dictionaries(st.integers(0, rows - 1), texts.filter(bool), max_size=4))
        if rows
        else {},
    )


@st.composite
def postings(draw: st.DrawFn) -> tuple[Postings, int]:
    """Postings of blocks of 1 to 300 rows, in order."""
    rows = draw(st.integers(1, 300))
    pairs = st.tuples(st.integers(0, 2**20 - 1) | st.integers(0, 9), st.integers(0, rows - 1))
    found = sorted(draw(st.sets(pairs, max_size=150)))
    counts = column(draw, st.just(1) | st.integers(1, 255), len(found))
    terms, places = np.array(found, np.uint32).reshape(-1, 2).T
    return Postings(terms, places, counts.astype(np.uint8)), rows


def lines(block: Block) -> list[tuple[object, ...]]:
    """What a block says of each of its rows."""
    found: list[tuple[object, ...]] = []
    for row in range(len(block)):
        if block.removed[row]:
            found.append((block.place(row),))
            continue
        code = block.codes[row].tobytes() if block.coded[row] else None
        voice, session = block.voices[block.voice_of[row]], block.sessions[block.session_of[row]]
        found.append((block.place(row), block.expires[row], voice, session, code))
    return found


def columns_of(block: Block) -> list[Any]:
    """All arrays of a block."""
    return [value for value in vars(block).values() if isinstance(value, np.ndarray)]


@given(blocks())
def test_a_block_comes_back(block: Block) -> None:
    """Every row says what it said, in the same order; a second packing gives the same bytes."""
    packed = pack_block(block)
    found = unpack_block(packed)
    assert lines(found) == lines(block)
    kept = block.coded & ~block.removed
    assert found.coded.tolist() == kept.tolist()
    assert found.removed.tolist() == block.removed.tolist()
    assert (found.model, found.dimensions) == (
        (block.model, block.dimensions) if kept.any() else ("", 0)
    )
    assert not found.codes[~found.coded].any()
    assert pack_block(found) == packed


@given(blocks())
def test_a_removed_row_holds_nothing_but_its_place(block: Block) -> None:
    """Neither session nor speaker nor expiry nor code of a removed message is written."""
    gone = np.ones(len(block), np.bool_)
    found = unpack_block(pack_block(replace(block, removed=gone)))
    assert lines(found) == lines(replace(block, removed=gone))
    assert set(found.sessions) <= {""}
    assert all(voice.role == voice.speaker for voice in found.voices)
    assert not found.expires.any()
    assert found.codes.size == 0


@given(blocks())
def test_arrays_are_the_readers_own(block: Block) -> None:
    """What is read can be written to, and shares its memory with nothing."""
    packed = pack_block(block)
    arrays = columns_of(unpack_block(packed))
    for n, array in enumerate(arrays):
        assert array.flags.writeable
        assert not any(np.shares_memory(array, other) for other in arrays[n + 1 :])
        array[...] = 1
    assert lines(unpack_block(packed)) == lines(block)


@given(postings())
def test_postings_come_back(given_: tuple[Postings, int]) -> None:
    """Terms, rows and counts as they were, in the types that are promised."""
    before, rows = given_
    found, found_rows = unpack_postings(pack_postings(before, rows))
    assert found_rows == rows
    for name, kind in (("terms", np.uint32), ("rows", np.uint32), ("counts", np.uint8)):
        array = getattr(found, name)
        assert array.dtype == kind
        assert array.flags.writeable
        assert array.tolist() == getattr(before, name).tolist()


@given(blocks(), postings(), st.data())
def test_bytes_altered_or_missing_are_damaged(
    block: Block, terms: tuple[Postings, int], data: st.DataObject
) -> None:
    """Cut short, longer, or with another byte anywhere: an error that says what to do."""
    for packed, unpack in (
        (pack_block(block), unpack_block),
        (pack_postings(*terms), unpack_postings),
    ):
        at = data.draw(st.integers(0, len(packed) - 1))
        altered = bytearray(packed)
        altered[at] ^= data.draw(st.integers(1, 255))
        more = packed + data.draw(st.binary(min_size=1, max_size=9))
        for bad in (packed[:at], bytes(altered), more):
            with pytest.raises(DamagedError) as caught:
                unpack(bad)
            assert caught.value.cure


@given(blocks(), postings(), st.data())
def test_lies_under_a_right_checksum_are_damaged_or_sane(
    block: Block, terms: tuple[Postings, int], data: st.DataObject
) -> None:
    """Whatever a forger writes in the body is refused, or reads as what can be packed again."""
    for kind, packed in ((BLOCK, pack_block(block)), (POSTINGS, pack_postings(*terms))):
        reader = opened(kind, packed)
        body = bytearray(reader.take(reader.left))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(body)))
            length = data.draw(st.integers(0, 2))
            body[at : at + length] = data.draw(st.binary(max_size=3))
        read_forged(closed(kind, bytes(body)))


@given(st.binary(max_size=120))
def test_rubbish_under_a_right_checksum_is_damaged_or_sane(rubbish: bytes) -> None:
    """Bytes of something else, in a faultless envelope."""
    read_forged(closed(BLOCK, rubbish))
    read_forged(closed(POSTINGS, rubbish))
    for raw in (rubbish, BLOCK.magic + rubbish, POSTINGS.magic + b"\x01" + rubbish):
        with pytest.raises(DamagedError):
            unpack_block(raw)
        with pytest.raises(DamagedError):
            unpack_postings(raw)


def read_forged(raw: bytes) -> None:
    """Reads what may be a lie: what comes back must pass for what a caller may write."""
    with suppress(DamagedError):
        if raw.startswith(BLOCK.magic):
            block = unpack_block(raw)
            assert lines(unpack_block(pack_block(block))) == lines(block)
        else:
            pack_postings(*unpack_postings(raw))


@given(st.integers(0, 56), seeds, st.integers(0, 300))
def test_fixed_widths_come_back(width: int, seed: int, count: int) -> None:
    """Numbers of every width that may stand side by side."""
    values = np.random.default_rng(seed).integers(0, 2**width, count)
    raw = pack_fixed(values, width)
    assert len(raw) == (count * width + 7) // 8
    assert unpack_fixed(raw, count, width).tolist() == values.tolist()


@given(st.sets(st.integers(0, 2**20 - 1) | st.integers(0, 50), min_size=1, max_size=300))
def test_sets_come_back(members: set[int]) -> None:
    """Ascending as they were, with nothing left over; one past the limit is damaged."""
    values = np.array(sorted(members), np.int64)
    reader = Reader(pack_set(values), "A set")
    assert unpack_set(reader, values.size, 2**20).tolist() == values.tolist()
    assert reader.left == 0
    with pytest.raises(DamagedError, match="A set holds a set that reaches"):
        unpack_set(Reader(pack_set(values), "A set"), values.size, int(values[-1]))


@given(
    st.lists(
        st.integers(-LATEST_US, LATEST_US) | st.integers(-3, 3) | st.sampled_from([7, 10**6]),
        max_size=300,
    )
)
def test_columns_come_back(values: list[int]) -> None:
    """Narrow, wide, with exceptions, of both signs, in any order."""
    column = np.array(values, np.int64)
    reader = Reader(pack_column(column), "A column")
    assert unpack_column(reader, column.size).tolist() == values
    assert reader.left == 0


@given(st.integers(-(2**60), 2**60))
def test_single_numbers_come_back(value: int) -> None:
    """Of either sign, and without one."""
    assert Reader(signed(value), "A number").signed() == value
    assert Reader(varint(abs(value)), "A number").varint() == abs(value)


@given(st.lists(texts | st.uuids().map(str) | st.just("user") | st.binary().map(bytes.hex)))
def test_texts_come_back(names: list[str]) -> None:
    """Empty, repeated, UUIDs, hex, any script; the same bytes whenever they are the same texts."""
    raw = pack_texts(names)
    reader = Reader(raw, "A list")
    assert unpack_texts(reader, len(names)) == names
    assert reader.left == 0
    assert len(raw) <= sum(len(name.encode()) + 2 for name in names) + 6
    assert zlib.crc32(raw) == zlib.crc32(pack_texts(list(names)))
