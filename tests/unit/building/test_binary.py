"""What is made beside the binary: archive and checksums."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from scripts.building.binary import archive_stem, pack, write_checksums

EPOCH_S = 1_700_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A build of two files."""
    made = tmp_path / "ialctl-dir"
    (made / "_internal").mkdir(parents=True)
    (made / "_internal" / "library.so").write_bytes(b"machine code")
    (made / "ialctl").write_bytes(b"program")
    (made / "ialctl").chmod(0o755)
    return made


def test_an_archive_depends_on_its_contents_alone(folder: Path, tmp_path: Path) -> None:
    """The same files give the same bytes, whenever they were written, and by whom."""
    first = pack(folder, tmp_path / "first.tar.gz", EPOCH_S).read_bytes()
    os.utime(folder / "ialctl", (0, 0))
    assert pack(folder, tmp_path / "second.tar.gz", EPOCH_S).read_bytes() == first


def test_an_archive_unpacks_into_a_folder_of_its_own(folder: Path, tmp_path: Path) -> None:
    """With the version in its name, and a program that can be run."""
    with tarfile.open(pack(folder, tmp_path / "made.tar.gz", EPOCH_S)) as tar:
        modes = {member.name: member.mode & 0o777 for member in tar if member.isfile()}
    assert modes[f"{archive_stem()}/ialctl"] == 0o755
    assert set(modes) == {f"{archive_stem()}/{n}" for n in ("ialctl", "_internal/library.so")}


def test_checksums_are_read_by_the_tool_for_them(folder: Path) -> None:
    """`sha256sum --check` in the same folder."""
    sums = write_checksums(folder / "SHA256SUMS", [folder / "ialctl"])
    done = subprocess.run(["sha256sum", "--check", sums.name], cwd=folder, capture_output=True)
    assert done.returncode == 0
