"""`ialctl import` and `ialctl context`, as a user types them."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from core.aws.session import AwsSession
from core.memory.opening import open_store
from core.settings import Settings
from tests.cli.memory_cli import MemoryCli
from tests.tables import delete_table
from tests.waiting import until

# Five batches: the first has its checkpoint while the others are still to come.
MANY = 2000


@pytest.fixture
def cli(settings: Settings, aws: AwsSession, capsys: pytest.CaptureFixture[str]) -> MemoryCli:
    """The commands, with a history table to work on."""
    made = MemoryCli(settings, capsys)
    made.deploy(aws)
    return made


def line(n: int, **more: Any) -> str:
    """A record with a time of its own."""
    record = {"role": "user", "content": f"text {n}", "timestamp": 1_700_000_000 + n, **more}
    return json.dumps(record) + "\n"


def stored(settings: Settings, user: str = "u") -> list[str]:
    """The contents of all of a user's messages, newest first."""
    with open_store(AwsSession(settings), settings.project) as store:
        return [m.content for page in store.read_all(user) for m in page.items]


def test_import_then_again_changes_nothing(cli: MemoryCli, tmp_path: Path) -> None:
    """The second import of a file finds everything there already."""
    file = tmp_path / "chat.jsonl"
    file.write_text("".join(map(line, range(50))))
    first = cli("import", file, "--user", "u", "--json").json
    again = cli("import", file, "--user", "u", "--json").json
    assert (first["imported"], first["already"], first["failed"]) == (50, 0, 0)
    assert (again["imported"], again["already"]) == (0, 50)
    assert first["schema"] == "ialctl.import/1"
    assert first["consumed"]["write_units"] == 150
    assert len(stored(cli.settings)) == 50


