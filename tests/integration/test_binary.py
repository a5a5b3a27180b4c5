"""The one-file binary alone in an empty folder, without a Python: everything works."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core import __version__
from core.local.endpoint import LocalEndpoint
from ialctl.frozen import MARKER
from tests.binaries import Alone, built_binary, end
from tests.unit.benchmark.conversations import raw, sample
from tests.waiting import until

pytestmark = pytest.mark.slow
MESSAGES = 120
MANY = 20_000


@dataclass(frozen=True)
class Step:
    """A command line, and what it prints, as a pattern."""

    command: str
    says: str


# In order, each in the state that those before it left. What comes to be a command goes in here.
STEPS = (
    Step("start", r"^Deployed and checked\."),
    Step("start", r"^Nothing changed"),
    Step("import chat.jsonl --user mia", rf"^{MESSAGES} imported"),
    Step("import chat.jsonl --user mia", rf"^0 imported, {MESSAGES} there already"),
    Step("context Lisbon --user mia", "I moved to Lisbon"),
    Step("export --user mia --to out.jsonl", ""),
    Step("backup", ""),
    Step("backup verify latest", ""),
    Step("restore latest --yes", ""),
    Step("validate", "Everything holds"),
    Step("eval --dataset small.json --yes", ""),
    Step("reindex", "nothing to do"),
    Step("cost", ""),
    Step("benchmark --messages 20 --rounds 2 --report report.html", "^Is it better"),
    Step("doctor", r"^\d+ checks: "),
    Step("scripts run test_dynamodb_performance -- --help", "^usage: "),
    Step("backup schedule --print cron", r"&& \S+/ialctl backup create"),
    Step("docs exit-codes", "^# Exit codes"),
    Step("stop", "is stopped"),
)
# In a folder of its own, before a migration, and after it.
LEGACY = (
    Step("start --with-legacy", "ial-conversation-history\n"),
    Step("import chat.jsonl --user ben --layout legacy", rf"^{MESSAGES} imported"),
    Step("import chat.jsonl --user ben --layout legacy", rf"^0 imported, {MESSAGES} there already"),
)
MIGRATED = (
    Step("context Lisbon --user ben", "I moved to Lisbon"),
    Step("validate", "Everything holds"),
    Step("scripts run migrate_dynamodb_optimization -- --json", '"executed": false'),
)


@pytest.fixture(scope="module")
def binary(pytestconfig: pytest.Config) -> Path:
    """The binary, built unless it was."""
    return built_binary(pytestconfig.cache.mkdir("binary") if pytestconfig.cache else Path("build"))


@pytest.fixture(scope="module")
def alone(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    """A folder with the binary, and files to import."""
    made = Alone(tmp_path_factory.mktemp("alone"), binary)
    write_chat(made.folder / "chat.jsonl", MESSAGES)
    (made.folder / "small.json").write_bytes(raw(sample("one"), sample("two")))
    yield made
    LocalEndpoint(made.folder / ".ialctl" / "ial" / "endpoint").stop()


@pytest.fixture(scope="module", autouse=True)
def migrating(
    binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Alone, subprocess.Popen[str]]]:
    """A migration, which mostly waits: it goes on in a folder of its own beside the other tests."""
    made = Alone(tmp_path_factory.mktemp("legacy"), binary)
    write_chat(made.folder / "chat.jsonl", MESSAGES)
    for step in LEGACY:
        check(made, step)
    process = made.begin("migrate", "--yes", "--execute")
    try:
        yield made, process
    finally:
        end(process)
        LocalEndpoint(made.folder / ".ialctl" / "ial" / "endpoint").stop()


def check(alone: Alone, step: Step) -> None:
    """Runs a step, and looks at what it says."""
    done = alone.run(*step.command.split())
    assert done.returncode == 0, done.stderr
    assert re.search(step.says, done.stdout, re.MULTILINE), done.stdout
    assert "Traceback" not in done.stderr


def write_chat(path: Path, messages: int) -> None:
    """Writes a conversation."""
    lines = (
        {"role": "user", "content": f"I moved to Lisbon, {n}.", "timestamp": 1_700_000_000 + n}
        for n in range(messages)
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{STEPS.index(step)}-{step.command}")
def test_each_command_works_alone(alone: Alone, step: Step) -> None:
    """With the binary in an empty folder and no Python, every command does its job."""
    check(alone, step)


def test_it_knows_its_version(alone: Alone) -> None:
    """`--version` is that of the sources."""
    assert alone.run("--version").stdout == f"ialctl {__version__}\n"


def test_a_shell_completes_its_words(alone: Alone) -> None:
    """What a shell asks the program for, the binary answers."""
    asked = {"_IALCTL_COMPLETE": "complete_bash", "COMP_WORDS": "ialctl scr", "COMP_CWORD": "1"}
    assert alone.run(**asked).stdout.split() == ["scripts"]


def test_nothing_stays_unpacked(alone: Alone) -> None:
    """What was run to its end leaves nothing in the folder for temporary files."""
    alone.run("config")
    assert alone.unpacked() == set()


def test_optional_libraries_need_the_python_package(alone: Alone) -> None:
    """What no binary can take in is asked for in vain, with a sentence that says so."""
    done = alone.run("eval", "--dataset", "small.json", "--plot", "x.png")
    assert done.returncode == 2
    assert "binary holds no optional packages" in done.stderr


@pytest.fixture
def importing(alone: Alone) -> Iterator[subprocess.Popen[str]]:
    """An import that goes on, and has stored something."""
    assert alone.run("start", "-q").returncode == 0
    write_chat(alone.folder / "many.jsonl", MANY)
    before = position(alone)
    process = alone.begin("import", "many.jsonl", "--user", "ada")
    try:
        until(lambda: position(alone) not in ("", before))
        yield process
    finally:
        end(process)


def position(alone: Alone) -> str:
    """Where an import stands, as its checkpoint says."""
    with contextlib.suppress(OSError):
        return "".join(path.read_text() for path in alone.folder.glob(".ialctl/ial/imports/*.json"))
    return ""


@pytest.mark.parametrize(
    ("send", "number", "code"),
    [
        (os.kill, signal.SIGTERM, 143),
        (os.killpg, signal.SIGTERM, 143),
        (os.killpg, signal.SIGINT, 130),
    ],
    ids=["service-term", "terminal-term", "terminal-int"],
)
def test_a_signal_stops_at_the_next_safe_point(
    importing: subprocess.Popen[str],
    send: Callable[[int, int], None],
    number: signal.Signals,
    code: int,
) -> None:
    """The launcher hands a signal on; one that a terminal sent to both is not taken for two."""
    send(importing.pid, number)
    _, told = importing.communicate(timeout=60)
    assert importing.returncode == code
    assert "Stopped after" in told


def test_a_killed_launcher_takes_its_child_along(
    alone: Alone, importing: subprocess.Popen[str]
) -> None:
    """The child stops at its next safe point, and the next run removes what was left unpacked."""
    importing.kill()
    _, told = importing.communicate(timeout=60)  # ends once the child has closed its end
    assert "Stopped after" in told
    left = {f for f in alone.unpacked() if int(f.name[4:12], 16) == importing.pid}
    assert len(left) == 1
    until(lambda: not left & unpacked_after_a_run(alone))


def unpacked_after_a_run(alone: Alone) -> set[Path]:
    """What stands unpacked once another command has run."""
    assert alone.run("config", "-q").returncode == 0
    return alone.unpacked()


def test_a_killed_endpoint_comes_back(alone: Alone) -> None:
    """The endpoint is a child of the binary's own; killed, the next command brings it back."""
    assert alone.run("start", "-q").returncode == 0
    instance = json.loads(
        (alone.folder / ".ialctl" / "ial" / "endpoint" / "endpoint.json").read_text()
    )
    os.kill(instance["pid"], signal.SIGKILL)
    done = alone.run("context", "Lisbon", "--user", "mia")
    assert done.returncode == 0
    assert "it is back" in done.stderr


def test_what_others_left_is_theirs(alone: Alone) -> None:
    """A folder without our marker stays, whatever it is called."""
    foreign = alone.temporary / "_MEI7fffffffABCDEF"
    foreign.mkdir()
    alone.run("config", "-q")
    assert foreign.is_dir()
    (foreign / MARKER).touch()
    alone.run("config", "-q")
    assert not foreign.exists()


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own, where no program may run, and which is small."""
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "noexec,size=200m", "tmpfs", str(tmp_path)],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting is not permitted here")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_where_nothing_may_run_a_sentence_says_so(alone: Alone, mounted: Path) -> None:
    """A folder mounted `noexec` is named, with the cure."""
    done = alone.run("--version", TMPDIR=str(mounted))
    assert done.returncode != 0
    assert f"No program may run in '{mounted}" in done.stderr
    assert "set TMPDIR" in done.stderr


def test_where_nothing_fits_a_sentence_says_so(alone: Alone, mounted: Path) -> None:
    """A full disk is named as what it may be, with the cure."""
    with (mounted / "full").open("wb") as file:
        file.truncate(0)
        os.posix_fallocate(file.fileno(), 0, 190 * 1024 * 1024)
    done = alone.run("--version", TMPDIR=str(mounted))
    assert done.returncode != 0
    assert "Is the disk full? Set TMPDIR" in done.stderr


def test_a_migration_works_alone(migrating: tuple[Alone, subprocess.Popen[str]]) -> None:
    """Legacy data comes over with the binary and nothing else, and is asked there."""
    alone, process = migrating
    told, troubles = process.communicate(timeout=120)
    assert process.returncode == 0, troubles
    assert "Migrated." in told
    for step in MIGRATED:
        check(alone, step)
