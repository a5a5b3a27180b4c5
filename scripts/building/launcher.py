"""Gives the one file's launcher the words for what goes wrong before any of our code runs.

The launcher is PyInstaller's small C program: it unpacks the libraries into the folder for
temporary files, and loads Python from there. Where that folder is mounted `noexec`, or full, all
that it says is in its own fixed texts, which name neither the cause nor the cure. So its texts are
replaced in the built file, each by one that is no longer.
"""

from __future__ import annotations

import sys
from pathlib import Path

# `%2$s` and the like: the arguments of the text that was there.
TEXTS = {
    "Failed to load Python shared library '%s': %s": "No program may run in '%s': set TMPDIR. %s",
    "Could not create temporary directory!": "No temporary folder: set TMPDIR.",
    "Failed to extract %s: decompression resulted in return code %d!": (
        "Is the disk full? Set TMPDIR to another. %s did not fit. (%d)"
    ),
    "Failed to extract %s: failed to write data chunk!": "Is the disk full? Set TMPDIR. (%s)",
    "Failed to extract %s: failed to open target file!": "Disk full? Set TMPDIR. (%s)",
    "Failed to extract entry: %s.": "It could not unpack %s.",
}
# The launcher itself is the first part of the file; what it carries comes after it.
_LAUNCHER_BYTES = 256 * 1024


def say_it_clearly(binary: Path) -> None:
    """Replaces the texts in a one-file binary of Linux; those of another PyInstaller stay."""
    if sys.platform != "linux":
        return  # elsewhere a program is signed, or has no such folders
    with binary.open("r+b") as file:
        launcher = file.read(_LAUNCHER_BYTES)
        for old, new in TEXTS.items():
            line = f"{old}\n".encode()
            place = launcher.find(b"\0" + line + b"\0")
            if place >= 0:
                file.seek(place + 1)
                file.write(f"{new}\n".encode().ljust(len(line), b"\0"))
