"""How many bytes a block takes, what is refused, and what a damaged one says."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.errors import DamagedError, UsageError
from core.memory.index.bits import IntArray, pack_bits, pack_set, signed, varint
from core.memory.index.block import NEVER, Block, Postings, Voice
from core.memory.index.checks import MAX_ROWS
from core.memory.index.columns import pack_column
from core.memory.index.envelope import closed
from core.memory.index.packing import (
    BLOCK,
    POSTINGS,
    pack_block,
    pack_postings,
    unpack_block,
    unpack_postings,
)
from core.memory.index.texts import pack_texts

MODEL = "all-MiniLM-L6-v2"
DIMENSIONS = 384
CODE_BYTES = 48
START_US = 1_763_000_000_000_000
YEAR_S = 365 * 86_400
VOCABULARY = 10_000


def live_block(rows: int, sessions: int = 1, seed: int = 1) -> Block:
    """Messages as they come: up to a minute apart, two speaking in turn, kept for a year."""
    chance = np.random.default_rng(seed)
    times = START_US + np.cumsum(chance.integers(0, 60_000_000, rows))
    ids = [uuid.UUID(bytes=chance.bytes(16), version=4) for _ in range(sessions)]
    return Block(
        model=MODEL,
        dimensions=DIMENSIONS,
        times=times,
        expires=times // 1_000_000 + YEAR_S,
        voices=(Voice("user", "Caroline"), Voice("assistant", "assistant")),
        voice_of=np.arange(rows) % 2,
        sessions=tuple(map(str, ids)),
        session_of=np.arange(rows) * sessions // max(1, rows),
        codes=chance.integers(0, 256, (rows, CODE_BYTES)).astype(np.uint8),
        coded=np.ones(rows, np.bool_),
        removed=np.zeros(rows, np.bool_),
    )


def live_postings(rows: int, terms: int = 11, seed: int = 1) -> Postings:
    """So many distinct words a message, drawn by Zipf's law; one in twenty is said twice."""
    chance = np.random.default_rng(seed)
    share = 1 / np.arange(1, VOCABULARY + 1)
    hashes = chance.permutation(2**20)[:VOCABULARY]
    drawn = [
        chance.choice(VOCABULARY, terms, replace=False, p=share / share.sum()) for _ in range(rows)
    ]
    pairs = sorted((int(hashes[w]), row) for row, words in enumerate(drawn) for w in words)
    found, places = np.array(pairs, np.uint32).reshape(-1, 2).T
    counts = 1 + (chance.random(len(pairs)) < 0.05)
    return Postings(found, places, counts.astype(np.uint8))


