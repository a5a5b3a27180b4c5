"""Frames: whole or absent, whatever a crash leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.local.frames import MAGIC, ReadReport, decode, encode, frame, read_frames, write_whole

PAYLOADS = [encode([n, "text " * n]) for n in range(1, 6)]


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _read(path: Path) -> tuple[list[bytes], ReadReport]:
    report = ReadReport()
    return [bytes(p) for p in read_frames(path, report)], report


def test_what_was_written_whole_is_read_whole(tmp_path: Path) -> None:
    """A finished file gives its payloads back and calls itself complete."""
    write_whole(tmp_path / "f", PAYLOADS)
    payloads, report = _read(tmp_path / "f")
    assert payloads == PAYLOADS
    assert report.complete


def test_a_file_torn_at_any_byte_gives_the_frames_before_the_tear(tmp_path: Path) -> None:
    """Wherever a crash cuts the file, what stood before that is read and nothing else."""
    whole = MAGIC + b"".join(map(frame, PAYLOADS))
    ends = [len(MAGIC) + sum(len(frame(p)) for p in PAYLOADS[:n]) for n in range(6)]
    for cut in range(len(MAGIC), len(whole)):
        _write(tmp_path / "f", whole[:cut])
        payloads, report = _read(tmp_path / "f")
        expected = sum(end <= cut for end in ends) - 1
        assert payloads == PAYLOADS[:expected]
        assert report.good_bytes == ends[expected]
        assert report.complete == (cut in ends)


@pytest.mark.parametrize("position", range(0, 60, 7))
def test_a_damaged_frame_is_counted_and_the_rest_is_read(tmp_path: Path, position: int) -> None:
    """A flipped bit costs the frame it is in, and is said."""
    first = frame(encode("x" * 60))
    rest = [frame(encode(n)) for n in range(3)]
    data = bytearray(MAGIC + first + b"".join(rest))
    data[len(MAGIC) + 8 + position] ^= 0x40
    _write(tmp_path / "f", bytes(data))
    payloads, report = _read(tmp_path / "f")
    assert [decode(memoryview(p)) for p in payloads] == [0, 1, 2]
    assert report.damaged_frames == 1
    assert not report.complete


def test_a_tail_of_zeros_is_a_torn_end(tmp_path: Path) -> None:
    """What a power cut may leave after the last write, zeros, ends the file."""
    _write(tmp_path / "f", MAGIC + frame(PAYLOADS[0]) + bytes(500))
    payloads, report = _read(tmp_path / "f")
    assert payloads == PAYLOADS[:1]
    assert report.torn_bytes == 500
    assert not report.damaged_frames


@pytest.mark.parametrize("begun", [MAGIC[:3], bytes(8), bytes(5000), b""])
def test_a_file_that_was_only_begun_is_torn_not_damaged(tmp_path: Path, begun: bytes) -> None:
    """A crash while the file was made is no damage to tell of."""
    _write(tmp_path / "f", begun)
    assert _read(tmp_path / "f") == ([], ReadReport(torn_bytes=len(begun)))


def test_a_file_of_something_else_is_damaged(tmp_path: Path) -> None:
    """A file without our first bytes gives nothing and is not complete."""
    _write(tmp_path / "f", b"something else entirely")
    assert _read(tmp_path / "f") == ([], ReadReport(damaged_frames=1))


def test_writing_whole_keeps_the_previous_file(tmp_path: Path) -> None:
    """The file before the last stays beside it."""
    for payload in PAYLOADS[:3]:
        write_whole(tmp_path / "f", [payload], tmp_path / "f.prev")
    assert _read(tmp_path / "f")[0] == [PAYLOADS[2]]
    assert _read(tmp_path / "f.prev")[0] == [PAYLOADS[1]]


@pytest.mark.parametrize("value", ["\x00", "\ud800 half a pair", "é😀", {"N": "1e125"}])
def test_any_text_survives(value: object) -> None:
    """NUL, half surrogate pairs and emoji come back as they were."""
    assert decode(memoryview(encode(value))) == value
