"""The Debian package: what is in it, and that what is in it runs."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from core import __version__
from scripts.building import deb

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="this system has no dpkg-deb"
)
PROGRAM = f"""#!/bin/sh
test -n "$_IALCTL_COMPLETE" && echo "complete -F _ialctl ialctl" && exit
echo "ialctl {__version__}"
"""


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A build that is a script."""
    folder = tmp_path / "dist" / "ialctl-dir"
    (folder / "_internal").mkdir(parents=True)
    (folder / "ialctl").write_text(PROGRAM)
    (folder / "ialctl").chmod(0o700)
    (folder / "_internal" / "library.so").write_bytes(b"\x7fELF.GLIBC_2.9\0.GLIBC_2.36\0")
    (folder.parent / "ialctl.cdx.json").write_text("{}")
    return folder.parent


def test_what_is_extracted_runs(dist: Path, tmp_path: Path) -> None:
    """The command leads to the program; completion and licence are where Debian looks."""
    package = deb.build(dist)
    root = tmp_path / "root"
    subprocess.run(["dpkg-deb", "--extract", package, root], check=True)
    done = subprocess.run([root / "usr/bin/ialctl", "--version"], capture_output=True, text=True)
    assert done.stdout == f"ialctl {__version__}\n"
    completion = root / "usr/share/bash-completion/completions/ialctl"
    assert completion.read_text().startswith("complete -F")
    assert "Apache License" in (root / "usr/share/doc/ialctl/copyright").read_text()
    assert stat.S_IMODE((root / "usr/lib/ialctl/ialctl").stat().st_mode) == 0o755


def test_it_asks_for_the_c_library_that_it_was_built_with(dist: Path) -> None:
    """36 is newer than 9."""
    told = subprocess.run(
        ["dpkg-deb", "--field", deb.build(dist), "Version", "Depends"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == f"Version: {__version__}\nDepends: libc6 (>= 2.36), zlib1g\n"


def test_without_a_build_a_sentence_says_what_makes_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is made of nothing."""
    assert deb.main(["--dist", str(tmp_path)]) == 2
    assert "`make binary` makes it" in capsys.readouterr().err