@pytest.mark.parametrize("sessions", [1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_a_segment_takes_few_bytes(sessions: int, seed: int) -> None:
    """At 128 messages, all in: 52.5 bytes a message, 48 of them code; 21 bytes for 11 terms."""
    assert len(pack_block(live_block(128, sessions, seed))) <= 52.5 * 128
    assert len(pack_postings(live_postings(128, seed=seed), 128)) <= 21 * 128


def test_a_pair_of_messages_takes_few_bytes() -> None:
    """What each save appends: 100 bytes beside the codes, 90 for 22 terms."""
    assert len(pack_block(live_block(2))) - 2 * CODE_BYTES <= 100
    assert len(pack_block(live_block(1))) - CODE_BYTES <= 90
    assert len(pack_postings(live_postings(2), 2)) <= 90


@pytest.mark.parametrize(
    ("expires", "at_most"),
    [
        (lambda times: np.full_like(times, NEVER), 0),
        (lambda times: times // 1_000_000 + YEAR_S, 7),
        (lambda times: np.full_like(times, 2_000_000_000), 9),
    ],
    ids=["never", "a year after", "all at once"],
)
def test_expiry_takes_next_to_nothing(
    expires: Callable[[IntArray], IntArray], at_most: int
) -> None:
    """In each of the ways in which it is usual."""
    block = live_block(128)
    never = len(pack_block(replace(block, expires=np.zeros(128, np.int64))))
    packed = pack_block(replace(block, expires=expires(block.times)))
    assert len(packed) - never <= at_most
    assert unpack_block(packed).expires.tolist() == expires(block.times).tolist()


def test_seventy_nine_segments_come_back() -> None:
    """Ten thousand messages, sealed one run after the other, read as they were written."""
    for n in range(79):
        block, terms = live_block(128, 3, n), live_postings(128, 5, n)
        found, (words, rows) = (
            unpack_block(pack_block(block)),
            unpack_postings(pack_postings(terms, 128)),
        )
        assert rows == 128
        assert np.array_equal(words.terms, terms.terms)
        assert np.array_equal(words.rows, terms.rows)
        assert [found.place(row) for row in range(128)] == [block.place(row) for row in range(128)]
        assert np.array_equal(found.codes, block.codes)
        assert np.array_equal(found.session_of, block.session_of)
        assert found.sessions == block.sessions


def test_a_block_may_be_as_long_as_its_limit() -> None:
    """65,535 rows come back; one more is refused, as are postings of so many."""
    longest = live_block(MAX_ROWS)
    assert np.array_equal(unpack_block(pack_block(longest)).times, longest.times)
    with pytest.raises(UsageError, match="has 70000 rows; 65535 is the limit"):
        pack_block(live_block(70_000))
    with pytest.raises(UsageError, match="has 70000 rows; 65535 is the limit"):
        pack_postings(live_postings(1), 70_000)


def test_nothing_comes_back_as_nothing() -> None:
    """A block of no rows has no model either, and postings of no terms keep their rows."""
    found = unpack_block(pack_block(live_block(0)))
    assert (len(found), found.model, found.dimensions, found.sessions) == (0, "", 0, ())
    none = live_postings(1, 0)
    words, rows = unpack_postings(pack_postings(none, 3))
    assert (words.terms.size, rows) == (0, 3)


def test_a_message_out_of_turn_costs_little() -> None:
    """A day's pause, and a message that came late, widen no other message's time."""
    block = live_block(128)
    paused, late = block.times.copy(), block.times.copy()
    paused[64:] += 86_400_000_000
    late[40] -= 30_000_000
    plain = len(pack_block(block))
    assert len(pack_block(replace(block, times=paused, expires=paused // 1_000_000))) <= plain + 16
    assert len(pack_block(replace(block, times=late, expires=late // 1_000_000))) <= plain + 20


ODD = live_block(2)


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (replace(ODD, times=ODD.times[:1]), "unequal length"),
        (replace(ODD, times=np.array([0, 10**16])), "times from 0 to 10000000000000000"),
        (replace(ODD, times=np.array([-1, 0])), "times from -1"),
        (replace(ODD, expires=np.array([-1, 0])), "expiry times from -1"),
        (replace(ODD, voice_of=np.array([0, 2])), "voices from 0 to 2"),
        (replace(ODD, session_of=np.array([0, 1])), "sessions from 0 to 1"),
        (replace(ODD, suffixes={2: "x"}), "suffix"),
        (replace(ODD, suffixes={0: ""}), "suffix"),
        (replace(ODD, model=""), "model ''"),
        (replace(ODD, dimensions=0), "0 dimensions"),
        (replace(ODD, dimensions=392), r"shape \(2, 48\), not \(2, 49\)"),
        (replace(ODD, sessions=("\ud800",)), "half of a surrogate pair"),
        (replace(ODD, sessions=("x" * 17_000_000,)), "16777216 is the limit"),
    ],
)
def test_what_would_not_come_back_is_refused(block: Block, says: str) -> None:
    """Nothing is written that could not be read back as it is."""
    with pytest.raises(UsageError, match=says) as caught:
        pack_block(block)
    assert caught.value.cure


@pytest.mark.parametrize(
    ("terms", "rows", "counts", "says"),
    [
        ([1, 2], [0], [1, 1], "unequal length"),
        ([2, 1], [0, 0], [1, 1], "out of order"),
        ([1, 1], [1, 0], [1, 1], "out of order"),
        ([1, 1], [1, 1], [1, 1], "one twice"),
        ([1, 2**20], [0, 0], [1, 1], "terms from 1 to 1048576"),
        ([1, 2], [0, 2], [1, 1], "rows of terms from 0 to 2"),
        ([1, 2], [0, 1], [0, 1], "counts from 0"),
    ],
)
def test_postings_that_would_not_come_back_are_refused(
    terms: list[int], rows: list[int], counts: list[int], says: str
) -> None:
    """Order and ranges are what the format rests on."""
    postings = Postings(
        np.array(terms, np.uint32), np.array(rows, np.uint32), np.array(counts, np.uint8)
    )
    with pytest.raises(UsageError, match=says):
        pack_postings(postings, 2)


def numbers(*values: int) -> bytes:
    """A body's first numbers."""
    return b"".join(map(varint, values))


def column(*values: int) -> bytes:
    """A column of a body."""
    return pack_column(np.array(values))


def block_of(
    flags: bytes = column(1),
    times: bytes = column(5),
    after: bytes = b"\x00" + pack_texts(["m", "s", "r", "r"]),
    codes: bytes = b"\x01",
    counts: bytes = numbers(1, 8, 1, 1),
) -> bytes:
    """A block of one row, whole but for what is given."""
    return closed(BLOCK, counts + flags + times + column(0) + column(0) + after + codes)


def test_a_forged_block_may_be_whole() -> None:
    """What the lies below begin from is itself no lie."""
    assert unpack_block(block_of()).place(0) == "0000000000000005#r"


def other_version(raw: bytes) -> bytes:
    """The same item, as if a later program had written it."""
    body = raw[:2] + b"\x02" + raw[3:-4]
    return body + zlib.crc32(body).to_bytes(4, "little")


BOMB = zlib.compressobj(9, wbits=-15)
BOMB_BYTES = BOMB.compress(bytes(50_000_000)) + BOMB.flush()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "ends 2 bytes too soon"),
        (BLOCK.magic + b"\x01\x05abc", "has -1 bytes where it says 5"),
        (pack_postings(live_postings(1), 1), "does not begin as one"),
        (other_version(block_of()), "has version 2; this program reads 1"),
        (BLOCK.magic + b"\x01" + b"\xff" * 9, "number without an end"),
        (block_of(counts=numbers(70_000, 8, 1, 1)), "70000 where 65535 is the most"),
        (block_of(counts=numbers(1, 70_000, 1, 1)), "70000 where 65535 is the most"),
        (block_of(counts=numbers(1, 8, 9, 1)), "9 where 1 is the most"),
        (block_of(flags=column(9)), "flags from 9 to 9"),
        (block_of(flags=column(3)), "more of a removed message than its place"),
        (block_of(flags=column(0), codes=b""), "contradicts itself about its vectors"),
        (block_of(times=column(10**16)), "times from 10000000000000000"),
        (block_of(times=column(-1)), "times from -1"),
        (block_of(times=varint(60) + signed(0)), "a column of 60 bits; 56 is the most"),
        (block_of(times=varint(64) + signed(0) + varint(0)), "has exceptions, and has none"),
        (block_of(codes=b""), "holds 0 bytes of codes where it says 1"),
        (block_of(codes=b"\x01\x02"), "holds 2 bytes of codes where it says 1"),
        (block_of(after=b"\x00" + pack_texts(["m", "s", "r"])), "too soon"),
        (block_of(after=b"\x00" + pack_texts(["m", "s", "r", "r", "q"])), "more names than the 4"),
        (block_of(after=b"\x00" + numbers(2, 0) + b"\x04\xff"), "a name that is not UTF-8"),
        (block_of(after=b"\x00" + numbers(1, 0) + b"\x02"), "kind 2 with 0 bytes"),
        (block_of(after=b"\x00" + numbers(1, 0) + b"\x01"), "kind 1 with 0 bytes"),
        (block_of(after=b"\x00" + numbers(9, 3) + b"\xff\xff\xff"), "can't be decompressed"),
        (
            block_of(after=b"\x00" + numbers(9, len(BOMB_BYTES)) + BOMB_BYTES),
            "names that do not take 9 bytes",
        ),
        (block_of(after=b"\x00" + numbers(2**40, 0)), "16777216 is the most"),
        (block_of(after=b"\x01" + pack_set(np.array([1]))), "a set that reaches 1, past 1"),
    ],
)
def test_a_block_that_lies_is_damaged(raw: bytes, says: str) -> None:
    """A right checksum over wrong words is no excuse; the sentence says which words."""
    with pytest.raises(DamagedError, match=says) as caught:
        unpack_block(raw)
    assert "index" in caught.value.what
    assert "ebuild the user's index" in str(caught.value.cure)


def test_few_bytes_never_ask_for_much_memory() -> None:
    """65,535 rows of 65,535 dimensions, of which one has a code: half a gigabyte of zeros."""
    rows, width = MAX_ROWS, 8192
    body = numbers(rows, 65_535, 1, 1) + column(1, *[0] * (rows - 1)) + column(*[5] * rows)
    body += column(*[0] * rows) * 2 + b"\x00" + pack_texts(["m", "s", "r", "r"]) + bytes(width)
    with pytest.raises(DamagedError, match="its codes take 536862720 bytes"):
        unpack_block(closed(BLOCK, body))


def postings_of(
    begins: bytes = pack_bits(np.array([True, False])),
    terms: bytes = pack_set(np.array([7])),
    places: bytes = b"\x02",
    counts: bytes = column(1, 1),
    sizes: bytes = numbers(2, 2),
) -> bytes:
    """Two postings of one term, whole but for what is given."""
    return closed(POSTINGS, sizes + begins + terms + places + counts)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (postings_of(begins=b"\x02"), "before its first term"),
        (postings_of(begins=b"\x03"), "a set of 1 numbers where it says 2"),
        (postings_of(terms=pack_set(np.array([2**20]))), "past 1048576"),
        (postings_of(places=b"\x01"), "rows out of order"),
        (postings_of(places=b"\x03"), "rows out of order"),
        (postings_of(counts=column(1, 0)), "postings out of range"),
        (postings_of(counts=column(1, 256)), "postings out of range"),
        (postings_of(sizes=numbers(0, 2)), "postings out of range"),
        (postings_of(sizes=numbers(2, 2**40)), "is the most"),
        (postings_of(counts=column(1, 1) + b"\x00"), "1 bytes too many"),
        (other_version(postings_of()), "has version 2; this program reads 1"),
        (pack_block(live_block(1)), "does not begin as one"),
    ],
)
def test_postings_that_lie_are_damaged(raw: bytes, says: str) -> None:
    """As for blocks: an error that says what is wrong."""
    assert unpack_postings(postings_of())[0].rows.tolist() == [0, 1]
    with pytest.raises(DamagedError, match=says) as caught:
        unpack_postings(raw)
    assert caught.value.cure


def test_other_types_are_damaged() -> None:
    """What a foreign item may hold in the attribute: text, a number, nothing."""
    foreign: list[Any] = ["text", 7, None, [1.0, 2.0]]
    for value in foreign:
        with pytest.raises(DamagedError, match="not binary"):
            unpack_block(value)


PINNED_BLOCK = bytes.fromhex(
    "ea42014f03080302020433820180c0e9cb8ddca106c0843d0403010002020018010078010001043f287340d7cb51"
    "6ce8d8c397dd2513ea6d3fd78e0104181904404a791cf31255e09a9984b9d79efa070001ff2aa1d405"
)
PINNED_POSTINGS = bytes.fromhex("ea54010e0303050f0107804b031118020208ee938e63")


def test_the_layout_of_blocks_is_pinned() -> None:
    """Items written by an older version stay readable: these bytes must never read otherwise."""
    found = unpack_block(PINNED_BLOCK)
    assert (found.model, found.dimensions) == (MODEL, 8)
    assert [found.place(row) for row in range(3)] == [
        "1763000000000000#user",
        "1763000005000000#assistant",
        "1763000007000000#user#0badcafe",
    ]
    assert found.removed.tolist() == [False, True, False]
    assert found.expires.tolist() == [1_763_000_060, NEVER, 1_763_000_067]
    assert [found.sessions[n] for n in found.session_of] == [
        "s1",
        "",
        "8c0e6b8a-1c55-4b3f-9d3e-000000000001",
    ]
    assert found.voices[found.voice_of[0]] == Voice("user", "Ana")
    assert found.codes.tolist() == [[1], [0], [255]]


def test_the_layout_of_postings_is_pinned() -> None:
    """As for blocks; nothing is deflated here, so packing gives the very bytes."""
    found, rows = unpack_postings(PINNED_POSTINGS)
    columns = (found.terms.tolist(), found.rows.tolist(), found.counts.tolist())
    assert (rows, *columns) == (3, [7, 7, 99_999], [0, 2, 1], [1, 3, 1])
    assert pack_postings(found, rows) == PINNED_POSTINGS
