"""Examines a project and its target: all checks, wired. It never starts, changes or repairs.

    diagnosis = Doctor(Surroundings(loaded, program, temporary)).examine()

Two waves, each side by side and bounded in time: what this machine alone can tell, and whether
the target answers; then all that is asked of the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from core.clock import SYSTEM_CLOCK, Clock, Ids, Random, new_id, system_random
from core.doctor import machine, structure
from core.doctor.caching import redis_findings
from core.doctor.finding import Diagnosis, Finding, skipped, trouble
from core.doctor.reaching import Reached, reach
from core.doctor.running import Check, run_checks
from core.doctor.target import Target
from core.doctor.topics import about, topic_of
from core.settings import LoadedSettings, Settings

FIRST_S, SECOND_S = 5.0, 4.5
"""Seconds that each of the two waves may take."""
OF_TARGET = (
    *("permissions", *structure.NAMES, "templates", "engine", "backup", "locks", "alarms"),
    *("throttling", "scans", "hot partitions", "embedder", "vectors", "agreement"),
)
"""The findings of the second wave."""


@dataclass(frozen=True)
class Surroundings:
    """What the checks of this machine look at, and where time and chance come from."""

    loaded: LoadedSettings
    program: machine.Program
    temporary: Path
    clock: Clock = SYSTEM_CLOCK
    ids: Ids = new_id
    rng: Random | None = None
    space_of: machine.SpaceOf = machine.space_of

    @property
    def settings(self) -> Settings:
        """The settings' values."""
        return self.loaded.settings


class Doctor:
    """Examines once, or again."""

    def __init__(self, surroundings: Surroundings) -> None:
        """Sends nothing yet."""
        self._of, self._clock = surroundings, surroundings.clock
        self._settings = surroundings.settings

    def examine(self, topic: str | None = None) -> Diagnosis:
        """Makes all checks; ends within ten seconds, whatever hangs.

        Args:
            topic: `latency`, `memory` or `cost`: only what speaks to that, and what to do next.

        Raises:
            UsageError: there is no such topic.
        """
        chosen = None if topic is None else topic_of(topic)
        begun = self._clock.monotonic()
        findings = self._findings()
        seconds = self._clock.monotonic() - begun
        if chosen is None:
            return Diagnosis(tuple(findings), seconds)
        return Diagnosis(about(chosen, findings), seconds, topic, chosen.next_steps)

    def _findings(self) -> list[Finding]:
        reached: list[Reached] = []
        checks = [*self._of_machine(), Check(("endpoint",), partial(self._reach, reached))]
        findings = run_checks(checks, self._clock, FIRST_S)
        if not reached:
            findings = [_unreached(f) if f.name == "endpoint" else f for f in findings]
            return [*findings, *_not_made("the endpoint does not answer in time")]
        session = reached[0].session
        if session is None or reached[0].why_not:
            return [*findings, *_not_made(reached[0].why_not)]
        rng = self._of.rng or system_random()
        target = Target(self._settings, session, self._clock, self._of.ids, rng)
        return [*findings, *run_checks(target.checks(), self._clock, SECOND_S)]

    def _of_machine(self) -> Sequence[Check]:
        program, space_of = self._of.program, self._of.space_of
        state, temporary = self._settings.state_dir, self._of.temporary
        return (
            Check(("program",), lambda: [machine.program_finding(program)]),
            Check(("versions",), lambda: [machine.libraries_finding(program)]),
            Check(("disk",), lambda: [machine.disk_finding("disk", state, space_of(state))]),
            Check(
                ("temporary",),
                lambda: [machine.disk_finding("temporary", temporary, space_of(temporary))],
            ),
            Check(
                ("settings",),
                lambda: machine.settings_findings(
                    self._of.loaded, machine.memory_of_machine(), machine.mode_of
                ),
            ),
            Check(
                ("redis", "cache hits"),
                lambda: redis_findings(self._settings.redis_url, self._clock),
            ),
        )

    def _reach(self, reached: list[Reached]) -> Sequence[Finding]:
        found = reach(self._settings, self._of.loaded.sources, self._clock)
        reached.append(found)
        return found.findings


def _not_made(why: str) -> list[Finding]:
    return [skipped(name, f"not looked at: {why}") for name in OF_TARGET]


def _unreached(late: Finding) -> Finding:
    return trouble(late.name, late.found, "Nothing of the target could be looked at.", late.cure)
