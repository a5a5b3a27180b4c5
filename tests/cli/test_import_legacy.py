"""`ialctl import --layout legacy`: conversations into the legacy table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.aws.boto_table import open_table
from core.aws.session import AwsSession
from core.memory.memory_manager import MemoryManager
from core.memory.schema import legacy_history_schema
from core.settings import Settings
from tests.cli.memory_cli import MemoryCli
from tests.tables import create_table

BEGIN_S = 1_700_000_000


@pytest.fixture
def cli(settings: Settings, capsys: pytest.CaptureFixture[str]) -> MemoryCli:
    """The commands; no table stands."""
    return MemoryCli(settings, capsys)


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    """Forty messages of two sessions."""
    path = tmp_path / "chat.jsonl"
    path.write_text("".join(line(n) for n in range(40)))
    return path


def line(n: int) -> str:
    """A record of a session that tells even from odd."""
    told = {"role": "user", "content": f"text {n}", "session_id": f"s{n % 2}"}
    return json.dumps({**told, "timestamp": BEGIN_S + n}) + "\n"


def legacy(settings: Settings, aws: AwsSession) -> MemoryManager:
    """The legacy engine's memory."""
    return MemoryManager(open_table(aws, legacy_history_schema(settings.project)))


def test_the_legacy_engine_reads_what_was_imported(
    cli: MemoryCli, chat: Path, settings: Settings, aws: AwsSession
) -> None:
    """In order, with sessions and times of their own."""
    create_table(aws, legacy_history_schema(settings.project))
    done = cli("import", chat, "--user", "a#b", "--layout", "legacy", "--json").json
    assert (done["imported"], done["already"], done["failed"]) == (40, 0, 0)
    found = legacy(settings, aws).get_session_history("a#b", "s1", limit=5)
    assert [m["content"] for m in found] == [f"text {n}" for n in (31, 33, 35, 37, 39)]
    assert found[-1].message.timestamp_us == (BEGIN_S + 39) * 1_000_000


def test_the_second_time_changes_nothing(
    cli: MemoryCli, chat: Path, settings: Settings, aws: AwsSession
) -> None:
    """A message that is put in again stays one, also where the file has grown."""
    create_table(aws, legacy_history_schema(settings.project))
    assert cli("import", chat, "--user", "ada", "--layout", "legacy").code == 0
    chat.write_text(chat.read_text() + line(40))
    again = cli("import", chat, "--user", "ada", "--layout", "legacy", "--json").json
    assert (again["imported"], again["already"]) == (1, 40)
    assert len(legacy(settings, aws).get_recent_context("ada", limit=100)) == 41


def test_where_it_is_not_deployed_the_flag_that_does_it_is_named(
    cli: MemoryCli, chat: Path
) -> None:
    """The cure is one command."""
    refused = cli("import", chat, "--user", "ada", "--layout", "legacy")
    assert refused.code == 1
    assert "`ialctl start --with-legacy`" in refused.err


def test_another_layout_is_a_slip(cli: MemoryCli, chat: Path) -> None:
    """It is refused before anything is sent."""
    refused = cli("import", chat, "--user", "ada", "--layout", "modern")
    assert refused.code == 2
    assert "Choose optimized or legacy." in refused.err
