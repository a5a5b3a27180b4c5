"""`ialctl docs` and `ialctl scripts`: what is shipped along."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import scripts
from ialctl.app import run
from ialctl.commands.docs import find, topics

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is shipped is found from any folder."""
    monkeypatch.chdir(tmp_path)


def test_every_page_is_a_topic(capsys: pytest.CaptureFixture[str]) -> None:
    """With what it is about, as its title says."""
    assert run(["docs", "--output", "jsonl"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"readme", "changelog", "license", *PAGES} == {row["topic"] for row in rows}
    assert all(row["title"] for row in rows)


@pytest.mark.parametrize("topic", ["exit-codes", "Exit-Codes.md"])
def test_in_a_pipe_a_page_is_as_it_was_written(
    topic: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Markdown, line by line; in JSON it stands beside its title."""
    page = (ROOT / "docs" / "exit-codes.md").read_text()
    assert run(["docs", topic]) == 0
    assert capsys.readouterr().out.rstrip("\n") == page.rstrip("\n")
    assert run(["docs", topic, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["markdown"] == page


@pytest.mark.parametrize("topic", ["../pyproject", "", "nothing-like-it"])
def test_what_is_no_topic_is_refused(topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Only pages that are listed are shown."""
    assert run(["docs", topic]) == 2
    assert "There is no topic" in capsys.readouterr().err


def test_topics_are_files_that_are_there() -> None:
    """Each can be opened."""
    assert all(find(topics(), name).is_file() for name in topics())


def test_the_scripts_of_the_folder_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with what it does; what builds the program is none of them."""
    assert run(["scripts", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    files = {path.stem for path in (ROOT / "scripts").glob("[!_]*.py")}
    assert {row["script"] for row in rows} == files
    assert all(row["does"] for row in rows)


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ("return 3", 3),
        ("return None", 0),
        ("sys.exit(4)", 4),
        ("sys.exit('told why')", 1),
        ("raise DifferenceError('It differs.')", 3),
    ],
)
def test_a_script_ends_with_its_own_code(
    ends: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """However it ends; it gets the words after --, options too."""
    name = f"made_up_{code}_{len(ends)}"
    program = (
        "import sys\nfrom core.errors import DifferenceError\n"
        f"def main(arguments):\n    print(arguments)\n    {ends}\n"
    )
    (tmp_path / f"{name}.py").write_text(program)
    monkeypatch.setattr(scripts, "__path__", [*scripts.__path__, str(tmp_path)])
    assert run(["scripts", "run", name, "--", "--fast", "x"]) == code
    assert capsys.readouterr().out == "['--fast', 'x']\n"


@pytest.mark.parametrize("name", ["building", "os", "../evil"])
def test_only_scripts_are_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No other module can be named."""
    arguments: Sequence[str] = ["scripts", "run", name]
    assert run(list(arguments)) == 2
    assert "There is no script" in capsys.readouterr().err
