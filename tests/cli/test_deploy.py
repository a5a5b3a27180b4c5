"""`plan`, `start`, `status`, `drift`, `destroy` as they are typed: output, exit codes, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.aws.lease import Owner
from core.deploy.lock import file_lock
from core.deploy.service import LOCK_FILE
from core.testing.clock import FakeClock
from tests import forked

BAD = {
    "broken YAML": ("Resources:\n  A: [\n", 1, "line 3"),
    "a wrong intrinsic": ("Resources:\n  A: !Nope x\n", 1, "'!Nope'"),
    "an import of nothing": (
        "Parameters: {ProjectName: {Type: String}}\n"
        "Resources: {A: {Type: 'AWS::SNS::Topic', Properties: {TopicName: !ImportValue x}}}\n",
        1,
        "'x', which no phase exports",
    ),
    "an unknown type": (
        "Parameters: {ProjectName: {Type: String}}\nResources: {A: {Type: 'AWS::No::Such'}}\n",
        1,
        "AWS::No::Such",
    ),
}


class Tool:
    """The command in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = [sys.executable, "-m", "ialctl"]
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("IAL", "AWS"))}

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs it without a terminal, forked."""
        return forked.ialctl(arguments, self.folder, {**self.environment, **environment})

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Begins it and does not wait."""
        return subprocess.Popen(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def tool(tmp_path: Path) -> Iterator[Tool]:
    """The tool with an endpoint of its own, stopped at the end."""
    made = Tool(tmp_path)
    yield made
    made("stop")


def test_a_first_day(tool: Tool) -> None:
    """Start, start again, look, take down, start: each says what it should, data only to stdout."""
    first = tool("start", "--json")
    assert first.returncode == 0, first.stderr
    data = json.loads(first.stdout)
    assert (data["schema"], data["changed"], len(data["tables"])) == ("ialctl.start/1", True, 3)
    second = tool("start")
    assert second.returncode == 0
    assert "Nothing changed" in second.stdout
    assert "Nothing would change" in tool("plan").stderr
    status = json.loads(tool("status", "--json").stdout)
    assert status["endpoint"]["running"]
    assert status["engine"] == "optimized"
    assert json.loads(tool("drift", "--json").stdout)["rows"] == []
    gone = tool("destroy", "--yes")
    assert gone.returncode == 0
    assert "kept: table ial-conversation-history-v2" in gone.stdout
    assert tool("drift").returncode == 3
    assert tool("start", "-q").returncode == 0


def test_destroy_is_never_done_unasked(tool: Tool) -> None:
    """Without a terminal and a flag: exit 7 at once; data need the project's name on top."""
    for arguments in (
        ("destroy",),
        ("destroy", "--delete-data"),
        ("destroy", "--delete-data", "--yes"),
        ("destroy", "--delete-data", "--yes", "--confirm", "other"),
    ):
        done = tool(*arguments)
        assert done.returncode == 7, done.stderr
        assert "→" in done.stderr
    assert not (tool.folder / ".ialctl").exists()


def test_destroying_kept_data_later_is_reported(tool: Tool) -> None:
    """With the stacks gone already, what is kept and what is deleted is still named."""
    assert tool("start", "-q").returncode == 0
    assert tool("destroy", "--yes", "-q").returncode == 0
    again = tool("destroy", "--yes")
    assert "kept: table ial-operations" in again.stdout
    done = tool("destroy", "--yes", "--delete-data", "--confirm", "ial")
    assert "deleted: table ial-operations" in done.stdout
    assert "nothing to delete" in tool("destroy", "--yes").stdout


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_template_is_one_sentence(tool: Tool, kind: str) -> None:
    """Each ends with its exit code, names what is wrong in the last lines, and no traceback."""
    text, code, says = BAD[kind]
    (tool.folder / "phases" / "01-d").mkdir(parents=True)
    (tool.folder / "phases" / "01-d" / "01-a.yaml").write_text(text)
    done = tool("start", IAL_PHASES_DIR="phases")
    assert done.returncode == code
    assert says in "\n".join(done.stderr.splitlines()[-2:])
    assert "Traceback" not in done.stderr


def test_a_missing_or_empty_folder_of_phases(tool: Tool) -> None:
    """Told before the endpoint is even started."""
    assert "no folder" in tool("start", IAL_PHASES_DIR="nowhere").stderr
    (tool.folder / "empty").mkdir()
    assert "holds no phases" in tool("start", IAL_PHASES_DIR="empty").stderr
    assert not (tool.folder / ".ialctl").exists()


def test_a_start_beside_another_names_it(tool: Tool) -> None:
    """While one run holds the lock, another ends with exit 5 and says who and since when."""
    path = tool.folder / ".ialctl" / "ial" / LOCK_FILE
    with file_lock(path, Owner("ada", "machine", 77, "run"), FakeClock()):
        refused = tool("start", "-q")
    assert refused.returncode == 5
    assert "ada@machine (process 77)" in refused.stderr
    assert "2027-01-15T08:00:00Z" in refused.stderr
    assert tool("start", "-q").returncode == 0


def test_two_starts_at_once(tool: Tool) -> None:
    """One works; the other ends with exit 5, or comes late enough to find all done."""
    runs = [tool.begin("start", "-q") for _ in range(2)]
    for run in runs:
        run.communicate(timeout=60)
    assert sorted(run.returncode for run in runs) in ([0, 5], [0, 0])
    assert tool("drift", "-q").returncode == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    "after_s",
    [1.2, *(pytest.param(s, marks=pytest.mark.soak) for s in (0.5, 0.8, 1.0, 1.4, 1.6))],
)
def test_stopped_in_the_middle_the_next_start_completes(
    tool: Tool, number: signal.Signals, code: int, after_s: float
) -> None:
    """Ctrl-C or SIGTERM in any stage: the documented exit code, one sentence, and start goes on."""
    run = tool.begin("start")
    time.sleep(after_s)
    run.send_signal(number)
    _, errors = run.communicate(timeout=30)
    assert run.returncode in (code, 0), errors
    assert "Traceback" not in errors
    if run.returncode == code:
        assert "it goes on from there" in errors
    after = tool("start", "-q")
    assert after.returncode == 0, after.stderr
    assert tool("drift", "-q").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "after_s", [1.3, *(pytest.param(s, marks=pytest.mark.soak) for s in (0.8, 1.0, 1.1, 1.5))]
)
def test_an_endpoint_killed_in_the_middle(tool: Tool, after_s: float) -> None:
    """kill -9 of the endpoint while start deploys: the next start brings everything up."""
    run = tool.begin("start", "-q")
    time.sleep(after_s)
    pid = json.loads(tool("status", "--json").stdout)["endpoint"]["pid"]
    if pid:
        os.kill(pid, signal.SIGKILL)
    _, errors = run.communicate(timeout=60)
    assert "Traceback" not in errors
    after = tool("start", "-q")
    assert after.returncode == 0, after.stderr
    assert tool("drift", "-q").returncode == 0
