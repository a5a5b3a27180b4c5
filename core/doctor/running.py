"""Runs checks side by side, each bounded in time; what one of them raises is its own finding."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from queue import Empty, SimpleQueue
from typing import Any

from core.clock import Clock
from core.doctor.finding import Finding, failed, warning

CHECK_S = 4.5
"""How long the checks of a wave may take; two waves stay below ten seconds."""
_AT_ONCE = 16


@dataclass(frozen=True)
class Check:
    """A name, and what to call for its findings; `names` are those it may answer with, in order.

    It changes nothing, is called in a thread of its own, and may raise whatever it likes.
    """

    names: tuple[str, ...]
    look: Callable[[], Iterable[Finding]]

    @property
    def name(self) -> str:
        """What it is called where it fails as a whole."""
        return self.names[0]


def run_checks(checks: Sequence[Check], clock: Clock, most_s: float = CHECK_S) -> list[Finding]:
    """The findings of all checks, in their order; one that does not end in time is a warning.

    A check that hangs is left behind: its thread ends with the process.
    """
    if not checks:
        return []
    done: SimpleQueue[tuple[int, list[Finding]]] = SimpleQueue()
    # This pool's threads are daemons: a name server that does not answer keeps nobody here.
    pool = ThreadPool(min(_AT_ONCE, len(checks)))
    for number, check in enumerate(checks):
        pool.apply_async(
            lambda check=check: list(check.look()),
            callback=functools.partial(_put, done, number),
            error_callback=functools.partial(_put_failure, done, number, check),
        )
    pool.close()
    return _collected(checks, done, clock, most_s)


def _put(
    done: SimpleQueue[tuple[int, list[Finding]]], number: int, findings: list[Finding]
) -> None:
    done.put((number, findings))


def _put_failure(done: SimpleQueue[Any], number: int, check: Check, error: BaseException) -> None:
    done.put((number, [failed(check.name, error)]))


def _collected(
    checks: Sequence[Check],
    done: SimpleQueue[tuple[int, list[Finding]]],
    clock: Clock,
    most_s: float,
) -> list[Finding]:
    end = clock.monotonic() + most_s
    found: dict[int, list[Finding]] = {}
    while len(found) < len(checks):
        try:
            number, findings = done.get(timeout=max(0.0, end - clock.monotonic()))
        except Empty:
            break
        found[number] = findings
    return [
        finding
        for number, check in enumerate(checks)
        for finding in found.get(number, [_late(check.name, most_s)])
    ]


def _late(name: str, most_s: float) -> Finding:
    return warning(
        name,
        f"no answer in {most_s:g} s",
        "It could not be looked at in time; the other checks were.",
        "Run `ialctl doctor` again; is the network slow, or the machine busy?",
    )
