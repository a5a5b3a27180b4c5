"""What tests of the doctor share: a project that is deployed, and an examination of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from core.clock import SYSTEM_CLOCK
from core.doctor.doctor import Doctor, Surroundings
from core.doctor.finding import Diagnosis, Finding
from core.doctor.machine import Program
from core.settings import LoadedSettings, Settings

PROGRAM = Program("0.1.0", (3, 11, 7), "/venv", in_venv=True)


class SkewedClock:
    """The machine's clock, set on or back by so many seconds; time goes by as it does."""

    def __init__(self, ahead_s: float) -> None:
        self._ahead_s = ahead_s

    def time(self) -> float:
        """What the hands show."""
        return SYSTEM_CLOCK.time() + self._ahead_s

    def monotonic(self) -> float:
        """As the machine's own."""
        return SYSTEM_CLOCK.monotonic()

    def sleep(self, seconds: float) -> None:
        """Waits."""
        SYSTEM_CLOCK.sleep(seconds)


def loaded(settings: Settings, **changed: Any) -> LoadedSettings:
    """Settings, some of them changed, as if all came by flags."""
    made = dataclasses.replace(settings, **changed)
    names = [field.name for field in dataclasses.fields(made)]
    return LoadedSettings(made, dict.fromkeys(names, "flag"))


def examine(
    settings: Settings, *, topic: str | None = None, about: Any = None, **changed: Any
) -> Diagnosis:
    """All checks of a project; `about` are surroundings other than usual."""
    backups = str(settings.state_dir / "backups")
    held = loaded(settings, **{"backup_to": backups, **changed})
    around = Surroundings(held, PROGRAM, Path("/"), **(about or {}))
    return Doctor(around).examine(topic)


def of(diagnosis: Diagnosis, name: str) -> Finding:
    """The one finding of a name."""
    (found,) = [finding for finding in diagnosis.findings if finding.name == name]
    return found


def in_trouble(diagnosis: Diagnosis) -> list[str]:
    """The names of what is in trouble."""
    return [finding.name for finding in diagnosis.troubles]
