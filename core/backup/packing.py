"""Lines into data files: compressed as they come, sealed where wanted, put whole.

A file is made in memory and is closed at 8 MiB: what is written is never half a file, and what a
writer holds does not grow with the table.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import zstandard

from core.backup.manifest import EXTENSIONS, SEALED, Compression, DataFile, data_file

FILE_BYTES = 8 * 1024 * 1024
_GZIP = 31
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3

Put = Callable[[str, bytes], None]
"""Writes a file by its name, whole."""
Seal = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Target:
    """Where data files go: `put` by name, `key` is the name from the bucket's root."""

    put: Put
    key: Callable[[str], str]
    name: Callable[[int], str]
    compression: Compression
    seal: Seal | None = None

    def file_name(self, number: int) -> str:
        """The name of the file of this number."""
        return self.name(number) + EXTENSIONS[self.compression] + (SEALED if self.seal else "")


@dataclass(frozen=True)
class Packed:
    """A data file that was put, and its size in bytes."""

    file: DataFile
    size: int


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class Packer:
    """Packs the lines of one part of a table. For one thread."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._done: list[Packed] = []
        self._body = io.BytesIO()
        self._items = 0
        self._compressor = _compressor(target.compression)

    def add(self, lines: Sequence[bytes]) -> None:
        """Adds whole lines."""
        self._body.write(self._compressor.compress(b"".join(lines)))
        self._items += len(lines)
        if self._body.tell() >= FILE_BYTES:
            self._close()

    def finish(self) -> tuple[Packed, ...]:
        """Puts what is left; one file at least, if an empty one, as exports of AWS's have."""
        if self._items or not self._done:
            self._close()
        return tuple(self._done)

    def _close(self) -> None:
        self._body.write(self._compressor.flush())
        body = self._body.getvalue()
        if self._target.seal:
            body = self._target.seal(body)
        name = self._target.file_name(len(self._done))
        self._target.put(name, body)
        file = data_file(self._target.key(name), self._items, body)
        self._done.append(Packed(file, len(body)))
        self._body, self._items = io.BytesIO(), 0
        self._compressor = _compressor(self._target.compression)


def _compressor(compression: Compression) -> _Compressor:
    if compression == "gzip":
        # No file name and no time: the same lines give the same bytes.
        return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compressobj()
