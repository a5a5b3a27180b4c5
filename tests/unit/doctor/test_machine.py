"""What is told of this machine: program, libraries, disks, settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from core.doctor.finding import Finding
from core.doctor.machine import (
    FULL_BYTES,
    Space,
    disk_finding,
    libraries_finding,
    program_finding,
    settings_findings,
    space_of,
    standing,
)
from core.settings import Settings
from tests.diagnosing import PROGRAM, loaded

GIB = 1024**3


def _settings(mode: int | None = None, memory: int | None = None, **changed: Any) -> list[Finding]:
    return [*settings_findings(loaded(Settings(), **changed), memory, lambda _: mode)]


def test_the_program() -> None:
    """Python below 3.11 is trouble; none of its own environment, or left-overs, a warning."""
    assert program_finding(PROGRAM).state == "ok"
    assert program_finding(dataclasses.replace(PROGRAM, python=(3, 10, 1))).state == "trouble"
    assert program_finding(dataclasses.replace(PROGRAM, in_venv=False)).state == "warning"
    binary = dataclasses.replace(PROGRAM, unpacked=Path("/tmp/_MEI1"), in_venv=False)
    assert "unpacked to /tmp/_MEI1" in program_finding(binary).found
    assert program_finding(dataclasses.replace(binary, left_over=2)).state == "warning"


def test_libraries_of_other_versions() -> None:
    """One that is pinned and differs is named with what installs the right one."""
    libraries = {"boto3": "1.0", "redis": "8"}
    there = dataclasses.replace(PROGRAM, libraries=libraries, pins={"boto3": "1.0", "x": "2"})
    assert libraries_finding(there).state == "ok"
    other = libraries_finding(dataclasses.replace(there, pins={"boto3": "2.0"}))
    assert (other.state, other.cure) == ("warning", "`pip install boto3==2.0`")


@pytest.mark.parametrize(
    ("space", "state", "says"),
    [
        (Space(50 * GIB, 100 * GIB), "ok", "50 GiB of 100 GiB free"),
        (Space(GIB // 2, 100 * GIB), "warning", "512 MiB of"),
        (Space(FULL_BYTES - 1, GIB), "trouble", "64 MiB of"),
        (Space(0, GIB), "trouble", "0 B of 1.0 GiB free"),
        (Space(50 * GIB, 100 * GIB, free_files=3), "trouble", "3 more files"),
        (Space(50 * GIB, 100 * GIB, writable=False), "trouble", "can't be written"),
    ],
)
def test_disks(space: Space, state: str, says: str) -> None:
    """Room, files and permission; a cure names the setting that moves it."""
    found = disk_finding("disk", Path("/srv/x"), space)
    assert found.state == state
    assert says in found.found
    assert state == "ok" or "--state-dir" in found.cure
    assert state == "ok" or "TMPDIR" in disk_finding("temporary", Path("/tmp"), space).cure


def test_the_space_of_a_folder_that_does_not_stand_yet(tmp_path: Path) -> None:
    """It is that of the nearest folder above it."""
    assert standing(tmp_path / "a" / "b") == tmp_path
    found = space_of(tmp_path / "a" / "b")
    assert 0 < found.free_bytes < found.size_bytes
    assert found.writable


def test_settings_that_are_seldom_meant() -> None:
    """Each is a warning with what to set; what is usual is one line."""
    (usual,) = _settings()
    assert usual.state == "ok"
    (aws,) = _settings(target="aws", endpoint_url="http://x")
    assert "credentials are sent" in aws.means
    (short,) = _settings(read_timeout_s=0.1)
    assert "read_timeout_s" in short.found
    (large,) = _settings(memory=300 * 2**20)
    assert "over half" in large.means
    assert _settings(memory=GIB)[0].state == "ok"
    (both,) = _settings(backup_passphrase="x", backup_passphrase_file=Path("f"))
    assert both.state == "warning"


def test_secrets_that_others_may_read() -> None:
    """A passphrase in a file that all may read is named by its file, and never shown."""
    made = dataclasses.replace(Settings(), backup_passphrase="geheim", redis_url="redis://h:1/0")
    about = loaded(made)
    held = dataclasses.replace(about, sources={**about.sources, "backup_passphrase": "/x/a.yaml"})
    (found,) = settings_findings(held, None, lambda _: 0o100644)
    assert "`chmod 600 /x/a.yaml`" in found.cure
    assert "geheim" not in str(found)
    (fine,) = settings_findings(held, None, lambda _: 0o100600)
    assert fine.state == "ok"
