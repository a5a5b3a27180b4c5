"""The command `ialctl`: registers the commands and turns errors into sentences and exit codes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any

EMULATOR_COMMAND = "__emulator"
_INTERRUPTED = 130


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    arguments = sys.argv[1:]
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever began us: `ialctl status >&-`
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    if arguments == ["--version"]:
        from core import __version__

        sys.stdout.write(f"ialctl {__version__}\n")
        return
    if getattr(sys, "frozen", False):
        from ialctl.frozen import settle

        settle(arguments)
    if arguments[:1] == [EMULATOR_COMMAND]:
        # Before typer is imported: the endpoint's child process should be ready at once.
        from core.local.runner import main as emulator

        emulator(arguments[1:])
        return
    code = run(arguments)
    # All is done and said: a signal while the interpreter takes itself apart changes nothing.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Runs one command; returns its exit code. Never lets an exception out."""
    from core.errors import IalError
    from ialctl.interrupts import on_sigint, on_sigterm

    signal.signal(signal.SIGTERM, on_sigterm)
    signal.signal(signal.SIGINT, on_sigint)
    debug = "--debug" in arguments
    try:
        code = _typer_app()(args=arguments, standalone_mode=False, prog_name="ialctl")
    except IalError as error:
        return _report(error, arguments, debug=debug)
    except KeyboardInterrupt:
        return _report(_interrupted(), arguments, debug=debug)
    except BrokenPipeError:
        # The reader (`| head`) has gone: that is its right, and no error.
        _silence_stdout()
        return 0
    except Exception as error:  # noqa: BLE001 - the outermost boundary: no traceback for users
        return _unexpected(error, arguments, debug=debug)
    if code == _INTERRUPTED:  # typer turns a Ctrl-C into this code, without a word
        return _report(_interrupted(), arguments, debug=debug)
    return code if isinstance(code, int) else 0


def _typer_app() -> Any:
    from ialctl.root import build_app

    return build_app()


def _report(error: Any, arguments: list[str], *, debug: bool) -> int:
    if debug:
        _traceback()
    try:
        from core.observability.logs import log

        log("failed", error=type(error).__name__, message=error.what)
        _sink(arguments).error(error)
    except Exception:  # noqa: BLE001 - a signal amid an import leaves a module half made
        sys.stderr.write(f"{error.what}\n{error.cure or ''}\n")
    return int(error.exit_code)


def _unexpected(error: Exception, arguments: list[str], *, debug: bool) -> int:
    import typer

    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, typer.Abort):
        return _report(_interrupted(), arguments, debug=debug)
    show = getattr(error, "format_message", None)
    if show is not None:  # a usage error of typer's own
        return _report(_usage(error, str(show())), arguments, debug=debug)
    from core.errors import IalError, StorageError

    if isinstance(error, OSError):
        return _report(_storage(error, StorageError), arguments, debug=debug)
    what = f"Something unexpected went wrong: {type(error).__name__}: {error}"
    cure = "Run it again with --debug for the traceback, and report it, please."
    return _report(IalError(what, cure), arguments, debug=debug)


def _storage(error: OSError, kind: Any) -> Any:
    import errno

    cures = {
        errno.ENOSPC: "Make room on that disk and run it again; nothing acknowledged is lost.",
        errno.EROFS: "Choose a folder that can be written: --state-dir DIR or IAL_STATE_DIR.",
        errno.EACCES: "Choose a folder that you may write: --state-dir DIR or IAL_STATE_DIR.",
    }
    place = f" '{error.filename}'" if error.filename else ""
    what = f"A file can't be used{place}: {error.strerror or error}."
    return kind(what, cures.get(error.errno or 0))


def _usage(error: Any, message: str) -> Any:
    from core.errors import UsageError

    context = getattr(error, "ctx", None)
    path = context.command_path if context else "ialctl"
    return UsageError(message, f"`{path} --help` shows how it is used.")


def _interrupted() -> Any:
    from core.errors import InterruptedRunError

    return InterruptedRunError("Interrupted.", "Run the same command again: it goes on from there.")


def _sink(arguments: list[str]) -> Any:
    from core.settings import no_colour
    from ialctl.output import Output

    as_json = "--json" in arguments or "json" in _value_of("--output", arguments)
    return Output("json" if as_json else "table", colour=not no_colour())


def _value_of(option: str, arguments: list[str]) -> str:
    for index, argument in enumerate(arguments):
        if argument.startswith(option + "="):
            return argument.partition("=")[2]
        if argument == option:
            return " ".join(arguments[index + 1 : index + 2])
    return ""


def _traceback() -> None:
    import traceback

    traceback.print_exc()


def _silence_stdout() -> None:
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
