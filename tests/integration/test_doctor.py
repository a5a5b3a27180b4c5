"""The doctor at a real endpoint: what is well, and each way in which it is not."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.aws.lease import Lease, Owner, this_run
from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK
from core.doctor.machine import Space
from core.errors import NotFoundError
from core.memory.model import Message
from core.memory.parts import open_parts
from core.memory.schema import embeddings_schema, history_schema
from core.settings import Settings, load_settings
from tests.deploying import start
from tests.diagnosing import SkewedClock, examine, in_trouble, of
from tests.faulty import faulty
from tests.redis_server import RedisServer
from tests.refusing import EXPIRED, SKEWED, WRONG, refusing
from tests.waiting import until

OTHER_MODEL = {"model": {"S": "titan"}, "dimensions": {"N": "1024"}}


@pytest.fixture(scope="module")
def well(endpoint_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A project that is deployed and fine; who takes it must leave it so."""
    folder = tmp_path_factory.mktemp("well")
    flags = {"endpoint_url": endpoint_url, "project": "t-doctor", "state_dir": str(folder)}
    settings = load_settings(flags, environment={}, folder=folder).settings
    start(settings, AwsSession(settings))
    return settings


@pytest.fixture
def own(settings: Settings, aws: AwsSession, cloudformation: None) -> Settings:
    """A project of the test's own, deployed."""
    start(settings, aws)
    return settings


def _history(settings: Settings) -> str:
    return history_schema(settings.project).name


def _save(settings: Settings, aws: AwsSession) -> None:
    message = Message("mia", "s1", "m1", 1_700_000_000_000_000, "user", "My dog is called Bilbo.")
    with open_parts(settings, aws) as parts:
        parts.saver.save("mia", [message])


def test_what_is_well_is_told_so(well: Settings) -> None:
    """Of a project just deployed nothing is in trouble, and every check answers once."""
    found = examine(well)
    assert in_trouble(found) == []
    assert (found.exit_code, found.count("warning")) == (0, 0)
    names = [finding.name for finding in found.findings]
    assert len(names) == len(set(names)) == 30
    assert all(f.found and not f.means for f in found.findings if f.state == "ok")


def test_it_changes_nothing(own: Settings, aws: AwsSession) -> None:
    """Tables, items and stacks are what they were before; no item is added by a dry call."""
    _save(own, aws)
    client = aws.client("dynamodb")
    tables = (_history(own), embeddings_schema(own.project).name, f"{own.project}-operations")

    def held() -> list[Any]:
        items = [client.scan(TableName=t, ConsistentRead=True)["Items"] for t in tables]
        about = [client.describe_table(TableName=t)["Table"] for t in tables]
        return [sorted(map(str, i)) for i in items] + [str(a) for a in about]

    before = held()
    assert examine(own).exit_code == 0
    assert held() == before


def test_redis_that_is_down(well: Settings, tmp_path: Path) -> None:
    """It is trouble, with what happens without it; back again, it is fine."""
    server = RedisServer(tmp_path)
    down = examine(well, redis_url=server.url)
    assert in_trouble(down) == ["redis"]
    assert "Nothing is lost" in of(down, "redis").means
    assert down.exit_code == 3
    with server:
        up = examine(well, redis_url=server.url)
    assert of(up, "redis").state == "ok"
    assert "noeviction" in of(up, "redis").found


def test_time_to_live_that_is_off(own: Settings, aws: AwsSession) -> None:
    """It is trouble that names the table; a start cures it here, as is said."""
    off = {"Enabled": False, "AttributeName": "ttl"}
    client = aws.client("dynamodb")
    client.update_time_to_live(TableName=_history(own), TimeToLiveSpecification=off)
    found = examine(own)
    assert in_trouble(found) == ["time to live"]
    assert _history(own) in of(found, "time to live").found
    assert "`ialctl start`" in of(found, "time to live").cure
    start(own, aws)
    assert examine(own).exit_code == 0


