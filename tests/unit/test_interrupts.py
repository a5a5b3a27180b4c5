"""Signals while a command works towards its next safe point."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from core.errors import IalError, InterruptedRunError, TerminatedRunError
from ialctl.interrupts import stop_wish


@pytest.mark.parametrize(
    ("second", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, TerminatedRunError)]
)
def test_the_second_signal_stops_at_once_with_its_own_code(
    second: signal.Signals, raised: type[BaseException]
) -> None:
    """The first is only noted; after the second nothing waits, and a termination stays one."""
    with stop_wish() as wish:
        signal.raise_signal(signal.SIGTERM)
        assert wish()
        with pytest.raises(raised):
            signal.raise_signal(second)


@pytest.mark.parametrize(
    ("first", "raised"),
    [(signal.SIGINT, InterruptedRunError), (signal.SIGTERM, TerminatedRunError)],
)
def test_what_the_first_signal_interrupted_ends_with_its_code(
    first: signal.Signals, raised: type[IalError]
) -> None:
    """The words are those of the run, the exit code is that of the signal."""

    def run() -> None:
        with stop_wish():
            signal.raise_signal(first)
            raise InterruptedRunError("What is done is kept.", "Go on.")

    with pytest.raises(raised, match="is kept") as found:
        run()
    assert type(found.value) is raised
    assert found.value.cure == "Go on."


@pytest.mark.parametrize(("presses", "code"), [(1, 0), (2, -signal.SIGINT)])
def test_a_deployment_is_left_at_the_second_ctrl_c(presses: int, code: int) -> None:
    """The first asks for the next safe point, the second ends the process as if nobody listened."""
    program = (
        "import signal\n"
        "from ialctl.deploy_progress import interruptible\n"
        "from ialctl.output import Output\n"
        "try:\n"
        "    with interruptible(Output()):\n"
        "        try:\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "        finally:\n"
        f"            [signal.raise_signal(signal.SIGINT) for _ in range({presses - 1})]\n"
        "except KeyboardInterrupt:\n"
        "    print('at a safe point')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == code
    assert done.stdout == ("at a safe point\n" if presses == 1 else "")
    assert done.stderr.count("Ctrl-C again stops at once") == 1