def test_bad_lines_are_told_and_passed_over(cli: MemoryCli, tmp_path: Path) -> None:
    """Line number and reason on stderr and in the JSON; the good ones are stored; exit 0."""
    file = tmp_path / "chat.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + (line(1) + "{oops\n" + line(2)).encode() + b'{"role": "us')
    answer = cli("import", file, "--user", "u", "--json")
    assert answer.code == 0
    assert [f["line"] for f in answer.json["failures"]] == [2, 4]
    assert "line 2: not JSON" in answer.err
    assert answer.json["imported"] == 2


def test_on_error_stop_ends_there(cli: MemoryCli, tmp_path: Path) -> None:
    """What stands before the bad record is stored; the error names it; exit 1."""
    file = tmp_path / "chat.jsonl"
    file.write_text(line(1) + "{oops\n" + line(2))
    answer = cli("import", file, "--user", "u", "--on-error", "stop")
    assert answer.code == 1
    assert "Record 2 can't be used" in answer.err
    assert stored(cli.settings) == ["text 1"]


def test_odd_messages_survive(cli: MemoryCli, tmp_path: Path) -> None:
    """Empty, huge, with NUL, and two in one microsecond: all are stored as they are."""
    contents = ["", "x" * 5_000_000, "a\x00b\x1b[2J", "one", "two"]
    file = tmp_path / "chat.jsonl"
    records = [line(min(n, 3), content=content) for n, content in enumerate(contents)]
    file.write_text("".join(records))
    assert cli("import", file, "--user", "a#b%🦊", "--json").json["imported"] == 5
    assert sorted(stored(cli.settings, "a#b%🦊")) == sorted(contents)
    shown = cli("context", "b", "--user", "a#b%🦊")
    assert shown.code == 0
    assert "\x1b" not in shown.out
    assert "\x00" not in shown.out


@pytest.mark.parametrize(
    ("when", "reason"), [("1066-10-14", "1970 to 2286"), ("2999-01-01", "1970 to 2286")]
)
def test_far_times_are_told(cli: MemoryCli, tmp_path: Path, when: str, reason: str) -> None:
    """A time that no key can hold is a bad record; nothing else is held up."""
    file = tmp_path / "chat.jsonl"
    file.write_text(line(1, timestamp=when) + line(2))
    answer = cli("import", file, "--user", "u")
    assert answer.code == 0
    assert reason in answer.err
    assert stored(cli.settings) == ["text 2"]


def test_expiry_counts_from_the_import(cli: MemoryCli, tmp_path: Path) -> None:
    """An old conversation does not expire at once; `never` leaves the expiry out."""
    file = tmp_path / "chat.jsonl"
    file.write_text(line(1))
    answer = cli("import", file, "--user", "u", "--expire-days", "2", "--json").json
    assert answer["expires_at"] == pytest.approx(time.time() + 2 * 86_400, abs=60)
    never = cli("import", file, "--user", "v", "--expire-days", "never", "--json").json
    assert never["expires_at"] is None
    assert stored(cli.settings, "u") == stored(cli.settings, "v") == ["text 1"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--user", ""),
        ("--user", "x" * 3000),
        ("--user", "u", "--expire-days", "0"),
        ("--user", "u", "--expire-days", "soon"),
        ("--user", "u", "--on-error", "ignore"),
        ("--user", "u", "--format", "xml"),
        ("--user", "u", "--session", ""),
    ],
)
def test_wrong_options_exit_2(cli: MemoryCli, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Each value that can't be used is a sentence and exit code 2."""
    file = tmp_path / "chat.jsonl"
    file.write_text(line(1))
    answer = cli("import", file, *arguments)
    assert answer.code == 2
    assert answer.out == ""


def test_a_missing_file_exits_1(cli: MemoryCli, tmp_path: Path) -> None:
    """The file is named."""
    answer = cli("import", tmp_path / "none.jsonl", "--user", "u")
    assert answer.code == 1
    assert "none.jsonl" in answer.err


@pytest.mark.parametrize("command", ["import", "context"])
def test_nothing_deployed_names_the_cure(
    settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    """Without the table the sentence says so, and what to type."""
    file = tmp_path / "chat.jsonl"
    file.write_text(line(1))
    subject = file if command == "import" else "question?"
    answer = MemoryCli(settings, capsys)(command, subject, "--user", "u")
    assert answer.code == 1
    assert "No conversation memory is deployed here" in answer.err
    assert "ialctl start" in answer.err


def test_a_dry_run_stores_nothing(cli: MemoryCli, tmp_path: Path) -> None:
    """It counts, and the table stays empty."""
    file = tmp_path / "chat.jsonl"
    file.write_text(line(1))
    assert "1 would be imported" in cli("import", file, "--user", "u", "--dry-run").out
    assert stored(cli.settings) == []


def test_standard_input_is_read(cli: MemoryCli, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` takes a stream, without a checkpoint."""
    content = "".join(map(line, range(3))).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert cli("import", "-", "--user", "u", "--json").json["imported"] == 3


def test_locomo_and_three_of_its_questions(cli: MemoryCli, locomo: Path) -> None:
    """Imported whole; the evidence of at least two of three questions is in the context."""
    done = cli("import", locomo, "--format", "locomo", "--user", "demo", "--json").json
    assert (done["imported"], done["failed"]) == (2760, 0)
    sample = json.loads(locomo.read_bytes())[0]
    found = 0
    for question in sample["qa"][:3]:
        built = cli("context", question["question"], "--user", "demo", "--json").json
        ids = {shown["message_id"] for shown in built["lines"]}
        evidence = {f"{sample['sample_id']}-{turn}" for turn in question["evidence"]}
        found += evidence <= ids
        assert built["tokens"] <= built["budget_tokens"] == 2000
        assert built["consumed"]["read_units"] > 0
    assert found >= 2


def _start(cli: MemoryCli, file: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "ialctl", "import", str(file), "--user", "u", *cli.options],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _wait_for_checkpoint(cli: MemoryCli) -> None:
    folder = cli.settings.project_state_dir / "imports"
    until(lambda: any(folder.glob("*.json")))


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_an_ended_import_goes_on(
    cli: MemoryCli, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    """Stopped or killed in the middle: the next run adds what is missing, and doubles nothing."""
    file = tmp_path / "chat.jsonl"
    file.write_text("".join(map(line, range(MANY))))
    process = _start(cli, file)
    _wait_for_checkpoint(cli)
    process.send_signal(sent)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    if sent != signal.SIGKILL:
        assert b"Run the same command again" in err
    before = len(stored(cli.settings))
    assert 0 < before < MANY
    answer = cli("import", file, "--user", "u", "--json").json
    assert answer["resumed"] > 0
    assert answer["imported"] == MANY - before
    assert answer["imported"] + answer["already"] == MANY
    assert sorted(stored(cli.settings)) == sorted(f"text {n}" for n in range(MANY))


def test_a_checkpoint_of_an_emptied_table_stands_for_nothing(
    cli: MemoryCli, aws: AwsSession, tmp_path: Path
) -> None:
    """Where the data are gone, the import begins anew although a checkpoint says otherwise."""
    file = tmp_path / "chat.jsonl"
    file.write_text("".join(map(line, range(MANY))))
    process = _start(cli, file)
    _wait_for_checkpoint(cli)
    process.kill()
    process.communicate(timeout=30)
    delete_table(aws, f"{cli.settings.project}-conversation-history-v2")
    delete_table(aws, f"{cli.settings.project}-conversation-embeddings")
    cli.deploy(aws)
    answer = cli("import", file, "--user", "u", "--json").json
    assert (answer["imported"], answer["resumed"]) == (MANY, 0)
