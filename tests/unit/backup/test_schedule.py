"""Schedules say to cron and systemd exactly the command that is meant."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.backup.schedule import Schedule, cron_text, systemd_text, systemd_units
from core.errors import UsageError

WORDS = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=20).filter(
    str.isprintable
)
COMMANDS = st.lists(
    st.lists(WORDS, max_size=6).map(lambda words: ["/usr/bin/x y%z$", *words]),
    min_size=1,
    max_size=2,
)
PLAIN = Schedule(
    "ial",
    [["/opt/ialctl", "backup", "create"], ["/opt/ialctl", "backup", "prune", "--yes"]],
    Path("/srv/memory"),
)


def test_a_crontab_line_as_it_stands() -> None:
    """The whole of it for a plain case: comments, time, folder, both commands."""
    *comments, line = cron_text(PLAIN).splitlines()
    assert line == (
        "15 3 * * * cd /srv/memory && /opt/ialctl backup create && /opt/ialctl backup prune --yes"
    )
    assert all(comment.startswith("# ") for comment in comments)
    assert "crontab -e" in "".join(comments)


@given(commands=COMMANDS, folder=WORDS.map(lambda word: Path("/srv") / word.replace("/", "_")))
def test_a_crontab_line_says_what_was_meant(commands: list[list[str]], folder: Path) -> None:
    """Read back as cron and the shell read it: the same words, whatever they hold."""
    line = cron_text(Schedule("ial", commands, folder)).splitlines()[-1]
    shell = line.split(" ", 5)[5]
    assert "%" not in shell.replace(r"\%", "")
    found = shlex.split(shell.replace(r"\%", "%"))
    expected = ["cd", str(folder)]
    for command in commands:
        expected += ["&&", *command]
    assert found == expected


@given(commands=COMMANDS, folder=WORDS.map(lambda word: Path("/srv") / word.replace("/", "_")))
def test_units_say_what_was_meant(commands: list[list[str]], folder: Path) -> None:
    """Read back by the rules of systemd: quotes, specifiers, variables."""
    service = next(iter(systemd_units(Schedule("ial", commands, folder)).values()))
    lines = [line.partition("=") for line in service.splitlines()]
    starts = [value for name, _, value in lines if name == "ExecStart"]
    assert [_read_exec_line(line) for line in starts] == commands
    (where,) = [value for name, _, value in lines if name == "WorkingDirectory"]
    assert where.replace("%%", "%") == str(folder)


def _read_exec_line(line: str) -> list[str]:
    words = shlex.split(line)
    assert all("%" not in word.replace("%%", "") for word in words)
    program, *arguments = [word.replace("%%", "%") for word in words]
    assert all("$" not in word.replace("$$", "") for word in arguments)
    return [program, *(word.replace("$$", "$") for word in arguments)]


def test_units_are_good_to_systemd(tmp_path: Path) -> None:
    """systemd's own check finds nothing to say of them, odd words and all."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not at hand to check units")
    odd = [sys.executable, "-c", "pass", "100%", "$HOME", 'a "quoted" \\ word', "", "ä"]
    folder = tmp_path / "with space 100%"
    folder.mkdir()
    units = systemd_units(Schedule("my project", [odd, odd], folder, "23:59"))
    assert list(units) == ["ialctl-backup-my-project.service", "ialctl-backup-my-project.timer"]
    for name, text in units.items():
        (tmp_path / name).write_text(text)
    paths = [str(tmp_path / name) for name in units]
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = [line for line in checked.stderr.splitlines() if "ialctl-backup" in line]
    if not told and checked.returncode:
        pytest.skip(f"systemd-analyze can't check here: {checked.stderr.strip()[:200]}")
    assert told == []
    calendar = ["systemd-analyze", "calendar", "*-*-* 23:59:00"]
    assert subprocess.run(calendar, capture_output=True, timeout=60, check=False).returncode == 0


def test_the_text_names_both_files_and_how_to_install_them() -> None:
    """What is not a comment is the units themselves."""
    text = systemd_text(PLAIN)
    assert "enable --now ialctl-backup-ial.timer" in text
    for name, unit in systemd_units(PLAIN).items():
        assert f"# ---- {name}\n{unit}" in text
    assert "OnCalendar=*-*-* 03:15:00" in text


@pytest.mark.parametrize("at", ["24:00", "3", "03:60", "", "noon", "03:15:00", "-1:00"])
def test_what_is_no_time_of_day_is_refused(at: str) -> None:
    """In both forms, with the way to write it."""
    for make in (cron_text, systemd_text):
        with pytest.raises(UsageError, match="no time of day"):
            make(Schedule("ial", [["/x"]], Path("/srv"), at))


@pytest.mark.parametrize("bad", ["two\nlines", "tab\there", "null\0"])
def test_what_can_not_be_told_is_refused(bad: str) -> None:
    """A line break in an argument or a folder would be another line of the crontab."""
    for schedule in (
        Schedule("ial", [["/x", bad]], Path("/srv")),
        Schedule("ial", [["/x"]], Path("/srv") / bad),
    ):
        for make in (cron_text, systemd_text):
            with pytest.raises(UsageError, match="control character"):
                make(schedule)


def test_a_line_that_cron_would_cut_is_refused() -> None:
    """Longer than cron reads, it points to systemd."""
    with pytest.raises(UsageError, match="too long for cron"):
        cron_text(Schedule("ial", [["/x", "y" * 1000]], Path("/srv")))
