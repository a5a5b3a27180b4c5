"""The journal: what was flushed stands, what a full disk refused goes out later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.local.frames import ReadReport, decode, encode, read_frames
from core.local.journal import Journal


def _entries(path: Path) -> list[object]:
    return [entry for payload in read_frames(path, ReadReport()) for entry in decode(payload)]


def test_only_what_was_flushed_is_in_the_file(tmp_path: Path) -> None:
    """Added entries reach the file with `flush`, all as one frame."""
    journal = Journal(tmp_path / "j")
    journal.add(encode([1]))
    journal.add(encode([2]))
    assert _entries(tmp_path / "j") == []
    journal.flush()
    assert _entries(tmp_path / "j") == [[1], [2]]


def test_reopened_it_goes_on_after_the_good_part(tmp_path: Path) -> None:
    """A torn end is cut off before anything is added."""
    journal = Journal(tmp_path / "j")
    journal.add(encode([1]))
    journal.close()
    good = (tmp_path / "j").stat().st_size
    (tmp_path / "j").write_bytes((tmp_path / "j").read_bytes() + b"\x09\x00\x00\x00torn")
    again = Journal(tmp_path / "j", good)
    again.add(encode([2]))
    again.close()
    assert _entries(tmp_path / "j") == [[1], [2]]


_FULL_DISK = """
import resource, sys
from pathlib import Path
from core.local.journal import Journal
journal = Journal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
journal.add(b'"' + b"x" * 200 + b'"')
try:
    journal.flush()
except OSError:
    print("refused at", journal.size)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.add(b"2")
journal.flush()
"""


def test_what_a_full_disk_refused_goes_out_with_the_next_flush(tmp_path: Path) -> None:
    """A refused flush leaves no half frame, keeps its entries, and their order."""
    path = tmp_path / "j"
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "refused at 8\n"
    assert _entries(path) == ["x" * 200, 2]


_NO_ROOM = """
import os, resource, sys
from pathlib import Path
from core.local.journal import Journal
resource.setrlimit(resource.RLIMIT_FSIZE, (4, resource.RLIM_INFINITY))
before = len(os.listdir("/proc/self/fd"))
try:
    Journal(Path(sys.argv[1]))
except OSError:
    print(len(os.listdir("/proc/self/fd")) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_journal_that_can_not_be_begun_leaves_nothing_open(tmp_path: Path) -> None:
    """Tried at every answer on a full disk, it would else use up all descriptors."""
    done = subprocess.run(
        [sys.executable, "-c", _NO_ROOM, str(tmp_path / "j")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0\n"
