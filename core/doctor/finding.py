"""What a check found, as a value: what was seen, what that means, and what cures it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from core.errors import AccessDeniedError, IalError, TargetError

State = Literal["ok", "warning", "trouble", "skipped"]
STATES: tuple[State, ...] = ("ok", "warning", "trouble", "skipped")
# Where these are in trouble, the target can't be reached or refuses us: exit code 4.
OF_THE_TARGET = frozenset({"region", "endpoint", "credentials", "permissions"})


@dataclass(frozen=True)
class Finding:
    """One check's answer.

    `found` is what was seen; `means` what that is to the user, and `cure` the command or setting
    that helps, both empty where all is well. `shell` is a command line to be copied as a whole.
    """

    name: str
    state: State
    found: str
    means: str = ""
    cure: str = ""
    shell: str = ""


def ok(name: str, found: str) -> Finding:
    """All is well."""
    return Finding(name, "ok", found)


def skipped(name: str, why: str) -> Finding:
    """It was not looked at, or there is nothing to look at."""
    return Finding(name, "skipped", why)


def warning(name: str, found: str, means: str, cure: str) -> Finding:
    """Worth a look; nothing is broken."""
    return Finding(name, "warning", found, means, cure)


def trouble(name: str, found: str, means: str, cure: str) -> Finding:
    """Something differs from what it should be."""
    return Finding(name, "trouble", found, means, cure)


def failed(name: str, error: BaseException) -> Finding:
    """A check that could not be made; its own failure stops no other.

    A permission that is missing is told by the check of permissions; here it is one thing less
    to look at. What the target refuses or does not answer is trouble.
    """
    if isinstance(error, AccessDeniedError):
        return skipped(name, f"may not be looked at: {error.what}")
    if isinstance(error, TargetError):
        return trouble(name, error.what, "It could not be looked at.", error.cure or "")
    if isinstance(error, IalError):
        means = "It could not be looked at; the other checks were."
        return warning(name, error.what, means, error.cure or "Run `ialctl doctor` again.")
    return warning(
        name,
        f"the check itself failed: {type(error).__name__}: {error}",
        "Nothing is said of what it looks at; the other checks were made.",
        "Report it, please; `ialctl --debug doctor` has more.",
    )


def worst(states: Iterable[State]) -> State:
    """The gravest of some states; `ok` where there is none."""
    order: Sequence[State] = ("skipped", "ok", "warning", "trouble")
    return max(states, key=order.index, default="ok")


@dataclass(frozen=True)
class Diagnosis:
    """All findings, in the order in which they are shown; `next_steps` of a topic, if one was
    asked about."""

    findings: tuple[Finding, ...]
    seconds: float
    topic: str | None = None
    next_steps: tuple[str, ...] = ()

    def count(self, state: State) -> int:
        """How many findings are in a state."""
        return sum(finding.state == state for finding in self.findings)

    @property
    def troubles(self) -> tuple[Finding, ...]:
        """What differs from what it should be."""
        return tuple(f for f in self.findings if f.state == "trouble")

    @property
    def exit_code(self) -> int:
        """0 where nothing is in trouble, 4 where the target or its credentials are, else 3."""
        names = {finding.name for finding in self.troubles}
        if names & OF_THE_TARGET:
            return 4
        return 3 if names else 0