def test_an_index_that_is_missing(own: Settings, aws: AwsSession) -> None:
    """It is the one trouble, and the command that is shown makes the index again."""
    client = aws.client("dynamodb")
    delete = [{"Delete": {"IndexName": "SessionIndex"}}]
    client.update_table(TableName=_history(own), GlobalSecondaryIndexUpdates=delete)
    found = examine(own)
    assert in_trouble(found) == ["indexes"]
    words = shlex.split(of(found, "indexes").shell)
    given = dict(itertools.pairwise(words))
    pairs = (w.split(",") for w in words if w.startswith("AttributeName="))
    client.update_table(
        TableName=given["--table-name"],
        AttributeDefinitions=[dict(part.split("=") for part in pair) for pair in pairs],
        GlobalSecondaryIndexUpdates=json.loads(given["--global-secondary-index-updates"]),
    )
    until(lambda: examine(own).exit_code == 0)


@pytest.mark.parametrize("refusals", [WRONG, EXPIRED])
def test_credentials_that_are_refused(
    well: Settings, refusals: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are the one trouble, exit code 4; what needs them is left out, not failed."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWRONG")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with refusing(refusals) as url:
        found = examine(well, endpoint_url=url, target="aws", region="us-east-1")
    assert in_trouble(found) == ["credentials"]
    assert found.exit_code == 4
    assert refusals[0][0] in of(found, "credentials").found
    assert of(found, "tables").state == "skipped"


