"""The lines of a data file, as they come, with little memory whatever the file holds."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import zstandard

from core.backup.manifest import EXTENSIONS, SEALED
from core.errors import DamagedError
from core.transfer.lines import MAX_LINE_BYTES

CHUNK = 1024 * 1024
_GZIP = 31
# A window that a compressor asks for is memory that the reader must find; ours asks for 2 MiB.
_WINDOW = 32 * 1024 * 1024
# It gives all that its input stands for at once: a block of 4 bytes can be 128 KiB.
_ZSTD_INPUT = 512


def lines_of(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """The lines of a compressed file, without their ends; its name tells how it is compressed.

    Raises:
        DamagedError: it is cut short, not of its kind, or a line is longer than any item.
    """
    rest = b""
    for text in _unpacked(chunks, name):
        head, *more = text.split(b"\n")
        if not more:
            rest += head
        else:
            yield rest + head
            rest = more.pop()
            yield from more
        if len(rest) > MAX_LINE_BYTES:
            raise DamagedError(
                f"The file '{name}' holds a line longer than any item's: a gzip bomb?", path=name
            )
    if rest:
        yield rest


def read_chunks(source: BinaryIO, note: Callable[[bytes], object]) -> Iterator[bytes]:
    """The bytes of an open file; each chunk is noted before it is given."""
    while chunk := source.read(CHUNK):
        note(chunk)
        yield chunk


def packed_as(name: str) -> str:
    """How a file of this name is compressed: gzip or zstd.

    Raises:
        DamagedError: neither.
    """
    plain = name.removesuffix(SEALED)
    for kind, extension in EXTENSIONS.items():
        if plain.endswith(extension):
            return kind
    raise DamagedError(f"The file '{name}' is neither .json.gz nor .json.zst.", path=name)


def _unpacked(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    unpack = _gunzipped if packed_as(name) == "gzip" else _unzstd
    try:
        yield from unpack(chunks, name)
    except (zlib.error, zstandard.ZstdError) as error:
        raise DamagedError(f"The file '{name}' can't be unpacked: {error}.", path=name) from error


def _gunzipped(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(_GZIP)
    begun = False
    for chunk in chunks:
        data = chunk
        while data:
            if unpacker.eof:  # another member follows
                unpacker = zlib.decompressobj(_GZIP)
            begun = True
            yield unpacker.decompress(data, CHUNK)
            data = unpacker.unconsumed_tail or unpacker.unused_data
    while begun and not unpacker.eof:
        text = unpacker.decompress(b"", CHUNK)
        if not text:
            break
        yield text
    if not (begun and unpacker.eof):
        raise _cut_short(name)


def _unzstd(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    unpacker = decompressor.decompressobj()
    begun = False
    for chunk in chunks:
        for start in range(0, len(chunk), _ZSTD_INPUT):
            data = chunk[start : start + _ZSTD_INPUT]
            while data:
                if unpacker.eof:  # another frame follows
                    unpacker = decompressor.decompressobj()
                begun = True
                text = unpacker.decompress(data)
                for at in range(0, len(text), CHUNK):
                    yield text[at : at + CHUNK]
                data = unpacker.unused_data
    if not (begun and unpacker.eof):
        raise _cut_short(name)


def _cut_short(name: str) -> DamagedError:
    return DamagedError(f"The file '{name}' is cut short.", path=name)
