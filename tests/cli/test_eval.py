"""`ialctl eval` against a real endpoint."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from core.aws.session import AwsSession
from core.errors import AlreadyExistsError
from core.memory.schema import embeddings_schema, history_schema
from core.settings import Settings
from tests.cli.memory_cli import MemoryCli
from tests.tables import create_table
from tests.unit.benchmark.conversations import asked, raw, sample
from tests.waiting import until

HAS_PLOTS = importlib.util.find_spec("matplotlib") is not None


@pytest.fixture
def cli(settings: Settings, aws: AwsSession, capsys: pytest.CaptureFixture[str]) -> MemoryCli:
    """The command line over an empty memory."""
    made = MemoryCli(settings, capsys)
    made.deploy(aws)
    with contextlib.suppress(AlreadyExistsError):
        create_table(aws, embeddings_schema(settings.project))
    return made


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two small conversations."""
    path = tmp_path / "small.json"
    path.write_bytes(raw(sample("one"), sample("two")))
    return path


def items(settings: Settings) -> int:
    """How many items stand in the memory's tables."""
    session = AwsSession(settings)
    schemas = (history_schema(settings.project), embeddings_schema(settings.project))
    return sum(len(session.client("dynamodb").scan(TableName=s.name)["Items"]) for s in schemas)


def test_what_is_found_is_told_and_nothing_is_left(cli: MemoryCli, dataset: Path) -> None:
    """A table with BM25 beside the engine; troubles of the file on stderr; both tables empty."""
    answer = cli("eval", "--dataset", dataset)
    assert answer.code == 0, answer.err
    assert "adversarial" in answer.out
    assert "BM25" in answer.out
    assert "one, question 5: 'D9:9' is no turn of this conversation" in answer.err
    assert items(cli.settings) == 0


def test_two_runs_are_the_same_bytes_but_for_times(cli: MemoryCli, dataset: Path) -> None:
    """The same data, seed and embedder: the same JSON, on stdout and saved."""
    saved = dataset.with_name("run.json")
    runs = [
        cli("eval", "--dataset", dataset, "--no-timings", "--json", "--save", saved)
        for _ in range(2)
    ]
    assert runs[0].out == runs[1].out
    found = runs[0].json
    assert found == json.loads(saved.read_text())
    assert found["schema"] == "ialctl.eval/1"
    assert found["recall"]["overall"]["engine"]["10"] == 1.0
    assert found["dataset"]["repaired"] == 4
    assert found["contexts"]["cold"]["contexts"] == 2
    assert found["contexts"]["cold"]["requests"]["mean"] > 0
    timed = cli("eval", "--dataset", dataset, "--json").json
    assert {k: v for k, v in timed.items() if k != "timings"} == found


def altered(saved: Path, **changes: Any) -> Path:
    """A saved run with other values."""
    run = json.loads(saved.read_text())
    path = saved.with_name("altered.json")
    path.write_text(json.dumps({**run, **changes}))
    return path


def test_a_run_is_held_against_a_saved_one(cli: MemoryCli, dataset: Path) -> None:
    """Equal: exit 0. Worse: a line for each figure, and exit 3; the run is shown all the same."""
    saved = dataset.with_name("run.json")
    assert cli("eval", "--dataset", dataset, "--save", saved).code == 0
    same = cli("eval", "--dataset", dataset, "--against", saved)
    assert same.code == 0, same.err
    contexts = json.loads(saved.read_text())["contexts"]
    contexts["warm"]["requests"]["mean"] -= 1
    better = altered(saved, against_exact={"recall_at_10": 2.0}, contexts=contexts)
    worse = cli("eval", "--dataset", dataset, "--against", better)
    assert worse.code == 3
    assert "recall, %" in worse.out
    assert "recall@10 against exact cosines fell from 200.00%" in worse.err
    assert "requests of a warm context rose from" in worse.err
    assert "in 2 figures" in worse.err


def test_what_cannot_be_compared_is_refused_before_anything_runs(
    cli: MemoryCli, dataset: Path
) -> None:
    """Another seed, another data set, a file of another kind, one with NaN, one that is cut."""
    saved = dataset.with_name("run.json")
    assert cli("eval", "--dataset", dataset, "--save", saved).code == 0
    assert cli("eval", "--dataset", dataset, "--against", saved, "--seed", "9").code == 2
    other = dataset.with_name("other.json")
    other.write_bytes(raw(sample("three")))
    assert "data set" in cli("eval", "--dataset", other, "--against", saved).err
    bad = dataset.with_name("bad.json")
    nan = altered(saved, against_exact={"recall_at_10": float("nan")}).read_text()
    for text in ("", "[]", "7", '{"schema": "ialctl.eval/2"}', saved.read_text()[:200], nan):
        bad.write_text(text)
        answer = cli("eval", "--dataset", dataset, "--against", bad)
        assert answer.code == 2, text
        assert "is no saved run" in answer.err
    assert cli("eval", "--dataset", dataset, "--against", "none.json").code == 1
    endless = json.loads(saved.read_text()) | {"seed": "SEED"}
    text = json.dumps(endless).replace('"SEED"', "1e999")
    bad = saved.with_name("endless.json")
    bad.write_text(text)
    assert cli("eval", "--dataset", dataset, "--against", bad).code == 2


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--questions", "0"], 2, "0 questions show nothing"),
        (["--tolerance", "nan"], 2, "--tolerance can't be nan"),
        (["--tolerance", "101"], 2, "--tolerance can't be 101"),
        (["--embedder", "wise"], 2, "no embedder 'wise'"),
        (["--format", "csv"], 2, "no format of data sets 'csv'"),
        (["--save", "none/run.json"], 2, "a folder that is not there"),
        (["--save", "."], 2, "is a folder"),
        (["--save", "x.json", "--against", "x.json"], 2, "name the same file"),
        (["--plot", "x.pdf"], 2, "can't write 'x.pdf'"),
        (["--budget", "5"], 2, "A budget of 5 tokens"),
    ],
)
def test_wrong_options_are_refused(
    cli: MemoryCli,
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    says: str,
) -> None:
    """One sentence each, nothing stored, nothing written."""
    monkeypatch.chdir(dataset.parent)
    answer = cli("eval", "--dataset", dataset, *options)
    assert answer.code == code, answer.err
    assert says in answer.err
    assert items(cli.settings) == 0


