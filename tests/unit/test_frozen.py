"""What the one-file binary leaves, and how signals that its launcher hands on are counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.testing.clock import FakeClock
from ialctl.frozen import MARKER, hold, launcher_folder, left_over
from ialctl.interrupts import ECHO_S, Presses

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the binary tidies up on Linux")


def unpacked(beside: Path, process: int, *, ours: bool = True) -> Path:
    """A folder as the launcher of this process would have unpacked to."""
    folder = beside / f"_MEI{process:08x}aB3dE6"
    folder.mkdir()
    if ours:
        (folder / MARKER).touch()
    return folder


@pytest.fixture
def ended() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_an_ended_launcher_left_is_found(tmp_path: Path, ended: int) -> None:
    """Its folder, with our mark in it, that nobody holds."""
    folder = unpacked(tmp_path, ended)
    assert list(left_over(tmp_path)) == [folder]


def test_what_a_live_launcher_unpacks_is_let_be(tmp_path: Path) -> None:
    """Even before its child has locked the folder."""
    unpacked(tmp_path, os.getpid())
    assert list(left_over(tmp_path)) == []


def test_what_a_process_holds_is_let_be(tmp_path: Path, ended: int) -> None:
    """The launcher was killed, and its child still works from the folder."""
    descriptor = hold(unpacked(tmp_path, ended))
    assert list(left_over(tmp_path)) == []
    os.close(descriptor)
    assert len(list(left_over(tmp_path))) == 1


def test_folders_of_others_are_let_be(tmp_path: Path, ended: int) -> None:
    """Those of another program that was packed so, of another name, or a link to one of ours."""
    unpacked(tmp_path, ended, ours=False)
    (tmp_path / "_MEIabc").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"_MEI{ended:08x}linked").symlink_to(unpacked(elsewhere, ended))
    assert list(left_over(tmp_path)) == []


def test_from_source_there_is_no_launcher() -> None:
    """Nothing is tidied where nothing was unpacked."""
    assert launcher_folder() is None


def test_a_signal_that_comes_twice_at_once_counts_once() -> None:
    """The echo is told from the first; a second press, and another signal, are none."""
    clock = FakeClock()
    presses = Presses(clock, echoed=True)
    assert not presses.is_echo(signal.SIGINT)
    clock.advance(ECHO_S / 10)
    assert presses.is_echo(signal.SIGINT)
    assert not presses.is_echo(signal.SIGTERM)
    clock.advance(ECHO_S)
    assert not presses.is_echo(signal.SIGINT)


def test_without_a_launcher_each_signal_counts() -> None:
    """Nobody hands on what a terminal sends."""
    presses = Presses(FakeClock(), echoed=False)
    assert [presses.is_echo(signal.SIGINT) for _ in range(3)] == [False] * 3
