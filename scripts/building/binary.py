"""`make binary`: the one file, the folder with the same, its archive, checksums, contents.

    python -m scripts.building.binary                 all of it, into dist/
    python -m scripts.building.binary --only onefile  only the one file, for a test

The same sources on the same system give the same bytes: times are those of the last commit.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import platform
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from core import __version__
from core.clock import SYSTEM_CLOCK
from core.settings import child_environment
from scripts.building.launcher import say_it_clearly
from scripts.building.programs import output_of

ROOT = Path(__file__).parents[2]
# Archives know no time before 1980; that of a checkout without history.
_NO_TIME = 315532800


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.building.binary")
    parser.add_argument("--only", choices=("onefile", "folder"), help="only this of the two")
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="where (default: dist/)")
    given = parser.parse_args(arguments)
    work = ROOT / "build" / f"binary-{given.only or 'all'}"
    begin = SYSTEM_CLOCK.monotonic()
    epoch_s = commit_time()
    freeze(given.to, work, given.only, epoch_s)
    made = finish(given.to, work, given.only, epoch_s)
    for path in made:
        sys.stdout.write(f"{path.stat().st_size / 1e6:7.1f} MB  {path}\n")
    sys.stderr.write(f"Built in {SYSTEM_CLOCK.monotonic() - begin:.0f} s.\n")
    return 0


def freeze(to: Path, work: Path, only: str | None, epoch_s: int) -> None:
    """Runs PyInstaller.

    Raises:
        CalledProcessError: it failed; it has said why.
    """
    own = ["--only", only] if only else []
    folders = ["--distpath", str(to), "--workpath", str(work), "--log-level", "ERROR"]
    output_of(
        *(sys.executable, "-m", "PyInstaller", "--noconfirm", *folders, "ialctl.spec", "--", *own),
        folder=ROOT,
        # Sets in byte code are ordered by hashes, which are drawn anew at every start otherwise.
        environment=child_environment(SOURCE_DATE_EPOCH=str(epoch_s), PYTHONHASHSEED="0"),
    )


def finish(to: Path, work: Path, only: str | None, epoch_s: int) -> list[Path]:
    """Everything beside the two; returns what is to be handed out."""
    from scripts.building.contents import write_contents

    made = []
    if only != "folder":
        say_it_clearly(to / "ialctl")
        made.append(to / "ialctl")
    if only != "onefile":
        made.append(pack(to / "ialctl-dir", to / f"{archive_stem()}.tar.gz", epoch_s))
    made.append(write_contents(work / "ialctl" / "contents.json", to / "ialctl.cdx.json", epoch_s))
    return [*made, write_checksums(to / "SHA256SUMS", made)]


def archive_stem() -> str:
    """`ialctl-<version>-<os>-<arch>`."""
    return f"ialctl-{__version__}-{platform.system().lower()}-{platform.machine().lower()}"


def pack(folder: Path, archive: Path, epoch_s: int) -> Path:
    """The folder as a tar file that depends on its contents alone."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = epoch_s
        return member

    with (
        archive.open("wb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=epoch_s) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(folder.rglob("*")):
            name = f"{archive_stem()}/{path.relative_to(folder)}"
            tar.add(path, name, recursive=False, filter=plain)
    return archive


def write_checksums(path: Path, files: Sequence[Path]) -> Path:
    """`sha256sum --check` reads it."""
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    path.write_text("".join(lines))
    return path


def commit_time() -> int:
    """When the last commit was made, in seconds since the epoch."""
    told = output_of("git", "log", "-1", "--format=%ct", folder=ROOT, needed=False)
    return int(told) if told.strip() else _NO_TIME


if __name__ == "__main__":
    sys.exit(main())
