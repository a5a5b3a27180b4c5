"""What surrounds every packed item of the index: magic, version, length, checksum. Pure.

offset  bytes  what
0       2      magic, which tells what it is
2       1      version, 1
3       1-9    length of the body, a varint
...     n      body
...     4      CRC-32 of all before it, little-endian
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from core.errors import DamagedError
from core.memory.index.bits import Reader, varint

VERSION = 1
_CHECKSUM = struct.Struct("<I")
_MAGIC_BYTES = 2


@dataclass(frozen=True)
class Kind:
    """A sort of item: its magic, and the words that errors call it by."""

    magic: bytes
    subject: str


def closed(kind: Kind, body: bytes) -> bytes:
    """A body with all that surrounds it."""
    whole = kind.magic + bytes([VERSION]) + varint(len(body)) + body
    return whole + _CHECKSUM.pack(zlib.crc32(whole))


def opened(kind: Kind, raw: bytes) -> Reader:
    """A reader that stands at the body's first byte and ends at its last.

    Raises:
        DamagedError: it is no such item, cut short, altered, or of another version.
    """
    if not isinstance(raw, bytes | bytearray | memoryview):
        raise Reader(b"", kind.subject).damaged(f"is {type(raw).__name__}, not binary")
    reader = Reader(bytes(raw), kind.subject)
    if reader.take(_MAGIC_BYTES) != kind.magic:
        raise reader.damaged("does not begin as one")
    (version,) = reader.take(1)
    if version != VERSION:
        raise DamagedError(
            f"{kind.subject} has version {version}; this program reads {VERSION}.",
            "Was it written by a newer one? Install that; otherwise rebuild the user's index.",
        )
    length = reader.varint()
    if reader.left != length + _CHECKSUM.size:
        found = reader.left - _CHECKSUM.size
        raise reader.damaged(f"has {found} bytes where it says {length}")
    body = reader.take(length)
    (checksum,) = _CHECKSUM.unpack(reader.take(_CHECKSUM.size))
    if checksum != zlib.crc32(bytes(raw)[: -_CHECKSUM.size]):
        raise reader.damaged("was altered: its checksum is another")
    return reader.within(body)