def test_a_data_set_that_is_not_there_is_told(cli: MemoryCli, tmp_path: Path) -> None:
    """The file is named."""
    answer = cli("eval", "--dataset", tmp_path / "none.json")
    assert answer.code == 1
    assert "none.json" in answer.err


def test_an_undeployed_memory_names_the_cure(
    settings: Settings, capsys: pytest.CaptureFixture[str], dataset: Path
) -> None:
    """Without the tables the sentence says so, and what to type."""
    answer = MemoryCli(settings, capsys)("eval", "--dataset", dataset)
    assert answer.code == 1
    assert "ialctl start" in answer.err


def test_a_picture_without_matplotlib_names_what_to_install(
    cli: MemoryCli, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pip command, before anything runs."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as where it is not installed
    answer = cli("eval", "--dataset", dataset, "--plot", dataset.with_name("x.png"))
    assert answer.code == 2
    assert 'pip install "ialctl[plots]"' in answer.err


@pytest.mark.skipif(not HAS_PLOTS, reason="the extra `plots` is not installed here")
@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_picture_is_drawn(cli: MemoryCli, dataset: Path, suffix: str, magic: bytes) -> None:
    """Of the kind that its name says; the same run gives the same picture."""
    path = dataset.with_name(f"run.{suffix}")
    drawn = []
    for _ in range(2):
        assert cli("eval", "--dataset", dataset, "--plot", path).code == 0
        drawn.append(path.read_bytes())
    assert drawn[0].startswith(magic)
    assert drawn[0] == drawn[1]


def test_two_at_a_time_are_refused(cli: MemoryCli, dataset: Path) -> None:
    """They would remove each other's users; the first one goes on."""
    folder = cli.settings.project_state_dir
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "eval.lock"):
        answer = cli("eval", "--dataset", dataset)
    assert answer.code == 5
    assert "Another evaluation" in answer.err
    assert cli("eval", "--dataset", dataset).code == 0


def test_users_that_are_kept_can_be_asked(cli: MemoryCli, dataset: Path) -> None:
    """`--keep` names them; a later run without it removes them."""
    kept = cli("eval", "--dataset", dataset, "--keep", "--json").json["kept_users"]
    assert len(kept) == 2
    answer = cli("context", "What is Ada's dog called?", "--user", kept[0])
    assert "Ludwig" in answer.out
    assert cli("eval", "--dataset", dataset).code == 0
    assert items(cli.settings) == 0


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_evaluation_leaves_nothing_behind(
    cli: MemoryCli, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    """It stops between two questions, and removes what it had stored."""
    many = [asked(f"What is Ada's dog called, {n}?", ["D1:1"]) for n in range(5000)]
    file = tmp_path / "many.json"
    file.write_bytes(raw(sample(qa=many)))
    process = subprocess.Popen(
        [sys.executable, "-m", "ialctl", "eval", "--dataset", str(file), *cli.options],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    until(lambda: items(cli.settings) > 0)
    process.send_signal(sent)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert out == b""
    assert b"what it had stored is removed" in err
    assert items(cli.settings) == 0


def test_locomo_a_part_of_its_questions(cli: MemoryCli, locomo: Path) -> None:
    """Found no less than by BM25 alone; a warm context takes one round, a cold one two."""
    found = cli("eval", "--dataset", locomo, "--questions", "60", "--json").json
    recall = found["recall"]["overall"]
    assert recall["questions"] == 60
    assert recall["engine"]["25"] >= recall["bm25"]["25"]
    assert recall["bm25"]["10"] > 0.6
    cold, warm = found["contexts"]["cold"], found["contexts"]["warm"]
    assert cold["contexts"] == 5
    assert cold["rounds"]["max"] == 2
    assert cold["read_units"]["max"] <= 27
    assert warm["rounds"]["max"] == 1
    assert warm["read_units"]["mean"] <= 10.5
    assert warm["tokens"]["max"] <= 2000
    assert items(cli.settings) == 0
