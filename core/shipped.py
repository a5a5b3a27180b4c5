"""Where the files lie that are shipped beside the code: phases, docs."""

from __future__ import annotations

import sys
from pathlib import Path

import core


def shipped(name: str) -> Path:
    """The file or folder called `name`, of a checkout or of the binary."""
    unpacked = getattr(sys, "_MEIPASS", None)  # where a frozen binary unpacks what it carries
    return Path(unpacked or Path(core.__file__).parents[1]) / name


def is_frozen() -> bool:
    """Whether this is the binary, into which no library can be installed."""
    return bool(getattr(sys, "frozen", False))


def installing(extra: str) -> str:
    """What to do where a package of the extra called `extra` is missing: a sentence."""
    command = f'`pip install "ialctl[{extra}]"`'
    if is_frozen():
        return f"The binary holds no optional packages; use the Python package: {command}."
    return f"Install it: {command}."
