"""What can be told without asking anybody: the program, its libraries, disks, settings."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.doctor.finding import Finding, ok, trouble, warning
from core.settings import PROJECT_FILE, LoadedSettings, Settings

LEAST_PYTHON = (3, 11)
FULL_BYTES = 64 * 1024 * 1024
"""Below this a snapshot of the local endpoint, or a backup's file, can't be counted on."""
LOW_BYTES = 1024 * 1024 * 1024
_FEW_FILES = 100
_SECRETS = ("backup_passphrase", "redis_url")
# Below these seconds, an ordinary slow answer counts as none.
_SHORT_S: Mapping[str, float] = {
    "connect_timeout_s": 0.2,
    "read_timeout_s": 1.0,
    "retry_time_s": 1.0,
    "embed_timeout_s": 0.1,
}
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Program:
    """What runs. `unpacked` is the binary's folder (None: from Python), `left_over` counts those
    that killed runs left beside it. `libraries` are those installed, `pins` as they are to be."""

    version: str
    python: tuple[int, int, int]
    prefix: str
    in_venv: bool = False
    unpacked: Path | None = None
    left_over: int = 0
    libraries: Mapping[str, str] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Space:
    """A file system: bytes and files that an ordinary user may still add, and its whole size.

    `free_files` is None where there is no limit on them.
    """

    free_bytes: int
    size_bytes: int
    free_files: int | None = None
    writable: bool = True


SpaceOf = Callable[[Path], Space]


def space_of(folder: Path) -> Space:
    """The space of the file system that a folder is on, or will be on.

    Raises:
        OSError: it can't be told.
    """
    there = standing(folder)
    found = os.statvfs(there)
    size, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    # Some file systems have no limit on files, and say 0 of both.
    files = found.f_favail if found.f_files else None
    return Space(free, size, files, os.access(there, os.W_OK | os.X_OK))


def standing(folder: Path) -> Path:
    """The folder, or the nearest one above it that stands."""
    whole = folder.absolute()
    return next((path for path in (whole, *whole.parents) if path.exists()), whole)


def program_finding(program: Program) -> Finding:
    """Whether what runs is fit to run."""
    python = ".".join(map(str, program.python))
    if program.unpacked is not None:
        found = f"the binary {program.version} (Python {python}), unpacked to {program.unpacked}"
        if not program.left_over:
            return ok("program", found)
        return warning(
            "program",
            f"{found}; {program.left_over} folders of killed runs beside it",
            "They take up room.",
            "The next `ialctl` command removes them.",
        )
    found = f"ialctl {program.version}, Python {python} in {program.prefix}"
    if program.python[:2] < LEAST_PYTHON:
        return trouble(
            "program", found, "ialctl needs Python 3.11.", "Install it, then `make start`."
        )
    if program.in_venv:
        return ok("program", found)
    return warning(
        "program",
        f"{found}, no virtual environment",
        "Other programs' libraries may be updated under it.",
        "`python3 -m venv .venv && .venv/bin/pip install ialctl`",
    )


def libraries_finding(program: Program) -> Finding:
    """Whether the libraries are those that this version was tested with."""
    shown = ", ".join(f"{name} {version}" for name, version in program.libraries.items())
    other = {
        name: wanted
        for name, wanted in program.pins.items()
        if program.libraries.get(name, wanted) != wanted
    }
    if not other:
        return ok("versions", shown or "none can be told")
    return warning(
        "versions",
        shown,
        f"This ialctl was tested with {', '.join(f'{n} {v}' for n, v in other.items())}.",
        "`pip install " + " ".join(f"{n}=={v}" for n, v in other.items()) + "`",
    )


def disk_finding(name: str, folder: Path, space: Space) -> Finding:
    """Whether there is room where `folder` is."""
    left = f"{_size(space.free_bytes)} of {_size(space.size_bytes)} free at {folder}"
    if not space.writable:
        return trouble(
            name,
            f"{standing(folder)} can't be written",
            "Neither state nor temporary files can be kept there.",
            _elsewhere(name),
        )
    if space.free_files is not None and space.free_files < _FEW_FILES:
        return trouble(
            name,
            f"{space.free_files} more files fit at {folder} ({left})",
            "No file can be made, however much room is left.",
            f"Remove files there, or {_elsewhere(name, 'c')}",
        )
    if space.free_bytes < FULL_BYTES:
        return trouble(
            name,
            left,
            "The disk is full: writes will fail. What was acknowledged is not lost.",
            f"Make room there, or {_elsewhere(name, 'c')}",
        )
    if space.free_bytes < LOW_BYTES:
        return warning(
            name,
            left,
            "Backups and the local endpoint's snapshots may not fit.",
            f"Make room there, or {_elsewhere(name, 'c')}",
        )
    return ok(name, left)


def _elsewhere(name: str, first: str = "C") -> str:
    what = "TMPDIR" if name == "temporary" else "--state-dir DIR or IAL_STATE_DIR"
    return f"{first}hoose another folder: {what}."


def settings_findings(
    loaded: LoadedSettings, memory_bytes: int | None, mode_of: Callable[[Path], int | None]
) -> Iterator[Finding]:
    """Values that are allowed, and seldom meant; one finding each, or one that all is well.

    Args:
        loaded: the settings, and where each came from.
        memory_bytes: of this machine, where that can be told.
        mode_of: a file's permissions, None where there is no such file.
    """
    settings = loaded.settings
    found = [
        *_exposed(loaded, mode_of),
        *_contradicting(settings, loaded.sources),
        *_short(settings),
        *_large(settings, memory_bytes),
    ]
    if found:
        yield from found
        return
    given = [key for key, source in loaded.sources.items() if source != "default"]
    yield ok("settings", ", ".join(given) + " set, the rest by default" if given else "defaults")


def _exposed(loaded: LoadedSettings, mode_of: Callable[[Path], int | None]) -> Iterator[Finding]:
    for key in _SECRETS:
        source = loaded.sources.get(key, "")
        value = str(getattr(loaded.settings, key) or "")
        secret = "@" in value if key == "redis_url" else bool(value)
        mode = mode_of(Path(source)) if source.endswith(".yaml") else None
        if secret and mode is not None and mode & (stat.S_IRGRP | stat.S_IROTH):
            yield warning(
                "settings",
                f"'{source}' holds {key}, and others may read it",
                "Whoever has an account on this machine may read the secret.",
                f"`chmod 600 {source}`"
                + (", or use backup_passphrase_file." if key == "backup_passphrase" else ""),
            )


def _contradicting(settings: Settings, sources: Mapping[str, str]) -> Iterator[Finding]:
    if settings.target == "aws" and settings.endpoint_url:
        yield warning(
            "settings",
            f"target aws, and endpoint_url {settings.endpoint_url} ({sources['endpoint_url']})",
            "Your AWS credentials are sent to that endpoint in place of AWS.",
            f"If that is not meant, take endpoint_url out ({PROJECT_FILE}, AWS_ENDPOINT_URL).",
        )
    if settings.backup_passphrase is not None and settings.backup_passphrase_file is not None:
        yield warning(
            "settings",
            "both backup_passphrase and backup_passphrase_file are set",
            "Which one a backup was sealed with will be asked when it is needed most.",
            "Keep one of the two.",
        )


def _short(settings: Settings) -> Iterator[Finding]:
    for key, least in _SHORT_S.items():
        value = getattr(settings, key)
        if value < least:
            yield warning(
                "settings",
                f"{key} is {value:g}",
                "An answer that is a little slow counts as none.",
                f"Set it to {least:g} or more; `ialctl config` says where it is set.",
            )


def _large(settings: Settings, memory_bytes: int | None) -> Iterator[Finding]:
    wanted = (settings.index_memory_mb + settings.embedding_cache_mb) * _MIB
    if memory_bytes and wanted > memory_bytes / 2:
        yield warning(
            "settings",
            f"index_memory_mb and embedding_cache_mb allow {_size(wanted)} a process",
            f"That is over half of this machine's {_size(memory_bytes)}.",
            "Set index_memory_mb lower: copies that don't fit are read again, no more.",
        )


def memory_of_machine() -> int | None:
    """Bytes of this machine's memory; None where that can't be told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None  # not on every system


def mode_of(path: Path) -> int | None:
    """A file's permissions; None where it can't be told."""
    try:
        return path.stat().st_mode
    except OSError:
        return None


def _size(count: int) -> str:
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
