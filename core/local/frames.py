"""Files of checksummed frames: what the journal and the snapshots are made of.

A file begins with `MAGIC`; each frame is its payload's length and CRC-32 (both unsigned 32 bit,
little endian) and the payload, JSON. A frame is read whole or not at all.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

MAGIC = b"IALFRM1\n"
HEADER = struct.Struct("<II")
_CHANGES = b'[["'
"""What a frame of changes begins with: a list of lists, each beginning with a table's id."""


@dataclass
class ReadReport:
    """What reading a file met, filled while its frames are iterated."""

    good_bytes: int = 0
    torn_bytes: int = 0
    damaged_frames: int = 0
    complete: bool = False


def frame(payload: bytes) -> bytes:
    """One payload, framed."""
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def encode(value: object) -> bytes:
    """A value as JSON; also where a text holds half a surrogate pair, which UTF-8 can't."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def decode(payload: memoryview) -> Any:
    """What `encode` encoded."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return json.loads(bytes(payload))


def read_frames(path: Path, report: ReadReport) -> Iterator[memoryview]:
    """The payloads of a file, in order.

    What a crash leaves, an unfinished last frame, ends the file silently (`torn_bytes`). A frame
    that doesn't match its checksum but is followed by more is passed over and counted
    (`damaged_frames`): frames stand for themselves, so what follows is still good.

    Raises:
        OSError: the file can't be read.
    """
    data = memoryview(path.read_bytes())
    if bytes(data[: len(MAGIC)]) != MAGIC:
        # A crash while the file was begun leaves a part of it, or zeros after a power cut.
        begun = MAGIC.startswith(bytes(data)) or not any(data)
        report.damaged_frames += not begun
        report.torn_bytes = len(data) if begun else 0
        return
    position = len(MAGIC)
    report.good_bytes = position
    while position + HEADER.size <= len(data):
        length, checksum = HEADER.unpack_from(data, position)
        end = position + HEADER.size + length
        if length == 0 or end > len(data):
            following = _next_frame(data, position)
            if following is None:
                break
            # Not a torn end: a length that was damaged in the middle of the file.
            report.damaged_frames += 1
            position = following
            continue
        payload = data[position + HEADER.size : end]
        if zlib.crc32(payload) == checksum:
            yield payload
        elif end == len(data):
            break
        else:
            report.damaged_frames += 1
        position = end
        report.good_bytes = end
    report.torn_bytes = len(data) - position
    report.complete = report.damaged_frames == 0 and report.torn_bytes == 0


def _next_frame(data: memoryview, position: int) -> int | None:
    """Where the next good frame of changes begins (they all begin alike)."""
    raw = bytes(data)
    at = raw.find(_CHANGES, position + HEADER.size + 1)
    while at >= 0:
        length, checksum = HEADER.unpack_from(data, at - HEADER.size)
        if length <= len(data) - at and zlib.crc32(data[at : at + length]) == checksum:
            return at - HEADER.size
        at = raw.find(_CHANGES, at + 1)
    return None


def write_whole(path: Path, payloads: Iterable[bytes], previous: Path | None = None) -> int:
    """Writes a file that is either there whole or not at all; returns its size in bytes.

    Written aside, fsynced, renamed, the folder fsynced; what was there is kept as `previous`.

    Raises:
        OSError: the disk refuses; `path` is then as it was.
    """
    aside = path.with_name(path.name + ".tmp")
    try:
        with aside.open("wb") as file:
            file.write(MAGIC)
            for payload in payloads:
                file.write(frame(payload))
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    if previous is not None and path.exists():
        path.replace(previous)
    aside.replace(path)
    sync_folder(path.parent)
    return size


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder last through a power cut (where the system has such a thing)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
