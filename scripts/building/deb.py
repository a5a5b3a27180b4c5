"""`make deb`: a Debian package of the one-folder build, which must stand in dist/.

It holds /usr/lib/ialctl, the command /usr/bin/ialctl, the completion of bash, and the licences. It
needs no Python, and runs nothing when it is installed or removed.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from core import __version__
from core.settings import child_environment
from scripts.building.binary import ROOT, commit_time
from scripts.building.programs import output_of

_CONTROL = """\
Package: ialctl
Version: {version}
Architecture: {architecture}
Maintainer: The makers of ialctl <ialctl@localhost>
Installed-Size: {kibibytes}
Depends: libc6 (>= {glibc}), zlib1g
Section: utils
Priority: optional
Description: conversation memory for LLM agents on Amazon DynamoDB
 Deploys the memory, feeds it, asks it, backs it up, moves old data into it and proves
 it is right, on AWS or on a local endpoint of its own.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds the package; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.building.deb")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where ialctl-dir stands")
    given = parser.parse_args(arguments)
    if not (given.dist / "ialctl-dir" / "ialctl").is_file():
        sys.stderr.write(f"There is no one-folder build in {given.dist}: `make binary` makes it.\n")
        return 2
    package = build(given.dist)
    sys.stdout.write(f"{package.stat().st_size / 1e6:7.1f} MB  {package}\n")
    return 0


def build(dist: Path) -> Path:
    """The package, made from `dist/ialctl-dir`."""
    architecture = output_of("dpkg", "--print-architecture").strip()
    package = dist / f"ialctl_{__version__}_{architecture}.deb"
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name) / "tree"
        lay_out(tree, dist / "ialctl-dir", dist / "ialctl.cdx.json")
        write_control(tree, architecture)
        output_of(
            *("dpkg-deb", "--root-owner-group", "-Zxz", "--build", tree, package),
            environment=child_environment(SOURCE_DATE_EPOCH=str(commit_time())),
        )
    return package


def lay_out(tree: Path, built: Path, contents: Path) -> None:
    """Puts everything where it goes."""
    library, share = tree / "usr/lib/ialctl", tree / "usr/share"
    shutil.copytree(built, library, symlinks=True)
    command = tree / "usr/bin/ialctl"
    command.parent.mkdir(parents=True)
    command.symlink_to("../lib/ialctl/ialctl")
    documents = share / "doc/ialctl"
    documents.mkdir(parents=True)
    shutil.copyfile(ROOT / "LICENSE", documents / "copyright")
    changes = (ROOT / "CHANGELOG.md").read_bytes()
    (documents / "changelog.gz").write_bytes(gzip.compress(changes, 9, mtime=0))
    if contents.is_file():
        shutil.copyfile(contents, documents / "ialctl.cdx.json")
    completion = share / "bash-completion/completions/ialctl"
    completion.parent.mkdir(parents=True)
    completion.write_text(bash_completion(library / "ialctl"))
    set_modes(tree)


def bash_completion(program: Path) -> str:
    """The completion that the program itself prints."""
    asked = child_environment(_IALCTL_COMPLETE="source_bash")
    return output_of(program, environment=asked)


def set_modes(tree: Path) -> None:
    """Whatever the builder's umask: all may read, and run what is a program."""
    for path in tree.rglob("*"):
        if not path.is_symlink():
            runs = path.is_dir() or os.access(path, os.X_OK)
            path.chmod(0o755 if runs else 0o644)


def write_control(tree: Path, architecture: str) -> None:
    """What the package says of itself."""
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    folder = tree / "DEBIAN"
    folder.mkdir(mode=0o755)
    control = _CONTROL.format(
        version=__version__,
        architecture=architecture,
        kibibytes=sum(path.stat().st_size for path in files) // 1024,
        glibc=needed_glibc(files),
    )
    (folder / "control").write_text(control)


def needed_glibc(files: Sequence[Path]) -> str:
    """The newest version of the C library that any file asks for."""
    asked = {(2, 17)}
    for path in files:
        content = path.read_bytes()
        if content[:4] == b"\x7fELF":
            for found in re.findall(rb"GLIBC_2\.(\d+)", content):
                asked.add((2, int(found)))
    return ".".join(map(str, max(asked)))


if __name__ == "__main__":
    sys.exit(main())
