"""`ialctl cost`: what it prints, where its figures come from, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.aws.session import AwsSession
from core.cost.offers import PriceList
from core.cost.usage import Terms, Usage
from core.errors import EndpointUnreachableError
from core.memory.schema import embeddings_schema, history_schema
from core.settings import Settings, load_settings
from ialctl.app import run
from ialctl.context import AppContext
from ialctl.costing import Question, table
from ialctl.output import Output
from tests.cli.memory_cli import Answer, MemoryCli
from tests.unit.cost.examples import LEGACY, OPTIMIZED
from tests.unit.cost.price_server import offer, price_server

Cli = Callable[..., Answer]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """`ialctl cost` in an empty folder, with no setting of the tester's."""
    monkeypatch.chdir(tmp_path)
    for name in ("IAL_REGION", "AWS_REGION", "AWS_DEFAULT_REGION", "IAL_TARGET", "IAL_EMBEDDER"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str | Path) -> Answer:
        capsys.readouterr()
        code = run(["cost", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture
def round_figures(tmp_path: Path) -> Path:
    """A benchmark's result of round figures."""
    path = tmp_path / "round.json"
    profiles = {"legacy": LEGACY.to_json(), "optimized": OPTIMIZED.to_json()}
    path.write_text(json.dumps({"profiles": profiles}))
    return path


@pytest.mark.parametrize("terms", ["on-demand", "provisioned", "standard-ia"])
@pytest.mark.parametrize("users", ["0", "1000", "10000000", "1e12"])
def test_the_table_fits_80_columns(cli: Cli, terms: str, users: str) -> None:
    """With every line shown, and millions of dollars; the claim's fate in a line of its own."""
    answer = cli(
        *("--users", users, "--terms", terms, "--embedder", "titan"),
        *("--lines", "--free-tier", "--exports-per-month", "4"),
    )
    assert answer.code == 0
    assert max(map(len, answer.out.splitlines())) <= 80
    (verdict,) = re.findall(r"^61% lower cost \(claimed\): (holds|does not hold)", answer.out, re.M)
    assert verdict
    for block in (
        "COMPONENT",
        "LEGACY\n",
        "THE SAME USE",
        "TERMS",
        "SEARCH BY VECTOR",
        "What else",
    ):
        assert f"\n\n{block}" in answer.out
    assert answer.err == ""


def test_it_needs_no_endpoint(cli: Cli, tmp_path: Path) -> None:
    """It computes: nothing is started, nothing written but the log."""
    assert cli().code == 0
    assert not list(tmp_path.glob("**/endpoint*"))


def test_json_has_every_figure_with_its_reason(cli: Cli, round_figures: Path) -> None:
    """One stable object: bills by line and component, labels, claim, terms, advice."""
    answer = cli("--from", round_figures, "--users", "1000", "--json")
    found = answer.json
    assert found["schema"] == "ialctl.cost/1"
    assert set(found) == {
        *("schema", "month_hours", "usage", "terms", "prices", "profiles", "labels", "legacy"),
        *(
            "optimized",
            "also_standing",
            "saved",
            "claim",
            "by_terms",
            "scenarios",
            "vector_index",
            "advice",
        ),
    }
    assert found["labels"] == {"legacy": "modelled", "optimized": "modelled"}
    assert found["profiles"]["optimized"] == OPTIMIZED.to_json()
    for bill in (found["legacy"], found["optimized"]):
        assert sum(bill["components"].values()) == pytest.approx(bill["total"], abs=1e-5)
        assert sum(line["dollars"] for line in bill["lines"]) == pytest.approx(
            bill["total"], abs=1e-4
        )
    assert cli("--from", round_figures, "--users", "1000", "--json").out == answer.out


def test_the_newest_benchmark_of_the_project_is_used(cli: Cli, round_figures: Path) -> None:
    """Without being named; the answer says which, and what it passed over."""
    folder = Path(".ialctl/ial/benchmarks")
    folder.mkdir(parents=True)
    round_figures.rename(folder / "run-1.json")
    (folder / "run-2.json").write_text("{")
    answer = cli()
    assert "Units: run-1.json: round figures" in answer.out
    assert "Passed over: '.ialctl/ial/benchmarks/run-2.json' is not JSON" in answer.err


def test_the_settings_embedder_is_what_is_billed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bedrock by tokens; those that run on one's own machine not at all; the option wins."""
    monkeypatch.setenv("IAL_EMBEDDER", "bedrock")
    assert cli("--json").json["terms"]["embedder"] == "titan"
    assert cli("--json", "--embedder", "hashing").json["terms"]["embedder"] == "hashing"
    monkeypatch.setenv("IAL_EMBEDDER", "ollama")
    assert cli("--json").json["terms"]["embedder"] == "hashing"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--users", "-1"), 2, "--users is -1"),
        (("--users", "many"), 2, "--users"),
        (("--cold-share", "2"), 2, "share of cold contexts"),
        (("--terms", "free"), 2, "--terms is 'free'"),
        (("--embedder", "gpt"), 2, "--embedder is 'gpt'"),
        (("--peak-to-mean", "0"), 2, "peak is 0"),
        (("--legacy-vectors", "some"), 2, "--legacy-vectors is 'some'"),
        (("--from", "nowhere.json"), 1, "'nowhere.json' can't be read"),
        (("--refresh", "--region", "../up"), 2, "no AWS region"),
        (("--measured", "--days", "61", "--endpoint-url", "http://127.0.0.1:1"), 2, "--days is 61"),
    ],
)
def test_what_can_not_be_used_is_a_sentence(
    cli: Cli, arguments: tuple[str, ...], code: int, told: str
) -> None:
    """With what to do; nothing on stdout."""
    answer = cli(*arguments)
    assert (answer.code, answer.out) == (code, "")
    assert told in answer.err
    assert "→" in answer.err


