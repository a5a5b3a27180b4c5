"""`ialctl validate` as it is typed: what it says, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.aws.session import AwsSession
from core.memory.schema import legacy_history_schema
from core.settings import Settings
from tests.cli.memory_cli import MemoryCli
from tests.engines import conversation
from tests.tables import create_table
from tests.validated import Memory

USER = "a user with a rather long name, which fills a column of any table" * 3


@pytest.fixture
def cli(settings: Settings, capsys: pytest.CaptureFixture[str]) -> MemoryCli:
    """The commands."""
    return MemoryCli(settings, capsys)


@pytest.fixture
def memory(settings: Settings, aws: AwsSession) -> Memory:
    """What stands, to break it."""
    return Memory(aws, settings)


def fill(memory: Memory) -> None:
    """A conversation."""
    with memory.engine() as engine:
        engine.import_messages(USER, conversation(USER, 20))


def test_a_deployed_memory(
    cli: MemoryCli, memory: Memory, cloudformation: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole: exit 0. Broken: exit 3, each finding with its cure; repaired as far as it goes."""
    monkeypatch.chdir(Path(__file__).parents[2])
    assert cli("start", "--yes", "-q").code == 0
    fill(memory)
    whole = cli("validate", "--json")
    assert (whole.code, whole.json["schema"]) == (0, "ialctl.validate/1")
    assert whole.json["clean"]
    assert whole.json["structure"] == []
    assert whole.json["data"]["messages"] == 20
    heads = memory.heads(USER)
    memory.history.put({**heads[0], "summary": "?"})
    memory.history.put({**heads[1], "content": "Forged."})
    broken = cli("validate")
    assert broken.code == 3
    assert all(len(line) <= 80 for line in broken.out.splitlines()[:9])
    assert "1 wrong summary: A message's summaries" in broken.out
    assert "ialctl restore" in broken.out
    assert heads[1]["content"] not in broken.out
    assert "2 violations." in broken.err
    unsure = cli("validate", "--repair")
    assert unsure.code == 7
    shown = cli("validate", "--repair", "--dry-run", "--json")
    assert (shown.code, shown.json["repaired"], shown.json["dry_run"]) == (3, None, True)
    assert {f["kind"]: f["count"] for f in shown.json["data"]["findings"]} == {
        "wrong_summary": 1,
        "content_changed": 1,
    }
    assert memory.history.get(_key(heads[0])).item["summary"] == "?"
    done = cli("validate", "--repair", "--yes", "--json")
    assert done.code == 3
    assert done.json["repaired"]["done"] == {"wrong_summary": 1}
    assert [f["kind"] for f in done.json["data"]["findings"]] == ["content_changed"]
    memory.history.put(heads[1])
    memory.history.put({**heads[2], "summary": "?"})
    mended = cli("validate", "--repair", "--yes")
    assert mended.code == 0
    assert "Put right: 1 wrong summary" in mended.out


def _key(head: dict[str, object]) -> dict[str, object]:
    return {name: head[name] for name in ("user_date", "timestamp_type")}


def test_tables_that_no_stack_made(cli: MemoryCli, memory: Memory, aws: AwsSession) -> None:
    """The structure is violated, whatever the data; of a user alone it is not looked at."""
    cli.deploy(aws)
    fill(memory)
    found = cli("validate", "--json")
    assert found.code == 3
    assert found.json["structure"]
    assert found.json["data"]["clean"]
    alone = cli("validate", "--user", USER, "--max-rcu", "500", "--json")
    assert (alone.code, alone.json["structure"]) == (0, None)
    assert alone.json["data"]["messages"] == 20


def test_legacy_tables_alone(cli: MemoryCli, aws: AwsSession, settings: Settings) -> None:
    """There is nothing to validate: it says so, and what to do."""
    nothing = cli("validate")
    assert nothing.code == 1
    assert "ialctl start" in nothing.err
    create_table(aws, legacy_history_schema(settings.project))
    legacy = cli("validate")
    assert legacy.code == 1
    assert "only legacy tables" in legacy.err
    assert "ialctl migrate" in legacy.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--dry-run",), "none was asked for"),
        (("--max-rcu", "0"), "no budget"),
        (("--max-rcu", "nan"), "no budget"),
    ],
)
def test_slips(cli: MemoryCli, options: tuple[str, ...], says: str) -> None:
    """Options that make no sense are told before anything is read."""
    answer = cli("validate", *options)
    assert answer.code == 2
    assert says in answer.err
