"""One deployment at a time: a lease in the operations table, a locked file until that stands.

The file keeps out other runs of this machine and folder, and is free again the moment its
process ends. The lease keeps out everyone else: it is taken by a conditional write, runs out by
itself, and carries a number that grows with each owner, so that one who lost it is noticed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import orjson
from filelock import FileLock, Timeout

from core.aws.lease import Owner, held
from core.clock import Clock, iso
from core.errors import LockHeldError, StorageError


@contextlib.contextmanager
def file_lock(path: Path, owner: Owner, clock: Clock) -> Iterator[None]:
    """Holds a lock file while the block runs.

    Raises:
        LockHeldError: another process holds it; says who and since when.
        StorageError: the file can't be made.
    """
    # Who holds it stands beside it: a locked file can't be read everywhere.
    note = path.with_suffix(".owner")
    lock = FileLock(path, blocking=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        note.write_bytes(orjson.dumps({"owner": str(owner), "since": iso(clock.time())}))
    except Timeout:
        raise _held(*_read_owner(note)) from None
    except OSError as error:
        lock.release()
        raise StorageError(
            f"The lock file '{path}' can't be made: {error.strerror}.",
            "Choose a folder that can be written: --state-dir DIR or IAL_STATE_DIR.",
            path=path,
        ) from error
    try:
        yield
    finally:
        lock.release()


def _read_owner(note: Path) -> tuple[str, str]:
    try:
        found = orjson.loads(note.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return "another process", "just now"  # it has not written its name yet
    return str(found["owner"]), str(found["since"])


def _held(owner: str, since: str) -> LockHeldError:
    return held("deployment", owner, since)
