"""`ialctl benchmark` against a real endpoint."""

from __future__ import annotations

import json
import os
import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from core.aws.capacity import TableSchema
from core.aws.session import AwsSession
from core.benchmark.layouts.job import FOLDER
from core.settings import Settings
from ialctl.app import run
from scripts import test_dynamodb_performance as script
from tests import forked
from tests.cli.memory_cli import MemoryCli
from tests.tables import create_table
from tests.waiting import until

QUICK = ("--messages", "110", "--rounds", "2")


@pytest.fixture
def cli(settings: Settings, capsys: pytest.CaptureFixture[str]) -> MemoryCli:
    """The command line; nothing is deployed."""
    return MemoryCli(settings, capsys)


def tables(settings: Settings) -> list[str]:
    """The benchmark's tables that stand."""
    pages = AwsSession(settings).client("dynamodb")
    names: list[str] = []
    answer = pages.list_tables()
    names += answer["TableNames"]
    while last := answer.get("LastEvaluatedTableName"):
        answer = pages.list_tables(ExclusiveStartTableName=last)
        names += answer["TableNames"]
    return [name for name in names if name.startswith(f"{settings.project}-bench-")]


def begun(cli: MemoryCli, settings: Settings, err: Path) -> ForkServerProcess:
    """A benchmark in a process of its own, whose tables stand."""
    arguments = ["benchmark", "--messages", "3000", *cli.options]
    process = forked.begin(forked.main, arguments, err=err)
    until(lambda: len(tables(settings)) == 3)
    return process


