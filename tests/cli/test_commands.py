"""Every command has help and stands in the docs; help is quick; options stand anywhere."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.models import CommandInfo

from ialctl.app import run
from ialctl.command import COMMON
from ialctl.root import build_app

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "commands.md").read_text()


def _commands(app: typer.Typer, before: str = "") -> dict[str, CommandInfo]:
    """Every command by its full name, those of groups too."""
    own = {f"{before}{info.name}": info for info in app.registered_commands if info.callback}
    for group in app.registered_groups:
        if group.typer_instance is not None:
            own |= _commands(group.typer_instance, f"{before}{group.typer_instance.info.name} ")
    return own


COMMANDS = _commands(build_app())


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_what_it_does_with_examples(name: str) -> None:
    """One line of what it does, and two examples that begin with the command."""
    info = COMMANDS[name]
    assert info.callback is not None
    first = (inspect.getdoc(info.callback) or "").splitlines()[0]
    assert first.endswith(".")
    examples = re.findall(r"`(ialctl [^`]+)`", info.epilog or "")
    assert len(examples) >= 2
    assert all(f" {name}" in example for example in examples)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_and_option_stands_in_the_docs(name: str) -> None:
    """docs/commands.md has a section a command, with every option of it."""
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL)
    assert section is not None
    info = COMMANDS[name]
    command = typer.main.get_command_from_info(
        info, pretty_exceptions_short=True, rich_markup_mode=None
    )
    own = [p for p in command.params if p.name not in COMMON and p.name not in ("ctx", "help")]
    for option in (o for p in own for o in p.opts if o.startswith("--")):
        assert option in section[1]


@pytest.mark.parametrize("common", COMMON)
def test_each_common_option_stands_in_the_docs(common: str) -> None:
    """The options of every command are described once."""
    assert f"`--{common.replace('_', '-')}" in DOCS


def test_common_options_stand_before_or_after(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`ialctl --json config` and `ialctl config --json` are the same."""
    monkeypatch.chdir(tmp_path)
    assert run(["--json", "--project", "demo", "config"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert run(["config", "--json", "--project", "demo"]) == 0
    assert json.loads(capsys.readouterr().out) == before
    assert before["rows"][0]["value"] == "demo"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["strat"], "strat"),
        (["config", "--output", "yaml"], "no output format 'yaml'"),
        (["config", "--project", "A B"], "'project' is 'A B'"),
        (["context"], "QUERY"),
        (["import", "x.jsonl"], "--user"),
    ],
)
def test_wrong_usage_is_a_sentence_and_exit_2(
    arguments: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A slip is answered with what was wrong and how to find what is right."""
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert says in shown.err
    assert "Traceback" not in shown.err
    assert "→" in shown.err


def test_help_loads_nothing_heavy() -> None:
    """`--help` needs neither the AWS client nor the emulator, so it is there at once."""
    code = (
        "import sys; from ialctl.app import run; run(['--help']);"
        "print([m for m in ('botocore', 'boto3', 'ministack', 'numpy', 'uvicorn', 'hypothesis')"
        " if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_reader_that_leaves_is_no_error() -> None:
    """`ialctl config | head -1` ends quietly."""
    command = f"{sys.executable} -m ialctl config --output jsonl | head -1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "IAL_STATE_DIR": "/nonexistent"},
    )
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr
