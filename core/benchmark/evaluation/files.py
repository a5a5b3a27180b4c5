"""Files that an evaluation writes: whole or not at all, and refused before anything runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.errors import StorageError, UsageError


def check_writable(path: Path, option: str) -> None:
    """Refuses a place where no file can be written, before a run that would be in vain.

    Raises:
        UsageError: it is a folder or a device, or its folder is not there.
    """
    if path.is_dir():
        raise UsageError(f"{option} '{path}' is a folder.", "Name a file in it.")
    if path.exists() and not path.is_file():
        raise UsageError(
            f"{option} '{path}' is no ordinary file, and would be replaced by one.",
            "Name another; JSON goes to standard output with --json.",
        )
    if not path.parent.is_dir():
        raise UsageError(
            f"{option} '{path}' lies in a folder that is not there.", f"Make it: {path.parent}."
        )


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Writes plain data, readable, its members in their order.

    Raises:
        StorageError: it can't be written.
    """
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text.

    Raises:
        StorageError: it can't be written.
    """
    write_whole(path, lambda aside: _write(aside, text))


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a file beside `path`, and puts it in its place.

    Raises:
        StorageError: it can't be written.
    """
    aside = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        write(aside)
        aside.replace(path)
    except OSError as error:
        raise StorageError(
            f"The file '{path}' can't be written: {error.strerror or error}.",
            "Check the folder and the room on its disk.",
            path=str(path),
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
