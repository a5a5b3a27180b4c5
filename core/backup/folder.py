"""Backups in a folder: every file written aside, brought to the disk, then renamed."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from filelock import FileLock, Timeout

from core.aws.lease import process_runs
from core.backup.place import Entry, checked_name
from core.errors import DamagedError, NotFoundError, StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_HOST = hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()
_ASIDE = re.compile(r"\.ialctl-([0-9a-f]{8})-(\d+)-\d+\.tmp")
_SWAPPING = ".ialctl-swap.lock"
_SWAP_TIMEOUT_S = 10.0
_TRIES = 50
Result = TypeVar("Result")
_numbers = itertools.count()


class FolderPlace:
    """A folder of backups; it is made with the first file."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        """A place at `folder`; `url` is what its user calls it."""
        self._folder = folder
        self._url = url or str(folder)
        self._tidied: set[Path] = set()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """What a person types to name it."""
        return self._url

    @property
    def bucket(self) -> tuple[str, str] | None:
        """None: it is no bucket."""
        return None

    def put(self, name: str, body: bytes) -> None:
        """Writes a file whole or not at all."""
        path = self._path(name)
        with self._told(name, "written"):
            _again(lambda: self._replace(self._write_aside(path, body), path))

    def put_new(self, name: str, body: bytes) -> bool:
        """Writes a file where there is none: by a link, of which the file system makes only one."""
        path = self._path(name)
        with self._told(name, "written"):
            return False if path.exists() else _again(lambda: self._link(path, body))

    def swap(self, name: str, before: bytes, after: bytes | None) -> bool:
        """Replaces or deletes a file that holds `before`; swaps of one place take turns."""
        path = self._path(name)
        with self._told(name, "written"), self._turn():
            try:
                if path.read_bytes() != before:
                    return False
            except FileNotFoundError:
                return False
            if after is None:
                path.unlink()
                _sync_folder(path.parent)
            else:
                self._replace(self._write_aside(path, after), path)
            return True

    def get(self, name: str, most_bytes: int | None = None) -> bytes:
        """A file's content."""
        with self.open(name) as file, self._told(name, "read"):
            size = os.fstat(file.fileno()).st_size
            if most_bytes is not None and size > most_bytes:
                raise too_large(name, size, most_bytes)
            return file.read()

    def open(self, name: str) -> BinaryIO:
        """A file to be read."""
        path = self._path(name)
        with self._told(name, "read"):
            return path.open("rb")

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """The files of a folder and of all below it."""
        yield from self._walk(prefix.strip("/"))

    def folders(self, prefix: str = "") -> Iterator[str]:
        """The folders directly in a folder; links to folders are none."""
        for entry, _ in self._scan(prefix.strip("/")):
            if entry.is_dir(follow_symlinks=False):
                yield entry.name

    def delete(self, names: Sequence[str]) -> None:
        """Deletes files and the folders that they leave empty."""
        emptied: set[Path] = set()
        for name in names:
            path = self._folder / checked_name(name)
            self._refuse_outside(path.parent, name)
            with self._told(name, "deleted"), suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
                emptied.add(path.parent)
        for folder in sorted(emptied, key=lambda path: len(path.parts), reverse=True):
            self._remove_emptied(folder)

    # Paths ----------------------------------------------------------------------------------

    def _path(self, name: str) -> Path:
        path = self._folder / checked_name(name)
        self._refuse_outside(path, name)
        return path

    def _refuse_outside(self, path: Path, name: str) -> None:
        # A link is followed inside of the place only: a copy of a backup from elsewhere must not
        # make us read, or write, any other file of this machine.
        try:
            inside = path.resolve().is_relative_to(self._folder.resolve())
        except (OSError, RuntimeError):  # a ring of links
            inside = False
        if not inside:
            raise DamagedError(
                f"The file '{name}' of {self._url} is a link that leads out of it.",
                "Put the file itself there.",
                name=name,
            )

    @contextmanager
    def _told(self, name: str, what: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if what != "read":
                raise self._storage_error(name, what, error) from error
            raise NotFoundError(
                f"There is no file '{name}' in {self._url}.", code="NoSuchKey", name=name
            ) from error
        except OSError as error:
            raise self._storage_error(name, what, error) from error

    def _storage_error(self, name: str, what: str, error: OSError) -> StorageError:
        if error.errno in _FULL:
            cure = f"Make room there, or choose another place than {self._url}; then run it again."
        elif isinstance(error, IsADirectoryError | NotADirectoryError):
            cure = "Something else has the name of a file or a folder of the backup: move it away."
        else:
            may = {"written": "write", "deleted": "delete in"}.get(what, "read")
            cure = f"Make {self._url} a folder that this user may {may}, or choose another."
        return StorageError(
            f"The file '{name}' in {self._url} can't be {what}: {error.strerror or error}.",
            cure,
            path=self._folder / name,
        )

    # Writing --------------------------------------------------------------------------------

    def _make_folder(self, folder: Path) -> None:
        made: list[Path] = []
        missing = folder
        while not missing.exists():
            made.append(missing)
            missing = missing.parent
        folder.mkdir(parents=True, exist_ok=True)
        for path in made:
            _sync_folder(path.parent)
        with self._lock:
            fresh = folder not in self._tidied
            self._tidied.add(folder)
        if fresh:
            _tidy(folder, dead_only=True)

    def _write_aside(self, path: Path, body: bytes) -> Path:
        self._make_folder(path.parent)
        aside = path.parent / f".ialctl-{_HOST}-{os.getpid()}-{next(_numbers)}.tmp"
        try:
            with aside.open("xb", buffering=0) as file:
                rest = memoryview(body)
                while rest:  # a disk that fills takes a part first, and says so at the next
                    rest = rest[file.write(rest) or 0 :]
                os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            raise
        return aside

    @staticmethod
    def _replace(aside: Path, path: Path) -> None:
        try:
            aside.replace(path)
        except OSError:
            aside.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)

    def _link(self, path: Path, body: bytes) -> bool:
        aside = self._write_aside(path, body)
        try:
            os.link(aside, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return self._create(path, body)  # a file system without links
        finally:
            aside.unlink(missing_ok=True)
        _sync_folder(path.parent)
        return True

    def _create(self, path: Path, body: bytes) -> bool:
        with self._turn():
            if path.exists():
                return False
            self._replace(self._write_aside(path, body), path)
            return True

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._folder / _SWAPPING, timeout=_SWAP_TIMEOUT_S)
        try:
            lock.acquire()
        except Timeout as error:
            raise OSError(errno.EBUSY, "another process is stuck while it changes it") from error
        try:
            yield
        finally:
            lock.release()

    def _remove_emptied(self, folder: Path) -> None:
        while folder != self._folder and folder.is_relative_to(self._folder):
            with suppress(OSError):
                _tidy(folder, dead_only=False)
            try:
                _remove_empty(folder)
            except OSError:  # it is not empty, or somebody was quicker
                return
            with self._lock:
                self._tidied.discard(folder)
            folder = folder.parent

    # Listing --------------------------------------------------------------------------------

    def _walk(self, prefix: str) -> Iterator[Entry]:
        for entry, name in self._scan(prefix):
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(name)
            else:
                with suppress(FileNotFoundError):  # deleted since
                    yield Entry(name, entry.stat(follow_symlinks=False).st_size)

    def _scan(self, prefix: str) -> list[tuple[os.DirEntry[str], str]]:
        folder = self._folder / checked_name(prefix) if prefix else self._folder
        with self._told(prefix or ".", "read"):
            try:
                found = list(os.scandir(folder))
            except FileNotFoundError:
                return []
        shown = [entry for entry in found if _is_shown(entry.name)]
        # As a bucket sorts them: a folder's files by the folder's name with its slash.
        shown.sort(key=lambda e: e.name + "/" * e.is_dir(follow_symlinks=False))
        return [(entry, f"{prefix}/{entry.name}" if prefix else entry.name) for entry in shown]


