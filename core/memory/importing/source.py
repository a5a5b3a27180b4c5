"""The file that is imported: read as a stream, its beginning looked at, its bytes counted."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from core.errors import DamagedError, StorageError, UsageError

HEAD_BYTES = 64 * 1024
_BUFFER_BYTES = 256 * 1024
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_OTHER_KINDS = (
    (b"PK\x03\x04", "a ZIP archive", "Unpack it and import the JSON file inside."),
    (b"\xff\xfe", "UTF-16 text", "Save it as UTF-8."),
    (b"\xfe\xff", "UTF-16 text", "Save it as UTF-8."),
    (b"{\0", "UTF-16 text", "Save it as UTF-8."),
    (b"\0{", "UTF-16 text", "Save it as UTF-8."),
    (b"[\0", "UTF-16 text", "Save it as UTF-8."),
    (b"\0[", "UTF-16 text", "Save it as UTF-8."),
    (b"SQLite format 3", "a database", "Export it as JSON lines first."),
)


class Source:
    """An opened file without its byte order mark, unpacked if it is gzip; `head` begins it."""

    def __init__(self, name: str, raw: IO[bytes], total_bytes: int | None, stamp: str) -> None:
        rest: _Readable = raw
        head = _read_fully(raw, HEAD_BYTES)
        self.name = name
        self.total_bytes = total_bytes
        self.fingerprint = hashlib.sha256(os.fsencode(stamp) + head).hexdigest()
        self.resumable = total_bytes is not None
        self._packed = _Joined(head, raw) if head.startswith(_GZIP) else None
        if self._packed is not None:
            rest = _Unpacked(name, io.BufferedReader(self._packed, _BUFFER_BYTES))
            head = _read_fully(rest, HEAD_BYTES)
        self.head = head.removeprefix(_BOM)
        self._joined = _Joined(self.head, rest)
        self.stream = io.BufferedReader(self._joined, _BUFFER_BYTES)

    @property
    def bytes_read(self) -> int:
        """Bytes taken from the file so far, up to a buffer ahead of what was used."""
        return (self._packed or self._joined).count


class _Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


class _Unpacked:
    """What a gzip file holds."""

    def __init__(self, name: str, packed: io.BufferedReader) -> None:
        self._name = name
        self._file = gzip.GzipFile(fileobj=packed)

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DamagedError(
                f"The file {self._name} is damaged gzip: {str(error).rstrip('.')}.",
                "Fetch it again; what was stored of it stays, and is not doubled.",
                path=self._name,
            ) from error


class _Joined(io.RawIOBase):
    """The head that was looked at, then the rest."""

    def __init__(self, head: bytes, rest: _Readable) -> None:
        self._head = memoryview(head)
        self._rest = rest
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # typeshed's Buffer is 3.12
        found = self._head[: len(view)] or memoryview(self._rest.read(len(view)))
        self._head = self._head[len(found) :]
        view[: len(found)] = found
        self.count += len(found)
        return len(found)


@contextmanager
def open_source(name: str, stdin: IO[bytes]) -> Iterator[Source]:
    """Opens a file, or `stdin` for "-".

    Raises:
        StorageError: it can't be read.
        UsageError: it is empty, or of a kind that is not JSON text.
    """
    if name == "-":
        yield _checked(Source("standard input", stdin, None, ""))
        return
    path = Path(name)
    try:
        file = path.open("rb")
        status = path.stat()
    except OSError as error:
        raise StorageError(
            f"The file '{name}' can't be read: {error.strerror or error}.",
            "Check the path; `-` reads standard input.",
            path=name,
        ) from error
    with file:
        stamp = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\0"
        # A pipe or a device has no size, and can't be read again.
        size = status.st_size if stat.S_ISREG(status.st_mode) else None
        yield _checked(Source(name, file, size, stamp))


def _checked(source: Source) -> Source:
    if not source.head.strip():
        raise UsageError(f"There is nothing in {source.name}.", "Give a file with messages.")
    for magic, kind, cure in _OTHER_KINDS:
        if source.head.startswith(magic):
            raise UsageError(f"The file {source.name} is {kind}, not JSON text.", cure)
    return source


def _read_fully(raw: _Readable, size: int) -> bytes:
    # A pipe gives what it has; the beginning is wanted whole.
    found = b""
    while len(found) < size:
        more = raw.read(size - len(found))
        if not more:
            break
        found += more
    return found
