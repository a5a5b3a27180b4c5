"""What `ialctl doctor` is made of: this program looked at, and a diagnosis as lines to read."""

from __future__ import annotations

import dataclasses
import platform
import sys
import textwrap
from collections.abc import Iterator, Mapping
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import DifferenceError, TargetError
from ialctl.context import AppContext
from ialctl.words import counted

if TYPE_CHECKING:
    from rich.text import Text

    from core.doctor.finding import Diagnosis, Finding
    from core.doctor.machine import Program

WIDTH = 80
_NAME = 16
_INDENT = _NAME + 2
_MARKS: Mapping[str, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "warning": ("!", "yellow"),
    "trouble": ("✗", "red"),
    "skipped": ("-", "dim"),
}
_LIBRARIES = ("boto3", "botocore", "ministack", "redis", "numpy")
_TOPICS = "Slow, too much memory, too dear? `ialctl doctor --for latency|memory|cost`"


def diagnose(context: AppContext, topic: str | None) -> Diagnosis:
    """Makes all checks.

    Raises:
        UsageError: there is no such topic.
    """
    from core.doctor.doctor import Doctor, Surroundings

    temporary = temporary_folder()
    about = Surroundings(context.loaded, program(temporary), temporary, context.clock, context.ids)
    return Doctor(about).examine(topic)


def show(context: AppContext, diagnosis: Diagnosis) -> None:
    """The one answer of the command."""
    from core.doctor.finding import STATES

    counts = {state: diagnosis.count(state) for state in STATES}
    data = {
        "project": context.settings.project,
        "target": context.settings.target,
        "healthy": diagnosis.exit_code == 0,
        "topic": diagnosis.topic,
        "seconds": round(diagnosis.seconds, 3),
        "counts": counts,
        "checks": [dataclasses.asdict(finding) for finding in diagnosis.findings],
        "next_steps": list(diagnosis.next_steps),
    }
    context.output.result("doctor", data, lambda: _shown(diagnosis))


def check_health(diagnosis: Diagnosis) -> None:
    """Ends with exit code 3 or 4 where something is in trouble.

    Raises:
        TargetError: the target can't be reached, or refuses us.
        DifferenceError: something else differs from what it should be.
    """
    if diagnosis.exit_code == 0:
        return
    names = ", ".join(dict.fromkeys(finding.name for finding in diagnosis.troubles))
    kind = TargetError if diagnosis.exit_code == 4 else DifferenceError
    raise kind(f"In trouble: {names}.", "What cures each stands beside it.")


def temporary_folder() -> Path:
    """Where temporary files go; asked of the environment, since `tempfile` tries by writing."""
    from core.settings import child_environment

    found = child_environment()
    return Path(found.get("TMPDIR") or found.get("TEMP") or found.get("TMP") or "/tmp")  # noqa: S108 - the system's default, only looked at


def program(temporary: Path) -> Program:
    """The program that runs, and the libraries it runs with."""
    from core import __version__
    from core.doctor.machine import Program
    from core.shipped import is_frozen
    from ialctl.frozen import launcher_folder, left_over

    unpacked = launcher_folder()
    folder = Path(sys.executable).parent if is_frozen() and unpacked is None else unpacked
    major, minor, patch = (int(part) for part in platform.python_version_tuple()[:3])
    return Program(
        __version__,
        (major, minor, patch),
        sys.prefix,
        in_venv=sys.prefix != sys.base_prefix,
        unpacked=folder,
        left_over=len(list(left_over(temporary))) if unpacked else 0,
        libraries={name: version for name in _LIBRARIES if (version := _version(name))},
        pins=_pins(),
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        # The binary carries few libraries' descriptions, and has loaded what matters by now.
        return getattr(sys.modules.get(name), "__version__", None)


def _pins() -> Mapping[str, str]:
    """Libraries that `ialctl` needs in one version only."""
    try:
        requirements = metadata.requires("ialctl") or ()
    except metadata.PackageNotFoundError:
        return {}
    pairs = (line.split("==") for line in requirements if "==" in line and ";" not in line)
    return {name.strip(): version.strip() for name, version in pairs}


def _shown(diagnosis: Diagnosis) -> Text:
    from rich.text import Text

    shown = Text()
    for state, group in groupby(_grouped(diagnosis), key=lambda finding: finding.state):
        mark, style = _MARKS[state]
        for finding in group:
            first, *rest = _lines(finding)
            shown.append(mark, style).append(f" {first}\n")
            shown.append("".join(f"{line}\n" for line in rest))
    if diagnosis.topic:
        shown.append(f"\nNext, about {diagnosis.topic}:\n")
        for step in diagnosis.next_steps:
            shown.append("".join(f"{line}\n" for line in _wrapped(step, "  · ", "    ")))
    shown.append(f"\n{summary(diagnosis)}\n")
    if diagnosis.topic is None and not diagnosis.troubles:
        shown.append(f"{_TOPICS}\n")
    shown.right_crop(1)
    return shown


def summary(diagnosis: Diagnosis) -> str:
    """How it went in one line: `12 checks: 10 fine, 1 warning, 1 trouble`."""
    made = len(diagnosis.findings) - diagnosis.count("skipped")
    words = f"{counted(made, 'check')}: {diagnosis.count('ok')} fine"
    warnings, troubles = diagnosis.count("warning"), diagnosis.count("trouble")
    words += f", {counted(warnings, 'warning')}, {counted(troubles, 'trouble')}"
    left = diagnosis.count("skipped")
    return f"{words} ({left} not made) in {diagnosis.seconds:.1f} s"


def _grouped(diagnosis: Diagnosis) -> Iterator[Finding]:
    """The findings, those skipped for the same reason as one."""
    from core.doctor.finding import skipped

    for (state, found), group in groupby(diagnosis.findings, key=lambda f: (f.state, f.found)):
        findings = list(group)
        if state == "skipped" and len(findings) > 1:
            names = ", ".join(finding.name for finding in findings)
            yield skipped(f"{len(findings)} more", f"{found} ({names})")
        else:
            yield from findings


def _lines(finding: Finding) -> Iterator[str]:
    from core.doctor.shell import wrapped
    from ialctl.output import printable

    margin = " " * _INDENT
    found = _wrapped(printable(finding.found), "", "", WIDTH - _INDENT)
    yield f"{finding.name:<{_NAME}}{found[0] if found else ''}"
    yield from (f"{margin}{line}" for line in found[1:])
    if finding.means:
        yield from _wrapped(printable(finding.means), margin, margin)
    if finding.cure:
        yield from _wrapped(printable(finding.cure), f"{margin}→ ", f"{margin}  ")
    if finding.shell:
        yield from (f"    {line}" for line in wrapped(printable(finding.shell), WIDTH - 4))


def _wrapped(text: str, first: str, rest: str, width: int = WIDTH) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
    )
