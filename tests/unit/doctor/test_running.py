"""Checks run side by side: what fails or hangs stops no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

from core.clock import SYSTEM_CLOCK
from core.doctor.finding import Diagnosis, Finding, ok, skipped, trouble, warning
from core.doctor.running import Check, run_checks
from core.errors import AccessDeniedError, EndpointUnreachableError, StorageError


def _raises(error: BaseException) -> Iterator[Finding]:
    yield ok("begun", "seen")
    raise error


def test_findings_come_in_the_order_of_their_checks() -> None:
    """However long each takes: a check that waits for a later one stands before it all the same."""
    second = threading.Event()

    def first() -> Iterator[Finding]:
        assert second.wait(5)
        yield ok("first", "a")

    def then() -> Iterator[Finding]:
        second.set()
        yield ok("second", "b")
        yield ok("third", "c")

    checks = [Check(("first",), first), Check(("second", "third"), then)]
    assert [f.name for f in run_checks(checks, SYSTEM_CLOCK)] == ["first", "second", "third"]
    assert run_checks([], SYSTEM_CLOCK) == []


def test_what_a_check_raises_is_its_own_finding() -> None:
    """Errors of the target are trouble, a missing permission is skipped, anything else a warning
    that names it; the other checks answer."""
    raised = {
        "gone": EndpointUnreachableError("Nothing answers.", "Start it."),
        "denied": AccessDeniedError("May not."),
        "ours": StorageError("Can't be read.", "Make it readable."),
        "bug": ZeroDivisionError("division"),
    }
    checks = [Check((n,), partial(_raises, e)) for n, e in raised.items()]
    found = run_checks([*checks, Check(("well",), lambda: [ok("well", "w")])], SYSTEM_CLOCK)
    states = {f.name: f.state for f in found}
    assert states == {
        "gone": "trouble",
        "denied": "skipped",
        "ours": "warning",
        "bug": "warning",
        "well": "ok",
    }
    assert found[0].cure == "Start it."
    assert "ZeroDivisionError" in found[3].found


def test_a_check_that_hangs_is_left_behind() -> None:
    """The others' findings are there in time; its own says that there was none."""
    ends = threading.Event()
    hangs = Check(("hangs",), lambda: [ok("hangs", str(ends.wait(30)))])
    begun = SYSTEM_CLOCK.monotonic()
    found = run_checks([hangs, Check(("well",), lambda: [ok("well", "w")])], SYSTEM_CLOCK, 0.2)
    assert SYSTEM_CLOCK.monotonic() - begun < 10
    assert [(f.name, f.state) for f in found] == [("hangs", "warning"), ("well", "ok")]
    assert "no answer in 0.2 s" in found[0].found
    ends.set()


def test_exit_codes() -> None:
    """Warnings are no failure; trouble is 3, and 4 where it is the target's."""
    fine = (ok("a", ""), warning("b", "", "", ""), skipped("c", ""))
    bad = trouble("tables", "", "", "")
    assert Diagnosis(fine, 1.0).exit_code == 0
    assert Diagnosis((*fine, bad), 1.0).exit_code == 3
    for name in ("region", "endpoint", "credentials", "permissions"):
        assert Diagnosis((bad, trouble(name, "", "", "")), 1.0).exit_code == 4
