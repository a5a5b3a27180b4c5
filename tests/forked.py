"""Processes forked from one that has imported everything: real ones, but begun at once.

Each has its own exit code, signals, folder, environment and files, as one begun by `python -m`
has; what it saves is the quarter of a second in which that one imports the same modules again.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory
from typing import Any

TIMEOUT_S = 60.0
_COMMANDS = sorted((Path(__file__).parents[1] / "ialctl" / "commands").glob("*.py"))
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        *("ialctl.root", "ialctl.endpoint", "ialctl.app", "boto3", "numpy", "tests.forked"),
        *("core.ial_master_engine_integrated", "core.backup.taking", "core.backup.restoring"),
        *("core.backup.verifying", "core.deploy.service", "core.local.endpoint"),
        *("core.memory.context_engine_optimized", "tests.restoring", "tests.backing_up"),
        "tests.migration_steps",
    ]
)


def begin(
    function: Callable[..., None],
    *arguments: Any,
    out: Path | None = None,
    err: Path | None = None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> ForkServerProcess:
    """A process that calls a function of a module with arguments; what it prints goes to files."""
    _ready()
    about = (out or os.devnull, err or os.devnull, folder, environment)
    process = _CONTEXT.Process(target=_call, args=(function, arguments, *about))
    process.start()
    return process


@functools.cache
def _ready() -> None:
    """Waits, the first time, until all is imported: how long a process takes is measured."""
    process = _CONTEXT.Process(target=os.getpid)
    process.start()
    process.join()


def ialctl(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> CompletedProcess[str]:
    """Runs the command line without a terminal, as the installed script does."""
    with TemporaryDirectory() as name:
        out, err = Path(name) / "out", Path(name) / "err"
        process = begin(main, arguments, out=out, err=err, folder=folder, environment=environment)
        process.join(TIMEOUT_S)
        if process.exitcode is None:
            process.kill()
            process.join()
        assert process.exitcode is not None
        code, texts = process.exitcode, (out.read_text(), err.read_text())
        process.close()
    return CompletedProcess(["ialctl", *arguments], code, *texts)


def main(arguments: Sequence[str]) -> None:
    """The command line, which ends its process."""
    from ialctl import app

    sys.argv = ["ialctl", *arguments]
    app.main()


def _call(
    function: Callable[..., None],
    arguments: Sequence[Any],
    out: Path,
    err: Path,
    folder: Path | None,
    environment: Mapping[str, str] | None,
) -> None:
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
        os.close(file)
    if folder is not None:
        os.chdir(folder)
    if environment is not None:
        os.environ.clear()
        os.environ.update(environment)
    function(*arguments)
