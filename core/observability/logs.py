"""Structured logs: JSON lines in a file of the state folder and, when asked, on stderr.

`log(...)` may be called before `configure_logs`, and after it failed: then lines go nowhere.
Credentials and contents of messages are never put into a line.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any

import orjson
import structlog

LOG_FILE = "ialctl.log"
MAX_BYTES = 5 * 1024 * 1024


class _Lines:
    """Writes finished lines to a file and, perhaps, to stderr."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.to_stderr = False
        self._file: IO[bytes] | None = None

    def msg(self, line: bytes) -> None:
        if self.to_stderr:
            sys.stderr.write(line.decode() + "\n")
        file = self._open()
        if file is None:
            return
        try:
            file.write(line + b"\n")
            file.flush()
        except OSError:
            self.path = None  # a full disk must not stop the work that the log tells of

    debug = info = warning = error = msg

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> IO[bytes] | None:
        if self._file is None and self.path is not None:
            try:
                if self.path.exists() and self.path.stat().st_size > MAX_BYTES:
                    self.path.replace(self.path.with_suffix(".log.1"))
                self._file = self.path.open("ab")
            except OSError:
                self.path = None  # a folder that can't be written is reported by who needs it
        return self._file if self.path else None


_LINES = _Lines()


def configure_logs(folder: Path, *, to_stderr: bool = False) -> None:
    """Sends log lines to `folder`/ialctl.log (if the folder exists by then), and to stderr."""
    _LINES.close()
    _LINES.path = folder / LOG_FILE if folder.is_dir() else None
    _LINES.to_stderr = to_stderr
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
        logger_factory=lambda *_: _LINES,
        cache_logger_on_first_use=False,
    )


def log(event: str, **fields: Any) -> None:
    """One structured line: what happened, and the values that it happened with."""
    if _LINES.path is None and not _LINES.to_stderr:
        return
    structlog.get_logger().info(event, **fields)


def _dumps(value: object, **_: Any) -> bytes:
    return orjson.dumps(value, default=str)