@pytest.fixture(scope="module")
def saved(endpoint_url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that saved its result, wrote a page, and was shown."""
    folder = tmp_path_factory.mktemp("benchmark")
    where = ["--endpoint-url", endpoint_url, "--project", "t-saved", "--state-dir", str(folder)]
    files = ["--save", "base.json", "--report", "report.html"]
    done = forked.ialctl(["benchmark", *QUICK, *files, *where], folder, dict(os.environ))
    assert done.returncode == 0, done.stderr
    (folder / "shown.txt").write_text(done.stdout)
    return folder


def test_a_result_has_every_figure(saved: Path) -> None:
    """Counts, times, recall, memory, claims; a table and a page; the newest for `ialctl cost`."""
    result = json.loads((saved / "base.json").read_text())
    by_name = {(r["layout"], r["operation"]): r for r in result["measurements"]}
    assert len(by_name) == 2 * 6 + 5 + 2
    legacy, optimized = by_name["legacy", "context_warm"], by_name["optimized", "context_warm"]
    assert legacy["embeddings"] == 101
    assert optimized["embeddings"] <= 1
    assert optimized["rounds"] == 1
    assert by_name["optimized", "recent"]["read_units"] <= 1
    assert by_name["optimized", "context_cold"]["requests"] <= 4
    assert by_name["legacy", "append"]["write_units"] >= 1
    assert all(not row["errors"] for row in by_name.values())
    assert optimized["recall"] == 1
    names = {m["layout"] for m in result["memory"]}
    assert names == {layout for layout, _ in by_name}
    assert all(m["peak_bytes"] >= m["held_bytes"] > 0 for m in result["memory"])
    assert {c["label"] for c in result["claims"]} == {"measured", "modelled"}
    assert (saved / "report.html").read_text().startswith("<!doctype html>")
    latest = saved / "t-saved" / FOLDER / "latest.json"
    assert json.loads(latest.read_text()) == result
    shown = (saved / "shown.txt").read_text()
    assert "Is it better?" in shown
    assert "as much found" in shown
    inline = by_name["legacy, vectors inline", "context_warm"]
    assert inline["read_units"] > 5 * legacy["read_units"]
    assert inline["embeddings"] == 1
    assert set(result["profiles"]) == {"legacy", "optimized", "legacy_inline"}


def test_a_saved_result_is_compared_with_and_a_loss_ends_with_3(
    cli: MemoryCli, saved: Path, tmp_path: Path, settings: Settings
) -> None:
    """Fewer units in the base are a loss; other conditions are not compared; no table is left."""
    better = json.loads((saved / "base.json").read_text())
    for row in better["measurements"]:
        row["read_units"] /= 4 if row["operation"] == "search" else 1
    base = tmp_path / "better.json"
    base.write_text(json.dumps(better))
    worse = cli("benchmark", *QUICK, "--compare", base, "--tolerance", "400", "--json")
    assert worse.code == 3
    lost = [(loss["operation"], loss["quantity"]) for loss in worse.json["losses"]]
    assert lost == [("search", "read units")]
    assert "measured three times" in worse.err
    same = cli(
        "benchmark", *QUICK, "--compare", saved / "base.json", "--tolerance", "900", "--json"
    )
    assert (same.code, same.json["losses"]) == (0, [])
    other = cli("benchmark", *QUICK, "--compare", base, "--rtt-ms", "1")
    assert other.code == 2
    assert "its rtt_ms is 0.0, here it is 1.0" in other.err
    assert tables(settings) == []


def test_load_is_measured_with_faults_in_the_middle(cli: MemoryCli, settings: Settings) -> None:
    """An open loop answers as many as it was asked for; retries hide the faults."""
    answer = cli(
        *("benchmark", "--users", "3", "--rate", "30", "--duration", "1", "--json"),
        *("--fault", "throttling=0.2", "--fault", "latency=0.1:20"),
    )
    assert answer.code == 0, answer.err
    for tested in answer.json["load"]:
        assert [step["step"] for step in tested["steps"]] == ["before", "with faults", "after"]
        assert [step["calls"] for step in tested["steps"]] == [30, 30, 30]
        assert all(not step["errors"] for step in tested["steps"])
    assert tables(settings) == []


def test_a_rising_load_ends_where_p99_passes_the_limit(cli: MemoryCli) -> None:
    """A limit that nothing can keep is passed at the first rate, tried twice."""
    answer = cli(
        *("benchmark", "--users", "2", "--ramp", "--rate", "5", "--duration", "0.4"),
        *("--p99-limit-ms", "0.01"),
    )
    assert answer.code == 0, answer.err
    assert answer.out.count("bears not even the first step with p99 within 0.01 ms") == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_removes_the_tables(
    settings: Settings, cli: MemoryCli, number: int, tmp_path: Path
) -> None:
    """130 or 143, and how to go on."""
    err = tmp_path / "err"
    process = begun(cli, settings, err)
    os.kill(process.pid or 0, number)
    process.join(forked.TIMEOUT_S)
    assert process.exitcode == (130 if number == signal.SIGINT else 143), err.read_text()
    assert "its tables are removed" in err.read_text()
    assert tables(settings) == []


def test_what_a_killed_run_left_is_removed_by_the_next(
    settings: Settings, cli: MemoryCli, tmp_path: Path
) -> None:
    """And only that: another project's tables stay."""
    process = begun(cli, settings, tmp_path / "err")
    process.kill()
    process.join(forked.TIMEOUT_S)
    assert len(tables(settings)) == 3
    session = AwsSession(settings)
    foreign = f"{settings.project}-bench-of-somebody"
    create_table(session, TableSchema(foreign, "k"))
    assert cli("benchmark", "--messages", "20", "--rounds", "2").code == 0
    assert tables(settings) == [foreign]


def test_two_at_once_are_refused(settings: Settings, cli: MemoryCli) -> None:
    """They would disturb each other's times."""
    folder = settings.project_state_dir / FOLDER
    folder.mkdir(parents=True)
    with FileLock(folder / "benchmark.lock"):
        answer = cli("benchmark", *QUICK)
    assert answer.code == 5
    assert "Another benchmark of this project is running here." in answer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--messages", "1"], "A history of 1 messages can't be measured."),
        (["--rounds", "1"], "1 rounds show no noise."),
        (["--rtt-ms", "-1"], "below 0"),
        (["--fault", "redis"], "--fault needs load to disturb."),
        (["--rate", "10", "--fault", "fire"], "There is no fault 'fire'."),
        (["--rate", "10", "--fault", "throttling=2"], "There is no fault 'throttling=2'."),
        (["--rate", "10", "--fault", "redis"], "takes a Redis away, and none is set"),
        (["--rate", "0"], "not above 0"),
        (["--rate", "nan"], "not above 0, or no number"),
        (["--rate", "5", "--duration", "inf"], "not above 0, or no number"),
        (["--tolerance", "nan"], "below 0, or no number"),
        (["--compare", "none.json"], "The result 'none.json' can't be read"),
        (["--dataset", "none.json"], "The file 'none.json' can't be read"),
        (["--save", "/dev/null"], "is no ordinary file"),
        (["--report", "no/such/report.html"], "lies in a folder that is not there"),
        (["--rate", "9", "--compare", "x.json"], "Load is put on both layouts alone"),
    ],
)
def test_what_can_not_be_done_is_refused_before_anything_runs(
    cli: MemoryCli, settings: Settings, arguments: list[str], said: str
) -> None:
    """One sentence, exit 1 or 2, no table."""
    answer = cli("benchmark", *arguments)
    assert answer.code in (1, 2)
    assert said in answer.err
    assert tables(settings) == []


def test_a_data_set_takes_the_place_of_made_conversations(cli: MemoryCli, tmp_path: Path) -> None:
    """Messages of a file, asked in their own words; its digest stands in the result."""
    texts = [f"On day {n} we saw {n + 3} otters near bridge {n * 7}" for n in range(60)]
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(json.dumps({"role": "user", "content": t}) for t in texts))
    answer = cli("benchmark", "--dataset", path, "--rounds", "2", "--json")
    assert answer.code == 0, answer.err
    about: dict[str, Any] = answer.json["conditions"]
    assert (about["dataset"], about["sizes"]) == ("mine.jsonl", [60])
    assert len(about["digest"]) == 64


def test_the_script_runs_the_same(
    settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """By its old name: sentences and a line a figure, the exit codes of the tool."""
    where = ["--project", settings.project, "--state-dir", str(tmp_path)]
    where += ["--endpoint-url", str(settings.endpoint_url)]
    assert script.main(["--messages", "20", "--rounds", "2", *where]) == 0
    assert "context_warm" in capsys.readouterr().out
    assert script.main(["--messages", "1", *where]) == 2
    assert "can't be measured" in capsys.readouterr().err


def test_at_aws_it_asks_first(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """With about what it costs; without a terminal and --yes nothing is sent."""
    where = ["--target", "aws", "--region", "eu-west-1", "--state-dir", str(settings.state_dir)]
    assert run(["benchmark", *where]) == 7
    assert "about $0.07" in capsys.readouterr().err