def test_credentials_that_are_not_there(
    well: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without any, it is said how to get some."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with refusing() as url:
        found = examine(well, endpoint_url=url, target="aws", region="us-east-1")
        profile = examine(well, endpoint_url=url, target="aws", region="us-east-1", profile="x")
    assert "aws configure" in of(found, "credentials").cure
    assert in_trouble(profile) == ["credentials"]
    assert "(x)" in of(profile, "credentials").found


def test_a_region_that_can_not_be(well: Settings) -> None:
    """It is the one trouble, told as the region's, and the rest is left out for that."""
    found = examine(well, endpoint_url=None, target="aws", region="eu west")
    assert in_trouble(found) == ["region"]
    assert "--region" in of(found, "region").cure
    assert "region" in of(found, "tables").found


@pytest.mark.parametrize("ahead_s", [600.0, -600.0])
def test_a_clock_that_is_ten_minutes_off(well: Settings, ahead_s: float) -> None:
    """It is the one trouble, in either direction; half a minute is none."""
    found = examine(well, about={"clock": SkewedClock(ahead_s)})
    assert in_trouble(found) == ["clock"]
    where = "ahead of" if ahead_s > 0 else "behind"
    # The endpoint tells whole seconds.
    assert re.match(rf"(9 min 59|10 min [01]) s {where}", of(found, "clock").found)
    assert examine(well, about={"clock": SkewedClock(ahead_s / 40)}).exit_code == 0


def test_a_clock_that_is_off_where_aws_refuses_it(well: Settings) -> None:
    """The time is told though every signed request is refused: the clock stands as the reason."""
    with refusing(SKEWED, ahead_s=600) as url:
        found = examine(well, endpoint_url=url)
    assert in_trouble(found) == ["clock", "credentials"]
    assert re.match(r"(9 min 59|10 min [01]) s behind", of(found, "clock").found)
    assert "Set the clock" in of(found, "credentials").cure


def test_a_disk_that_is_full(well: Settings) -> None:
    """It is trouble for the state folder and for temporary files, each by itself."""
    full = examine(well, about={"space_of": lambda _: Space(0, 10**9)})
    assert in_trouble(full) == ["disk", "temporary"]
    assert "0 B" in of(full, "disk").found
    room = Space(10**12, 10**12)
    state = examine(well, about={"space_of": lambda p: room if p == Path("/") else Space(0, 1)})
    assert in_trouble(state) == ["disk"]


def test_what_may_not_be_done_is_named(well: Settings) -> None:
    """The engine's actions refused are trouble, exit code 4; the operator's a warning."""
    with faulty(str(well.endpoint_url)) as (url, faults):
        faults.choose = lambda _, what: "refused" if what in ("PutItem", "UpdateItem") else ""
        engine = examine(well, endpoint_url=url)
        faults.choose = lambda _, what: "refused" if what == "Scan" else ""
        operator = examine(well, endpoint_url=url)
    assert in_trouble(engine) == ["permissions"]
    assert f"dynamodb:PutItem on {_history(well)}" in of(engine, "permissions").found
    assert engine.exit_code == 4
    assert (operator.exit_code, of(operator, "permissions").state) == (0, "warning")
    assert of(operator, "agreement").state == "skipped"


def test_who_runs_the_engine_alone(well: Settings) -> None:
    """What only an operator may ask for is skipped; the rest of a table is looked at."""
    asks = ("DescribeContinuousBackups", "Scan")
    with faulty(str(well.endpoint_url)) as (url, faults):
        faults.choose = lambda _, what: "refused" if what in asks else ""
        found = examine(well, endpoint_url=url)
        faults.choose = lambda _, what: "refused" if what.startswith("Describe") else ""
        blind = examine(well, endpoint_url=url)
    assert found.exit_code == 0
    states = {f.name: f.state for f in found.findings}
    assert (states["recovery"], states["time to live"], states["tables"]) == ("skipped", "ok", "ok")
    assert in_trouble(blind) == ["permissions"]
    assert "may not be looked at" in of(blind, "tables").found


def test_vectors_of_another_model(own: Settings, aws: AwsSession) -> None:
    """Stored vectors that the embedder in use can't be compared with are trouble."""
    _save(own, aws)
    name, client = embeddings_schema(own.project).name, aws.client("dynamodb")
    items = client.scan(TableName=name)["Items"]
    (vector,) = [item for item in items if "vector_compressed" in item]
    client.put_item(TableName=name, Item={**vector, **OTHER_MODEL})
    found = of(examine(own), "vectors")
    assert found.state == "trouble"
    assert "titan (1024)" in found.found


def test_data_that_do_not_agree(own: Settings, aws: AwsSession) -> None:
    """A message whose vector and entry of the index are gone is found in the sample."""
    _save(own, aws)
    assert of(examine(own), "agreement").state == "ok"
    name, client = embeddings_schema(own.project).name, aws.client("dynamodb")
    for item in client.scan(TableName=name)["Items"]:
        key = {part: item[part] for part in embeddings_schema(own.project).keys}
        client.delete_item(TableName=name, Key=key)
    found = of(examine(own), "agreement")
    assert found.state == "trouble"
    assert "`ialctl validate`" in found.cure


def test_the_lock_of_a_run_that_died(own: Settings, aws: AwsSession) -> None:
    """A lease whose process has ended is told, with what finishes the work; a live one is not."""
    host = this_run("").host
    table, client = f"{own.project}-operations", aws.client("dynamodb")
    Lease(client, table, Owner("ada", host, 2**22 + 1, "dead"), SYSTEM_CLOCK).acquire()
    found = of(examine(own), "locks")
    assert (found.state, "`ialctl start`" in found.cure) == ("warning", True)
    alive = Lease(client, table, this_run("alive"), SYSTEM_CLOCK)
    alive.acquire()
    assert of(examine(own), "locks").found.startswith("at work: deployment by")
    alive.release()


def test_nothing_deployed(settings: Settings, aws: AwsSession) -> None:
    """It says that there is no memory yet, and how to get one; nothing else fails for that."""
    found = examine(settings)
    assert in_trouble(found) == ["stacks", "tables"]
    assert "`ialctl start`" in of(found, "stacks").cure
    with pytest.raises(NotFoundError):
        aws.client("dynamodb").describe_table(TableName=_history(settings))


def test_an_endpoint_of_something_else(settings: Settings) -> None:
    """What answers, but not as AWS does, is trouble of the endpoint; exit code 4."""
    other = (("", ""), ("", ""))
    with refusing(other) as url:
        found = examine(settings, endpoint_url=url)
    assert in_trouble(found) == ["endpoint"]
    assert found.exit_code == 4


def test_nothing_answers(settings: Settings) -> None:
    """No endpoint: the rest is left out, and this machine is looked at all the same."""
    found = examine(settings, endpoint_url="http://127.0.0.1:9")
    assert (in_trouble(found), found.exit_code) == (["endpoint"], 4)
    assert of(found, "disk").state == "ok"
    assert found.seconds < 10


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a port that takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_an_endpoint_that_hangs(settings: Settings, silent: str) -> None:
    """It ends in time, and says that there was no answer."""
    found = examine(settings, endpoint_url=silent)
    assert "No answer" in of(found, "endpoint").found
    assert found.seconds < 10
