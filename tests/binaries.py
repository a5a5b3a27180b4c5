"""The one-file binary for tests: built once for the sources as they are, kept until they change."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).parents[1]
_INSIDE = ("core", "ialctl", "scripts", "phases", "docs", "requirements")
_FILES = ("ialctl.spec", "README.md", "CHANGELOG.md", "LICENSE")
_BUILD = ("-m", "scripts.building.binary", "--only", "onefile", "--to")
BUILD_TIMEOUT_S = 600.0
COMMAND_TIMEOUT_S = 120.0


def built_binary(cache: Path) -> Path:
    """The binary of the sources as they are; others are forgotten."""
    wanted = cache / digest()
    with FileLock(cache / "build.lock"):
        if not (wanted / "ialctl").exists():
            for old in (entry for entry in cache.iterdir() if entry.is_dir()):
                shutil.rmtree(old)
            aside = cache / "building"
            subprocess.run(
                [sys.executable, *_BUILD, str(aside)],
                cwd=ROOT,
                check=True,
                timeout=BUILD_TIMEOUT_S,
                stdout=subprocess.DEVNULL,
            )
            aside.rename(wanted)
    return wanted / "ialctl"


def digest() -> str:
    """What the binary is made of, in a few letters."""
    found = hashlib.sha256(sys.version.encode())
    for path in _sources():
        found.update(f"{path.relative_to(ROOT)}\0".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


def _sources() -> Iterator[Path]:
    for name in _INSIDE:
        files = (path for path in (ROOT / name).rglob("*") if path.is_file())
        yield from sorted(path for path in files if path.suffix != ".pyc")
    yield from (ROOT / name for name in _FILES)


class Alone:
    """A folder with the binary and nothing else; no Python is on its path."""

    def __init__(self, folder: Path, binary: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.environment = {
            "HOME": str(folder),
            "PATH": str(folder / "nothing"),
            "TMPDIR": str(self.temporary),
        }
        shutil.copy2(binary, folder / "ialctl")

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs `./ialctl` to its end."""
        return subprocess.run(
            ["./ialctl", *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts `./ialctl` as a terminal does: as a process group of its own."""
        return subprocess.Popen(
            ["./ialctl", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def unpacked(self) -> set[Path]:
        """The folders that launchers unpacked to, and that still stand."""
        return set(self.temporary.glob("_MEI*"))


def end(process: subprocess.Popen[str]) -> None:
    """Ends what a test leaves behind when it fails: the whole group, which is the test's own."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
