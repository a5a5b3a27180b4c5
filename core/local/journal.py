"""The append-only journal of data-plane changes.

`add` is called under the lock that also covers the change itself, so the journal's order is the
order of application. `flush` hands everything added so far to the operating system as one frame
(whole after a kill -9, or absent); `sync` brings that to the disk.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from core.local.frames import MAGIC, frame, sync_folder


class Journal:
    """One journal file, open for appending. Thread-safe."""

    def __init__(self, path: Path, size: int | None = None) -> None:
        """Opens `path` and goes on after its first `size` bytes (all of them by default).

        Raises:
            OSError: the file can't be opened or written.
        """
        self.path = path
        self.lock = threading.RLock()
        self._syncing = threading.Lock()
        self._pending: list[bytes] = []
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._closed = False
        self._unsynced = False
        try:
            self.size = os.fstat(self._file).st_size if size is None else size
            os.ftruncate(self._file, self.size)
            if self.size == 0:
                self._write(MAGIC)
            # The name, too, must last through a power cut.
            sync_folder(path.parent)
        except OSError:
            os.close(self._file)
            raise

    @property
    def has_pending(self) -> bool:
        """True where changes were added since the last flush."""
        return bool(self._pending)

    def add(self, entry: bytes) -> None:
        """Adds one change, encoded as JSON; it is on its way only after `flush`."""
        self._pending.append(entry)

    def flush(self) -> None:
        """Writes what was added, as one frame.

        Raises:
            OSError: the disk refuses. What was added stays, and goes out with the next flush.
        """
        with self.lock:
            if not self._pending:
                return
            self._write(frame(b"[" + b",".join(self._pending) + b"]"))
            self._pending.clear()

    def sync(self) -> None:
        """Brings what was flushed to the disk.

        Raises:
            OSError: the disk refuses.
        """
        with self._syncing:  # never on a file that is being closed
            if self._unsynced and not self._closed:
                self._unsynced = False
                try:
                    os.fsync(self._file)
                except OSError:
                    self._unsynced = True
                    raise

    def close(self) -> None:
        """Flushes, syncs and closes."""
        self.flush()
        self.sync()
        with self._syncing:
            self._closed = True
            os.close(self._file)

    def _write(self, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self._file, data[written:], self.size + written)
        except OSError:
            # A full disk takes a part of a frame: away with it, or the next would be unreadable.
            os.ftruncate(self._file, self.size)
            raise
        self.size += len(data)
        self._unsynced = True
