"""The one place of the build that runs other programs."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


def output_of(
    *words: str | Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    needed: bool = True,
) -> str:
    """What a program prints; where it is not `needed` and fails, nothing.

    Raises:
        CalledProcessError: it failed, and was needed; it has said why.
    """
    done = subprocess.run(  # noqa: S603 - the build's own words and paths, no text of a user's
        words,
        cwd=folder,
        env=environment,
        check=needed,
        stdout=subprocess.PIPE,
        stderr=None if needed else subprocess.DEVNULL,
        text=True,
    )
    return done.stdout if done.returncode == 0 else ""
