"""`ialctl migrate`, at an endpoint: what it says, how it ends, and what stands afterwards."""

from __future__ import annotations

import functools
import json
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from core.aws.capacity import TableSchema
from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK
from core.memory.active import active_engine, operations_table
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.parts import open_parts
from core.memory.schema import history_schema, legacy_history_schema
from core.migration import wiring
from core.settings import Settings
from ialctl.app import run
from tests import forked
from tests.cli.memory_cli import MemoryCli
from tests.legacy_tables import create_legacy_table, fill_legacy
from tests.tables import create_table
from tests.waiting import until

ITEMS, USERS = 130, 5


@pytest.fixture
def cli(
    settings: Settings,
    aws: AwsSession,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> MemoryCli:
    """The commands, with a filled legacy table beside empty optimized ones."""
    monkeypatch.chdir(tmp_path)
    # What engines are given to notice a switch: there are none here.
    monkeypatch.setattr(wiring, "Options", functools.partial(wiring.Options, notice_s=0.5))
    made = MemoryCli(settings, capsys)
    made.deploy(aws)
    create_table(aws, TableSchema(operations_table(settings.project), "pk", "sk"))
    create_legacy_table(aws, settings.project)
    fill_legacy(aws, settings.project, items=ITEMS, users=USERS)
    return made


def scanned(aws: AwsSession, table: str) -> list[dict[str, Any]]:
    """All items of a table."""
    found: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    while True:
        page = aws.client("dynamodb").scan(TableName=table, ConsistentRead=True, **more)
        found += page["Items"]
        if "LastEvaluatedKey" not in page:
            return found
        more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def copied(aws: AwsSession, project: str) -> int:
    """How many messages stand in the optimized history."""
    return sum("message_id" in item for item in scanned(aws, history_schema(project).name))


def living(aws: AwsSession, project: str) -> int:
    """How many items of the legacy table have not expired."""
    now_s = SYSTEM_CLOCK.time()
    items = scanned(aws, legacy_history_schema(project).name)
    return sum(float(item.get("ttl", {"N": "inf"})["N"]) > now_s for item in items)


def test_bare_it_does_everything_then_nothing_and_then_cleans_up(
    cli: MemoryCli, aws: AwsSession, settings: Settings
) -> None:
    """Backup, copy, vectors, verification, cut-over; the second run backs up nothing.

    Once it may, the legacy table goes.
    """
    expected = living(aws, settings.project)
    answer = cli("migrate", "--yes", "--execute", "--json")
    assert answer.code == 0, answer.err
    steps = {step["step"]: step for step in answer.json["steps"]}
    assert list(steps) == ["plan", "backup", "deploy", "copy", "vectors", "verify", "cut over"]
    assert (answer.json["outcome"], answer.json["step"]) == ("done", "soak")
    assert copied(aws, settings.project) == expected
    assert active_engine(aws.client("dynamodb"), settings.project) == "optimized"
    assert cli("reindex", "--json").json["embedded"] == 0
    backups = list(Path("backups").iterdir())
    again = cli("migrate", "--yes", "--execute", "--json")
    assert (again.code, again.json["outcome"]) == (0, "nothing to do")
    assert list(Path("backups").iterdir()) == backups
    clean_up(cli, aws)


def clean_up(cli: MemoryCli, aws: AwsSession) -> None:
    """Deletes the legacy table: not before the soak is over, unless the project is named."""
    project = cli.settings.project
    assert cli("migrate", "cleanup", "--execute").code == 7
    assert cli("migrate", "cleanup", "--execute", "--confirm", "other").code == 7
    confirmed = ("migrate", "cleanup", "--confirm", project, "--json")
    assert "add `--execute`" in cli(*confirmed).err
    table = legacy_history_schema(project).name
    about = {"schema": "ialctl.migrate-cleanup/1", "outcome": "done", "table": table}
    assert cli(*confirmed, "--execute").json == about
    assert table not in aws.client("dynamodb").list_tables()["TableNames"]
    assert cli(*confirmed, "--execute").json["outcome"] == "nothing to do"
    assert cli("migrate", "--yes", "--execute").code == 0
    assert "[" not in cli("migrate", "status").out.splitlines()[0]


def test_without_execute_nothing_changes(
    cli: MemoryCli, aws: AwsSession, settings: Settings
) -> None:
    """Each command that would change something says what, and how to have it done."""
    before = scanned(aws, legacy_history_schema(settings.project).name)
    for name in ("guide", "run", "follow", "cutover", "rollback", "retry"):
        for options in ((), ("--yes",), ("--dry-run",)):
            answer = cli("migrate", name, *options)
            assert (answer.code, "Nothing was changed." in answer.err) == (0, True), name
    assert cli("migrate", "run", "--execute", "--dry-run").code == 2
    assert scanned(aws, operations_table(settings.project)) == []
    assert scanned(aws, history_schema(settings.project).name) == []
    assert scanned(aws, legacy_history_schema(settings.project).name) == before
    assert not Path("backups").exists()


def test_a_plan_tells_what_will_not_map(cli: MemoryCli, aws: AwsSession) -> None:
    """By reason, with the keys of the first; names from outside can't steer the terminal."""
    fill_legacy(aws, cli.settings.project, items=3, users=1, seed=9, unmappable=2, large=0)
    made = cli("migrate", "plan", "--json").json
    assert made["exact"]
    assert [one["count"] for one in made["unmapped"]] == [2]
    shown = cli("migrate", "plan").out
    assert "not mapped" in shown
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def begin(cli: MemoryCli, *arguments: str) -> ForkServerProcess:
    """Runs the command line in a process of its own."""
    return forked.begin(_run, [*arguments, *cli.options])


def _run(arguments: list[str]) -> None:
    raise SystemExit(run(arguments))


def test_another_process_pauses_throttles_and_resumes_it(cli: MemoryCli) -> None:
    """With the operations table alone; a second run is refused meanwhile."""
    assert cli("migrate", "pause", "--json").json["paused"]
    process = begin(cli, "migrate", "run", "--execute", "--quiet")
    until(lambda: waits(cli).startswith("paused"))
    status = cli("migrate", "status")
    assert "ialctl migrate resume" in status.out
    assert "[copy]" in status.out
    second = cli("migrate", "run", "--execute")
    assert second.code == 5
    assert cli("migrate", "throttle", "--max-wcu", "100000").out.endswith("100000 write units/s.\n")
    assert cli("migrate", "throttle").code == 2
    assert cli("migrate", "throttle", "--max-rcu", "nan").code == 2
    assert cli("migrate", "resume").code == 0
    process.join(forked.TIMEOUT_S)
    assert process.exitcode == 0
    told = cli("migrate", "status", "--json").json
    assert (told["step"], told["control"]["max_wcu"]) == ("verify", 100000)


def waits(cli: MemoryCli) -> str:
    """Why the run that goes on waits."""
    going = cli("migrate", "status", "--json").json["going"] or {}
    return str(going.get("waiting", ""))


def test_a_difference_blocks_the_cut_over_until_it_is_repaired(
    cli: MemoryCli, aws: AwsSession, settings: Settings
) -> None:
    """It is named with exit 3; healed, all goes on, and the way back brings what was written."""
    project = settings.project
    assert cli("migrate", "cutover", "--execute").code == 2
    assert cli("migrate", "run", "--execute").code == 0
    assert cli("migrate", "cutover", "--execute").code == 3
    victim = next(i for i in scanned(aws, history_schema(project).name) if "message_id" in i)
    key = {name: victim[name] for name in ("user_date", "timestamp_type")}
    aws.client("dynamodb").delete_item(TableName=history_schema(project).name, Key=key)
    found = cli("migrate", "verify")
    assert found.code == 3
    assert "missing" in found.out
    assert victim["user_id"]["S"][:30] in found.out
    assert cli("migrate", "cutover", "--execute").code == 3
    assert cli("migrate", "verify", "--repair", "--execute").code == 0
    assert cli("migrate", "cutover", "--execute", "--json").json["outcome"] == "done"
    with OptimizedContextEngine(open_parts(settings, aws)) as engine:
        engine.save_interaction_optimized("After the cut-over.", "I see.", "ada", "s-new")
    assert cli("migrate", "rollback", "--execute").code == 0
    texts = [
        i.get("content", {}).get("S") for i in scanned(aws, legacy_history_schema(project).name)
    ]
    assert "After the cut-over." in texts
    assert active_engine(aws.client("dynamodb"), project) == "legacy"


def test_what_can_not_be_mapped_goes_to_a_file_and_is_retried(
    cli: MemoryCli, aws: AwsSession, settings: Settings
) -> None:
    """Whole, with its reason; put right there, `retry` moves it; copied anew, vectors are kept."""
    project = settings.project
    written = fill_legacy(aws, project, items=2, users=1, seed=3, unmappable=1, large=0)
    failed = cli("migrate", "run", "--execute", "--dead-letters", "dead.jsonl")
    assert failed.code == 3
    assert "--max-failed" in failed.err
    letter = json.loads(Path("dead.jsonl").read_text().splitlines()[0])
    assert letter["Item"]["sort_key"] == written[-1]["sort_key"]
    assert cli("migrate", "run", "--execute", "--max-failed", "1").code == 0
    assert cli("migrate", "retry", "--execute").code == 3
    aws.client("dynamodb").put_item(
        TableName=legacy_history_schema(project).name,
        Item={**written[-1], "role": {"S": "user"}},
    )
    assert cli("migrate", "retry", "--execute", "--json").json["moved"] == 1
    assert cli("migrate", "status", "--json").json["failed"] == 0
    assert copied(aws, project) == living(aws, project)
    assert cli("reindex", "--json").json["embedded"] > 0
    assert cli("migrate", "run", "--execute", "--restart", "--json").json["outcome"] == "done"
    # Whoever copies anew must not lose what somebody paid for.
    assert cli("reindex", "--json").json["embedded"] == 0
