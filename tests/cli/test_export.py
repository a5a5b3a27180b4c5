"""`ialctl export`: out and in again, nothing is lost and nothing changes."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from pathlib import Path

import pytest

from core.aws.session import AwsSession
from core.memory.exporting import to_lines
from core.memory.model import Message
from core.memory.opening import open_store
from core.settings import Settings
from tests.cli.memory_cli import MemoryCli


@pytest.fixture
def cli(settings: Settings, aws: AwsSession, capsys: pytest.CaptureFixture[str]) -> MemoryCli:
    """The commands, with a history table to work on."""
    made = MemoryCli(settings, capsys)
    made.deploy(aws)
    return made


def message(n: int, content: str = "text") -> Message:
    """A message of a day of its own."""
    return Message(
        "a#b%",
        f"s{n % 2}",
        f"m{n}",
        1_700_000_000_000_001 + n * 86_400_000_000,
        "user",
        content,
        {"speaker": "Ada", "n": n, "deep": {"list": [1, None, True, "é"]}},
        tokens=n,
    )


MESSAGES = [
    *map(message, range(30)),
    message(30, "\x00\x1b[31m line\nline \u2028 😀"),
    message(31, "x" * 900_000),
]


def fill(settings: Settings) -> None:
    """Stores the messages."""
    with open_store(AwsSession(settings), settings.project) as store:
        store.append_many(MESSAGES)


def read(settings: Settings, user: str) -> list[Message]:
    """All of a user's messages, oldest first."""
    with open_store(AwsSession(settings), settings.project) as store:
        return [m for p in store.read_all(user, oldest_first=True) for m in p.items]


def test_out_and_in_again_nothing_changes(cli: MemoryCli, tmp_path: Path) -> None:
    """What was exported and imported for another user is the same, message by message."""
    fill(cli.settings)
    answer = cli("export", "--user", "a#b%", "--to", tmp_path / "out.jsonl")
    assert answer.code == 0
    assert f"{len(MESSAGES)} messages" in answer.err
    done = cli(
        "import", tmp_path / "out.jsonl", "--user", "copy", "--expire-days", "never", "--json"
    ).json
    assert (done["imported"], done["failed"]) == (len(MESSAGES), 0)
    copies = [dataclasses.replace(m, user_id="a#b%") for m in read(cli.settings, "copy")]
    assert copies == read(cli.settings, "a#b%") == MESSAGES


def test_one_session_to_standard_output(cli: MemoryCli) -> None:
    """`--session` leaves the others out; every line is JSON, oldest first."""
    fill(cli.settings)
    lines = cli("export", "--user", "a#b%", "--session", "s0", "-q").out.rstrip("\n").split("\n")
    found = [json.loads(line) for line in lines]
    assert [f["message_id"] for f in found] == [m.message_id for m in MESSAGES[::2]]
    assert {f["session_id"] for f in found} == {"s0"}


def test_nobodys_messages_are_an_empty_file(cli: MemoryCli, tmp_path: Path) -> None:
    """A user who said nothing exports nothing, and that is no error."""
    assert cli("export", "--user", "nobody", "--to", tmp_path / "out").code == 0
    assert (tmp_path / "out").read_bytes() == b""


def test_a_file_that_can_not_be_written_leaves_nothing(cli: MemoryCli, tmp_path: Path) -> None:
    """A folder that is not there is one sentence; an old file stays as it was on failure."""
    answer = cli("export", "--user", "a#b%", "--to", tmp_path / "none" / "out")
    assert answer.code == 2
    assert "none" in answer.err
    (tmp_path / "old").write_text("old")
    assert cli("export", "--user", "", "--to", tmp_path / "old").code == 2
    assert [p.read_text() for p in tmp_path.iterdir() if p.name != "none"] == ["old"]


def test_a_place_where_no_file_can_be_is_wrong_usage(cli: MemoryCli, tmp_path: Path) -> None:
    """It is named as it was given, with what to do."""
    for place in (tmp_path, tmp_path / "none" / "x.jsonl"):
        answer = cli("export", "--user", "a", "--to", place)
        assert answer.code == 2
        assert f"--to '{place}'" in answer.err
        assert "→" in answer.err


def test_values_that_json_lacks_are_written_as_text_or_number() -> None:
    """Exact numbers keep their digits, bytes are base64, sets are lists."""
    odd = dataclasses.replace(
        message(1), metadata={"d": Decimal("1.10000000000000000001"), "b": b"\xff", "s": {"b", "a"}}
    )
    (line,) = to_lines([odd])
    assert b'"d":1.10000000000000000001' in line
    assert json.loads(line)["metadata"]["b"] == "/w=="
    assert json.loads(line)["metadata"]["s"] == ["a", "b"]
