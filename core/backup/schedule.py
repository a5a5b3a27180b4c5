"""Daily backups by cron or systemd: the text of a crontab line, or of a service and its timer."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError

_AT = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_PLAIN = re.compile(r"[\w@+=:,./-]+", re.ASCII)
_UNIT_NAME = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_LINE = 990
"""What cron takes of a line is 998 bytes; the rest is cut off without a word."""


@dataclass(frozen=True)
class Schedule:
    """Commands that run one after the other, each only if the one before did its work.

    Attributes:
        name: of the project; the units are named after it.
        commands: each the absolute path of a program and its arguments.
        folder: the absolute folder that they run in: settings and state lie there.
        at: the time of day, `HH:MM`, in the machine's zone.
    """

    name: str
    commands: Sequence[Sequence[str]]
    folder: Path
    at: str = "03:15"


def cron_text(schedule: Schedule) -> str:
    """A crontab line, below comments that say how to install it.

    Raises:
        UsageError: the time is none, or cron can't be told such arguments.
    """
    hour, minute = _time(schedule)
    words = [["cd", str(schedule.folder)], *schedule.commands]
    shell = " && ".join(shlex.join(_told(command)) for command in words)
    # To cron a percent sign is the end of a line, quoted or not.
    line = f"{minute} {hour} * * * {shell}".replace("%", r"\%")
    if len(line.encode()) > _LONGEST_LINE:
        raise UsageError(
            f"The command is too long for cron: {len(line.encode())} bytes in a line.",
            "Use `--print systemd`, or put options into ialctl.yaml in that folder.",
        )
    return (
        f"# Backs up '{schedule.name}' every day at {schedule.at}, in the machine's time zone.\n"
        "# Install: `crontab -e`, and add the line below. Cron mails what is written; it has none\n"
        "# of your environment: settings belong into ialctl.yaml in that folder.\n"
        f"{line}\n"
    )


def systemd_units(schedule: Schedule) -> Mapping[str, str]:
    """The service and the timer, by the names of their files.

    Raises:
        UsageError: the time is none, or systemd can't be told such arguments.
    """
    hour, minute = _time(schedule)
    name = f"ialctl-backup-{_UNIT_NAME.sub('-', schedule.name)}"
    folder = _told([str(schedule.folder)])[0].replace("%", "%%")
    starts = "".join(f"ExecStart={_exec_line(_told(one))}\n" for one in schedule.commands)
    about = schedule.name.replace("%", "%%")
    service = (
        "[Unit]\n"
        f"Description=Back up {about}\n"
        "Wants=network-online.target\n"
        "After=network-online.target\n"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        f"WorkingDirectory={folder}\n"
        f"{starts}"
        "# A local endpoint that a backup brought up goes on running.\n"
        "KillMode=process\n"
        "Nice=10\n"
    )
    timer = (
        "[Unit]\n"
        f"Description=Back up {about} every day\n"
        "\n"
        "[Timer]\n"
        f"OnCalendar=*-*-* {hour:02d}:{minute:02d}:00\n"
        "# One that was missed, as the machine was off, is made up for.\n"
        "Persistent=true\n"
        "\n"
        "[Install]\n"
        "WantedBy=timers.target\n"
    )
    return {f"{name}.service": service, f"{name}.timer": timer}


def systemd_text(schedule: Schedule) -> str:
    """Both units, each below the name of its file, and how to install them.

    Raises:
        UsageError: the time is none, or systemd can't be told such arguments.
    """
    units = systemd_units(schedule)
    timer = next(name for name in units if name.endswith(".timer"))
    head = (
        f"# Backs up '{schedule.name}' every day at {schedule.at}, in the machine's time zone.\n"
        "# Install: save the two parts below as ~/.config/systemd/user/NAME, then\n"
        f"#   systemctl --user daemon-reload && systemctl --user enable --now {timer}\n"
        "# So that it runs while you are not logged in: loginctl enable-linger\n"
        "# None of your environment is there: settings belong into ialctl.yaml in that folder.\n"
    )
    return head + "".join(f"\n# ---- {name}\n{text}" for name, text in units.items())


def _time(schedule: Schedule) -> tuple[int, int]:
    match = _AT.fullmatch(schedule.at)
    if match is None:
        raise UsageError(
            f"'{schedule.at}' is no time of day.", "Write hours and minutes: `--at 03:15`."
        )
    return int(match[1]), int(match[2])


def _told(words: Sequence[str]) -> Sequence[str]:
    for word in words:
        if any(not character.isprintable() for character in word):
            raise UsageError(
                f"A schedule can't hold the argument {word!r}: it has a control character.",
                "Name the file or folder otherwise.",
            )
    return words


def _exec_line(words: Sequence[str]) -> str:
    program, *arguments = words
    # Variables are put in for `$` everywhere but in the program itself.
    return " ".join([_quoted(program), *(_quoted(one).replace("$", "$$") for one in arguments)])


def _quoted(word: str) -> str:
    escaped = word.replace("%", "%%")
    if _PLAIN.fullmatch(word):
        return escaped
    return '"' + escaped.replace("\\", "\\\\").replace('"', '\\"') + '"'