def too_large(name: str, size: int, most_bytes: int) -> DamagedError:
    """The error for a file that is larger than any good one of its kind."""
    return DamagedError(
        f"The file '{name}' is larger than any good one: {size:,} bytes, {most_bytes:,} at most.",
        "It is not what was written there: take another backup.",
        name=name,
    )


def _is_shown(name: str) -> bool:
    if _ASIDE.fullmatch(name) or name == _SWAPPING:
        return False
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no text: none of ours, and no name of a bucket's
        return False
    return True


def _tidy(folder: Path, *, dead_only: bool) -> None:
    """Removes what killed runs had begun to write."""
    for entry in list(os.scandir(folder)):
        match = _ASIDE.fullmatch(entry.name)
        dead = match is not None and match[1] == _HOST and not process_runs(int(match[2]))
        if match is not None and (dead or not dead_only):
            Path(entry).unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    """Removes a folder in which there are only empty ones, as a killed run may leave them.

    Raises:
        OSError: there is a file in it.
    """
    try:
        folder.rmdir()
    except OSError:
        inside = list(folder.iterdir())
        if not all(path.is_dir() and not path.is_symlink() for path in inside):
            raise
        for path in inside:
            _remove_empty(path)
        folder.rmdir()


def _again(write: Callable[[], Result]) -> Result:
    """Writes once more where another run just removed the folder, emptied by its last file."""
    for _ in range(_TRIES):
        # What is gone when it is written to, or was there a moment ago when it is made.
        with suppress(FileNotFoundError, FileExistsError):
            return write()
    return write()


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders can't be opened there; a rename is in the journal
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
