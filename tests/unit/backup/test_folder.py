"""A folder of backups when the disk, its rights or its links are not as they should be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.backup.folder import FolderPlace
from core.errors import DamagedError, StorageError

FULL_DISK = """
import resource, sys
from pathlib import Path
from core.backup.folder import FolderPlace
from core.errors import StorageError

place = FolderPlace(Path(sys.argv[1]), "backups")
place.put("set/before", b"x" * 900)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
for call in (
    lambda: place.put("set/before", b"y" * 5000),
    lambda: place.put_new("set/new", b"y" * 5000),
    lambda: place.swap("set/before", b"x" * 900, b"y" * 5000),
):
    try:
        call()
    except StorageError as error:
        print(error.what, error.cure)
"""


def test_a_disk_that_fills_leaves_what_stood(tmp_path: Path) -> None:
    """Each way of writing says so with a cure; the file before stays, nothing half-written."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told = done.stdout.splitlines()
    assert len(told) == 3
    assert all("can't be written" in line and "Make room" in line for line in told)
    found = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert found - {".ialctl-swap.lock"} == {"before"}
    assert (tmp_path / "set" / "before").read_bytes() == b"x" * 900


@contextmanager
def _nobody() -> Iterator[None]:
    """Without the rights of an administrator, to whom no folder is read-only."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_folder_can_be_read_but_not_written(tmp_path: Path) -> None:
    """Writing says what to do; reading and listing work."""
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    place = FolderPlace(tmp_path / "backups")
    place.put("set/x", b"1")
    for folder in (tmp_path / "backups", tmp_path / "backups" / "set"):
        folder.chmod(0o555)
    with _nobody():
        assert place.get("set/x") == b"1"
        assert [entry.name for entry in place.entries()] == ["set/x"]
        writes = (
            lambda: place.put("set/y", b""),
            lambda: place.put_new("set/y", b""),
            lambda: place.swap("set/x", b"1", b"2"),
            lambda: place.delete(["set/x"]),
        )
        for write in writes:
            with pytest.raises(StorageError, match="Permission denied") as caught:
                write()
            assert "choose another" in (caught.value.cure or "")


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    """A link to a file or a folder elsewhere is neither read nor written through; one inside is."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    folder = tmp_path / "backups"
    place = FolderPlace(folder)
    place.put("set/real", b"real")
    (folder / "set" / "file").symlink_to(outside / "secret")
    (folder / "set" / "inner").symlink_to(folder / "set" / "real")
    (folder / "set" / "ring").symlink_to(folder / "set" / "ring")
    (folder / "linked").symlink_to(outside)
    for name in ("set/file", "linked/secret", "set/ring"):
        with pytest.raises(DamagedError, match="leads out of it"):
            place.get(name)
    for name in ("linked/new", "set/file"):
        with pytest.raises(DamagedError, match="leads out of it"):
            place.put(name, b"x")
    assert place.get("set/inner") == b"real"
    assert list(place.folders()) == ["set"]
    with pytest.raises(DamagedError, match="leads out of it"):
        place.delete(["linked/secret"])
    place.delete([entry.name for entry in place.entries()])
    assert (outside / "secret").read_text() == "secret"
    assert not folder.exists() or not list(folder.iterdir())


def test_what_a_killed_run_had_begun_goes(tmp_path: Path) -> None:
    """The file that it wrote aside is never listed, and gone with the next write beside it."""
    place = FolderPlace(tmp_path)
    place.put("set/x", b"1")
    mine = next(iter(_aside(tmp_path)))
    beside = tmp_path / "set" / mine.replace(f"-{os.getpid()}-", f"-{2**22 + 1}-")
    beside.write_bytes(b"half")
    assert [entry.name for entry in place.entries()] == ["set/x"]
    FolderPlace(tmp_path).put("set/y", b"2")
    assert not beside.exists()
    beside.write_bytes(b"half")
    place.delete(["set/x", "set/y"])
    assert not (tmp_path / "set").exists()


def _aside(folder: Path) -> Iterator[str]:
    """The name under which this process writes a file aside."""
    place = FolderPlace(folder)
    path = place._write_aside(folder / "any", b"")
    path.unlink()
    yield path.name


def test_a_folder_where_a_file_stands_is_said(tmp_path: Path) -> None:
    """A place below a file, and a file where a folder is: one sentence each."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="can't be written"):
        FolderPlace(tmp_path / "file" / "backups").put("x", b"")
    place = FolderPlace(tmp_path)
    place.put("set/x", b"")
    with pytest.raises(StorageError, match="can't be"):
        place.get("set")
    with pytest.raises(StorageError, match="can't be"):
        place.put("set", b"")


def test_files_come_and_go_side_by_side(tmp_path: Path) -> None:
    """Writing a folder's first file and deleting its last never get in each other's way."""
    place = FolderPlace(tmp_path)

    def come_and_go(number: int) -> None:
        for turn in range(60):
            name = f"readers/{number}-{turn}"
            if turn % 2:
                place.put(name, b"x")
            else:
                assert place.put_new(name, b"x")
            assert place.get(name) == b"x"
            place.delete([name])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(4)))
    assert list(tmp_path.iterdir()) == []


def test_folders_that_a_killed_run_left_empty_go(tmp_path: Path) -> None:
    """With the last file of a set, however deep; a folder with a file in it stays."""
    place = FolderPlace(tmp_path)
    (tmp_path / "set" / "t" / "data").mkdir(parents=True)
    place.put("set/mark", b"")
    place.put("other/t/x", b"")
    (tmp_path / "other" / "empty").mkdir()
    place.put("other/mark", b"")
    place.delete(["set/mark", "other/mark"])
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    assert place.get("other/t/x") == b""