def test_a_refresh_is_used_by_later_runs(cli: Cli, tmp_path: Path) -> None:
    """Of that region alone; its date is shown. One that fails exits 4, and what is saved stays."""
    ireland = ("--region", "eu-west-1", "--state-dir", str(tmp_path))
    settings = load_settings(
        {"region": "eu-west-1", "state_dir": str(tmp_path)}, environment={}, folder=tmp_path
    )
    context = AppContext(settings, Output())
    asked = Question(
        Usage(1_000, 20, 365), Terms(), None, None, refresh=True, measured=False, days=7
    )
    with price_server({"eu-west-1": offer("EU-")}) as url:
        fetched = asked.answer(context, PriceList(url, connect_s=1.0))
    with pytest.raises(EndpointUnreachableError) as raised:
        asked.answer(context, PriceList(url, connect_s=1.0))
    assert raised.value.exit_code == 4
    later = cli(*ireland)
    assert "Prices: AWS's price list, as of 2026-11-03" in later.out
    assert later.out == table(fetched, lines=False) + "\n"
    assert "as of 2026-09" in cli("--state-dir", tmp_path).out


class TestMeasured:
    """Against an endpoint with CloudWatch, into which the test puts what DynamoDB would."""

    @pytest.fixture
    def deployed(
        self, settings: Settings, aws: AwsSession, capsys: pytest.CaptureFixture[str]
    ) -> MemoryCli:
        """The optimized tables, with an hour of consumption."""
        cli = MemoryCli(settings, capsys)
        cli.deploy(aws)
        return cli

    def test_what_stands_is_billed_by_what_cloudwatch_tells(
        self, deployed: MemoryCli, aws: AwsSession
    ) -> None:
        """Tables and indexes apart, scaled to a month; the other layout modelled for that use."""
        table = history_schema(deployed.settings.project).name
        vectors = embeddings_schema(deployed.settings.project).name
        aws.client("dynamodb").put_item(
            TableName=table, Item={"user_date": {"S": "a#b"}, "timestamp_type": {"S": "c"}}
        )
        for metric, name, index, units in (
            ("ConsumedWriteCapacityUnits", table, None, 1_000.0),
            ("ConsumedWriteCapacityUnits", table, "UserTimeIndex", 1_000.0),
            ("ConsumedWriteCapacityUnits", vectors, None, 4_000.0),
            ("ConsumedReadCapacityUnits", table, None, 900.0),
        ):
            _put(aws, metric, name, index, units)
        found = deployed("cost", "--measured", "--users", "10", "--json").json
        assert found["labels"] == {"legacy": "modelled", "optimized": "measured"}
        amounts = {
            (line["component"], line["what"]): line["amount"]
            for line in found["optimized"]["lines"]
            if line["unit"].startswith("million")
        }
        # The table is younger than an hour, which counts as one: 730 of them in a month.
        assert amounts["write", table] == pytest.approx(730 * 0.001)
        assert amounts["write", f"{table}/UserTimeIndex"] == pytest.approx(730 * 0.001)
        assert amounts["indexes", vectors] == pytest.approx(730 * 0.004)
        assert amounts["read", table] == pytest.approx(730 * 0.0009)
        each = sum(found["profiles"]["optimized"][f"{kind}_wru"] for kind in ("append", "index"))
        assert found["usage"]["messages_per_day"] == pytest.approx(6_000 * 24 / each / 10)

    def test_without_tables_or_writes_it_says_so(
        self, settings: Settings, aws: AwsSession, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """One sentence each, exit 2, and how to model it in place."""
        cli = MemoryCli(settings, capsys)
        nothing = cli("cost", "--measured")
        assert (nothing.code, nothing.out) == (2, "")
        assert "None of the project's tables stands" in nothing.err
        cli.deploy(aws)
        silent = cli("cost", "--measured")
        assert (silent.code, silent.out) == (2, "")
        assert "no writes" in silent.err
        assert "--modelled" in silent.err


def _put(aws: AwsSession, metric: str, table: str, index: str | None, units: float) -> None:
    dimensions = [{"Name": "TableName", "Value": table}]
    if index:
        dimensions.append({"Name": "GlobalSecondaryIndexName", "Value": index})
    point: dict[str, Any] = {
        "MetricName": metric,
        "Dimensions": dimensions,
        "Timestamp": datetime.now(UTC),
        "Value": units,
        "Unit": "Count",
    }
    aws.client("cloudwatch").put_metric_data(Namespace="AWS/DynamoDB", MetricData=[point])
