"""What the one-file binary needs around it: a tidy folder, and an end when its launcher ends.

Two processes make up a run of it: the launcher, which unpacks the libraries into a folder
`_MEI<its process id><6 letters>` beside other temporary files, and its child, which is we; the
launcher removes the folder once we have ended. Where it is killed it can't, and we would go on
without anyone to wait for us. So we ask to be terminated with it, and remove what other runs left.

A lock on the folder tells that it is in use: it ends with the process that holds it, however that
ends, and systemd's cleaner of temporary files lets such a folder be.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

MARKER = ".ialctl-unpacked"
"""A file of ours in each folder that our launcher unpacks to."""
_FOLDER = re.compile(r"_MEI([0-9a-f]{8})\w{6}")
_SPAWNED = "--multiprocessing-fork"
_PR_SET_PDEATHSIG = 1


def launcher_folder() -> Path | None:
    """The folder that the launcher of the one-file binary unpacked to; None without one."""
    folder = Path(getattr(sys, "_MEIPASS", ""))
    return folder if _FOLDER.fullmatch(folder.name) else None


def settle(arguments: Sequence[str]) -> None:
    """What a frozen program does before anything else.

    Where this is a helper process that Python's `multiprocessing` started, it serves as that, and
    does not return.
    """
    own = launcher_folder()
    if own is not None and sys.platform == "linux":
        hold(own)
    if list(arguments[:1]) == [_SPAWNED]:
        import multiprocessing

        multiprocessing.freeze_support()
    elif own is not None and sys.platform == "linux":
        _end_with_launcher()
        for folder in left_over(own.parent):
            shutil.rmtree(folder, ignore_errors=True)


def hold(folder: Path) -> int:
    """Marks a folder as in use, until this process ends; answers the descriptor that does."""
    descriptor = os.open(folder, os.O_RDONLY)
    with contextlib.suppress(OSError):  # a file system without locks: nothing to lose
        _lock(descriptor, shared=True)
    return descriptor


def left_over(beside: Path) -> Iterator[Path]:
    """Folders that a launcher of ours unpacked to, and that no process uses any more.

    Certain: the marker is inside, the user is this one, the launcher whose process id is in the
    name has ended, and nobody holds the lock.
    """
    with contextlib.suppress(OSError):
        for folder in beside.glob("_MEI*"):
            named = _FOLDER.fullmatch(folder.name)
            if named and _is_ours(folder) and not _runs(int(named[1], 16)) and _is_free(folder):
                yield folder


def _is_ours(folder: Path) -> bool:
    try:
        return folder.lstat().st_uid == os.getuid() and (folder / MARKER).is_file()
    except OSError:
        return False  # it goes away as we look


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True


def _is_free(folder: Path) -> bool:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        _lock(descriptor, shared=False)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, shared: bool) -> None:
    import fcntl

    fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def _end_with_launcher() -> None:
    """Has the kernel send us SIGTERM when the launcher ends; at once where it has ended."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    with contextlib.suppress(OSError):  # a system that hides other processes
        if not Path(f"/proc/{os.getppid()}/exe").samefile("/proc/self/exe"):
            signal.raise_signal(signal.SIGTERM)
