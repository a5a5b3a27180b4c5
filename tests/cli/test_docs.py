"""What README and docs show is what happens: every console block is run, in order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.local.endpoint import LocalEndpoint
from tests import forked

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(?:console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PROGRAM = re.compile(r"# (\w+\.py)\n")
_SHELLS_OWN = re.compile(r"[<>|&;$`\\*~(){}!]")
_EXIT = re.compile(r"\s+# exit (\d+)$")


@dataclass(frozen=True)
class Step:
    """A command of a page, how it should end, and what it should print (`…` is anything).

    `program` is what a file called `command` is to hold, in place of a command.
    """

    command: str
    exit_code: int
    shown: str
    program: str | None = None


def steps(page: Path) -> Iterator[Step]:
    """The commands of a page, and the programs that name a file in their first line, in order."""
    for block in _BLOCK.findall(page.read_text()):
        named = _PROGRAM.match(block)
        if named:
            yield Step(named[1], 0, "", block)
            continue
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, shown = part.partition("\n")
            ends = _EXIT.search(line)
            yield Step(_EXIT.sub("", line), int(ends[1]) if ends else 0, shown)


def matches(shown: str, printed: str) -> bool:
    """True where `printed` is `shown`, `…` standing for anything."""
    pattern = ".*".join(map(re.escape, shown.rstrip("\n").split("…")))
    return re.fullmatch(pattern, printed.rstrip("\n"), re.DOTALL) is not None


def environment(folder: Path) -> dict[str, str]:
    """A shell in which `ialctl` is on the path and no setting of the tester's counts."""
    # MAKE…: what `make test` hands down would change what an inner make prints.
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("IAL_", "AWS_", "MAKE", "MFL"))
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": path, "HOME": str(folder), "XDG_CONFIG_HOME": ""}


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command as a shell does.

    `ialctl` with plain words alone, nothing that is the shell's, needs none, and is forked; what is
    redirected, piped or set goes through bash and the installed script.
    """
    if command.startswith("ialctl ") and not _SHELLS_OWN.search(command):
        return forked.ialctl(shlex.split(command)[1:], folder, environment(folder))
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def run(step: Step, folder: Path) -> None:
    """Runs a step and compares."""
    if step.program is not None:
        (folder / step.command).write_text(step.program)
        return
    done = shell(step.command, folder)
    told = f"$ {step.command}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == step.exit_code, told
    printed = done.stderr if step.exit_code else done.stdout
    assert matches(step.shown, printed), f"{told}\n--- the page shows:\n{step.shown}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_console_block_is_true(page: Path, tmp_path: Path) -> None:
    """Commands of a page end and print as the page says."""
    try:
        for step in steps(page):
            run(step, tmp_path)
    finally:
        for folder in tmp_path.glob(".ialctl/*/endpoint"):
            LocalEndpoint(folder).stop()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A page links only to files that are there."""
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_make_start_ends_with_what_to_type_next(tmp_path: Path) -> None:
    """`make start` in a checkout whose environment is set up deploys and says what is next."""
    for name in ("Makefile", "pyproject.toml", "requirements", "core", "ialctl", "phases"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (tmp_path / ".venv" / ".installed").touch()
    try:
        run(Step("make start", 0, "Deployed and checked.…ialctl context…"), tmp_path)
    finally:
        run(Step("ialctl stop", 0, "…"), tmp_path)


def test_ci_runs_what_the_readme_names() -> None:
    """The gate is `make lint` and `make test`, and both are targets."""
    gate, makefile = (ROOT / ".ci" / "run").read_text(), (ROOT / "Makefile").read_text()
    for target in ("lint", "test", "start"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert "make lint" in gate
    assert "make test" in gate
