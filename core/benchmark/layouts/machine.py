"""What a result was measured on: times mean nothing without it."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from core import __version__

_BUSY = 0.75
"""Of its cores: so many were in use before the run began."""
_LIBRARIES = ("boto3", "botocore", "ministack", "numpy", "orjson", "redis", "urllib3", "uvicorn")


def describe() -> dict[str, Any]:
    """The machine, its operating system, Python and the libraries that count; no names of it."""
    return {
        "processor": _processor(),
        "cores": _cores(),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "binary": bool(getattr(sys, "frozen", False)),
        "versions": {"ialctl": __version__, **_versions()},
    }


def load() -> float | None:
    """Processes that ran or waited for a processor, a minute's mean; None where nobody says."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def is_busy(described: dict[str, Any]) -> bool:
    """Whether something else kept the machine busy when the run began."""
    before = described["load_before"]
    return before is not None and before > described["cores"] * _BUSY


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))  # those we may use
    return os.cpu_count() or 1


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # the binary leaves the papers of some out
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None  # a system that does not say
