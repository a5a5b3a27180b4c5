"""The local endpoint forgets nothing that it acknowledged, however it ends."""

from __future__ import annotations

import functools
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.aws.session import AwsClient, AwsSession
from core.errors import IalError
from core.local.endpoint import EndpointState, LocalEndpoint
from core.settings import load_settings
from tests.waiting import until

TABLE = "notes"


class Machine:
    """An endpoint that can be killed, damaged and brought back."""

    def __init__(self, folder: Path) -> None:
        self.endpoint = LocalEndpoint(folder)
        self.state: EndpointState = self.endpoint.ensure()

    def client(self, service: str = "dynamodb") -> AwsClient:
        """A client that does not try again: what is not acknowledged stays so."""
        flags = {"endpoint_url": self.state.url, "retry_time_s": 0.001}
        return AwsSession(load_settings(flags, environment={}).settings).client(service)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        assert self.state.pid is not None
        os.kill(self.state.pid, signal.SIGKILL)
        until(self.endpoint._has_ended)

    def back(self) -> AwsClient:
        """Brings it back."""
        self.state = self.endpoint.ensure()
        return self.client()

    def files(self, pattern: str) -> list[Path]:
        """Data files, in order of name."""
        return sorted(self.state.data_dir.glob(pattern))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine with a folder of its own."""
    made = Machine(tmp_path / "endpoint")
    yield made
    made.endpoint.stop()


def make_table(client: AwsClient, name: str = TABLE) -> None:
    """A table with a stream and an index."""
    client.create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": "p", "KeyType": "HASH"},
            {"AttributeName": "s", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": n, "AttributeType": t} for n, t in {"p": "S", "s": "N"}.items()
        ],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    until(lambda: client.describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE")


def item(partition: str, sort: int, text: str = "") -> dict[str, Any]:
    """An item of that table."""
    return {"p": {"S": partition}, "s": {"N": str(sort)}, "text": {"S": text}}


def scan(client: AwsClient, name: str = TABLE) -> dict[tuple[str, str], Any]:
    """All items by key."""
    found: dict[tuple[str, str], Any] = {}
    start: dict[str, Any] = {}
    while True:
        page = client.scan(TableName=name, ConsistentRead=True, **start)
        found |= {(i["p"]["S"], i["s"]["N"]): i for i in page["Items"]}
        if "LastEvaluatedKey" not in page:
            return found
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def stream(machine: Machine) -> list[tuple[str, Any]]:
    """All stream records: name of the event and sequence number."""
    client = machine.client("dynamodbstreams")
    found = []
    for known in client.list_streams()["Streams"]:
        arn = known["StreamArn"]
        for shard in client.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
            iterator = client.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            page = client.get_records(ShardIterator=iterator)
            found += [(r["eventName"], r["dynamodb"]["SequenceNumber"]) for r in page["Records"]]
    return found


def every_kind_of_write(client: AwsClient) -> None:
    """Each operation of the data plane that changes items, at least once."""
    for sort in range(6):
        client.put_item(TableName=TABLE, Item=item("put", sort, "\x00é😀"))
    key = {"p": {"S": "put"}, "s": {"N": "0"}}
    client.delete_item(TableName=TABLE, Key=key)
    client.update_item(
        TableName=TABLE,
        Key={"p": {"S": "put"}, "s": {"N": "1"}},
        UpdateExpression="SET #t = :t ADD n :n",
        ExpressionAttributeNames={"#t": "text"},
        ExpressionAttributeValues={":t": {"S": "updated"}, ":n": {"N": "3"}},
    )
    client.batch_write_item(
        RequestItems={
            TABLE: [
                {"PutRequest": {"Item": item("batch", 1)}},
                {"DeleteRequest": {"Key": {"p": {"S": "put"}, "s": {"N": "2"}}}},
            ]
        }
    )
    client.transact_write_items(
        TransactItems=[
            {"Put": {"TableName": TABLE, "Item": item("transaction", 1)}},
            {"Delete": {"TableName": TABLE, "Key": {"p": {"S": "put"}, "s": {"N": "3"}}}},
        ]
    )
    text = f"INSERT INTO \"{TABLE}\" VALUE {{'p':'partiql','s':1}}"
    client.execute_statement(Statement=text)
    client.batch_execute_statement(Statements=[{"Statement": text.replace("1}", "2}")}])
    client.execute_transaction(TransactStatements=[{"Statement": text.replace("1}", "3}")}])
    with pytest.raises(IalError):
        client.execute_transaction(
            TransactStatements=[
                {"Statement": text.replace("1}", "4}")},
                {"Statement": text.replace("1}", "1}")},
            ]
        )


def test_every_kind_of_write_survives_a_kill(machine: Machine) -> None:
    """Items, stream records with their numbers, and the item count are as they were."""
    client = machine.client()
    make_table(client)
    every_kind_of_write(client)
    items, records = scan(client), stream(machine)
    machine.kill()
    client = machine.back()
    assert scan(client) == items
    assert ("partiql", "4") not in items
    assert stream(machine) == records
    assert client.describe_table(TableName=TABLE)["Table"]["ItemCount"] == len(items)
    client.put_item(TableName=TABLE, Item=item("after", 1))
    assert max(stream(machine), key=lambda r: str(r[1]))[0] == "INSERT"
    assert len(stream(machine)) == len(records) + 1


def test_a_clean_stop_and_a_kill_leave_the_same(machine: Machine) -> None:
    """After a clean stop the state comes from the snapshot alone, and is the same."""
    client = machine.client()
    make_table(client)
    every_kind_of_write(client)
    items, records = scan(client), stream(machine)
    assert machine.endpoint.stop()
    assert machine.files("items-*.snap")
    client = machine.back()
    assert (scan(client), stream(machine)) == (items, records)


def test_control_plane_changes_survive_a_kill(machine: Machine) -> None:
    """Tables, time to live, recovery, tags, buckets, objects, keys and stacks come back."""
    client, s3, stacks = (machine.client(s) for s in ("dynamodb", "s3", "cloudformation"))
    make_table(client)
    client.update_time_to_live(
        TableName=TABLE, TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"}
    )
    client.update_continuous_backups(
        TableName=TABLE, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    s3.create_bucket(Bucket="box-1")
    s3.put_object(Bucket="box-1", Key="a/b", Body=b"content")
    template = '{"Resources":{"Topic":{"Type":"AWS::SNS::Topic"}}}'
    stacks.create_stack(StackName="one", TemplateBody=template)
    until(lambda: _stack_status(stacks) == "CREATE_COMPLETE")
    machine.kill()
    client = machine.back()
    ttl = client.describe_time_to_live(TableName=TABLE)["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
    recovery = client.describe_continuous_backups(TableName=TABLE)["ContinuousBackupsDescription"]
    assert recovery["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    assert machine.client("s3").get_object(Bucket="box-1", Key="a/b")["Body"].read() == b"content"
    assert _stack_status(machine.client("cloudformation")) == "CREATE_COMPLETE"


def _stack_status(client: AwsClient) -> str:
    return str(client.describe_stacks(StackName="one")["Stacks"][0]["StackStatus"])


def test_a_table_made_anew_does_not_inherit_items(machine: Machine) -> None:
    """Items of a deleted table stay away from the new one of the same name."""
    client = machine.client()
    make_table(client)
    client.put_item(TableName=TABLE, Item=item("old", 1))
    client.delete_table(TableName=TABLE)
    make_table(client)
    client.put_item(TableName=TABLE, Item=item("new", 1))
    machine.kill()
    assert set(scan(machine.back())) == {("new", "1")}


def test_racing_writers_of_one_key_leave_what_was_applied_last(machine: Machine) -> None:
    """Eight writers race for four keys; after a kill every key holds what it held before."""
    client = machine.client()
    make_table(client)

    def write(writer: int) -> None:
        own = machine.client()
        for turn in range(60):
            name = f"{writer}-{turn}"
            own.put_item(TableName=TABLE, Item=item("one", turn % 4, name))
            own.update_item(
                TableName=TABLE,
                Key={"p": {"S": "one"}, "s": {"N": str((turn + 1) % 4)}},
                UpdateExpression="ADD n :one SET last_writer = :w",
                ExpressionAttributeValues={":one": {"N": "1"}, ":w": {"S": name}},
            )

    run_beside([functools.partial(write, writer) for writer in range(8)])
    items, records = scan(client), stream(machine)
    machine.kill()
    assert (scan(machine.back()), stream(machine)) == (items, records)


def run_beside(work: list[Callable[[], None]]) -> None:
    """Runs each in a thread of its own, to the end."""
    threads = [threading.Thread(target=w) for w in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    "kills",
    [pytest.param(8, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.soak)],
)
def test_kills_lose_nothing_acknowledged(machine: Machine, kills: int) -> None:
    """Killed at random moments among writers, it comes back with every acknowledged item."""
    chance = random.Random(7)
    make_table(machine.client())
    acknowledged: dict[tuple[str, str], str] = {}

    def write(writer: int, kill_number: int) -> None:
        client = machine.client()
        for turn in range(100_000):
            text = f"{kill_number}-{turn}"
            try:
                client.put_item(TableName=TABLE, Item=item(f"w{writer}", turn, text))
            except IalError:
                return
            acknowledged[f"w{writer}", str(turn)] = text

    for kill_number in range(kills):
        writers = [
            threading.Thread(target=write, args=(writer, kill_number)) for writer in range(3)
        ]
        for thread in writers:
            thread.start()
        time.sleep(chance.uniform(0.01, 0.3))
        machine.kill()
        for thread in writers:
            thread.join()
        found = scan(machine.back())
        for key, text in tuple(acknowledged.items()):
            # An unacknowledged write of this round may have come after.
            assert found[key]["text"]["S"] in (text, f"{kill_number}-{key[1]}")
            # It may stay: on a busy machine the next round may not come to write this key.
            acknowledged[key] = found[key]["text"]["S"]


def test_a_damaged_snapshot_falls_back_to_the_one_before_and_says_so(machine: Machine) -> None:
    """The newest items snapshot is flipped in a bit: nothing is lost, and it is told."""
    client = machine.client()
    make_table(client)
    for turn in range(2):
        client.put_item(TableName=TABLE, Item=item("turn", turn, "x" * 2000))
        machine.endpoint.stop()
        client = machine.back()
    client.put_item(TableName=TABLE, Item=item("turn", 2))
    machine.kill()
    newest = machine.files("items-*.snap")[-1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    assert len(scan(machine.back())) == 3
    assert any("damaged" in note for note in machine.state.notes)
    assert machine.endpoint.state().notes == machine.state.notes


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "rubbish"])
def test_a_damaged_control_snapshot_falls_back_and_says_so(machine: Machine, damage: str) -> None:
    """However the newest control snapshot was damaged, the one before it is used."""
    client = machine.client()
    make_table(client)
    client.put_item(TableName=TABLE, Item=item("a", 1))
    client.tag_resource(
        ResourceArn=client.describe_table(TableName=TABLE)["Table"]["TableArn"],
        Tags=[{"Key": "k", "Value": "v"}],
    )
    machine.kill()
    path = machine.state.data_dir / "control.snap"
    whole = path.read_bytes()
    flipped = bytes([*whole[:90], whole[90] ^ 1, *whole[91:]])
    broken = {"flip": flipped, "truncate": whole[:-9], "empty": b"", "rubbish": b"#!"}
    path.write_bytes(broken[damage])
    assert len(scan(machine.back())) == 1
    assert any("control.snap is damaged" in note for note in machine.state.notes)


@pytest.mark.parametrize("stopped", [True, False])
def test_a_table_made_after_the_fallback_comes_back_with_its_items(
    machine: Machine, stopped: bool
) -> None:
    """The one snapshot that knew a table is damaged: journal and items know it as well."""
    client = machine.client()
    make_table(client, "older")
    make_table(client)
    every_kind_of_write(client)
    items, records = scan(client), stream(machine)
    if stopped:
        machine.endpoint.stop()
    else:
        machine.kill()
    path = machine.state.data_dir / "control.snap"
    path.write_bytes(path.read_bytes()[:-5])
    client = machine.back()
    assert client.list_tables()["TableNames"] == [TABLE, "older"]
    assert (scan(client), stream(machine)) == (items, records)


def test_a_torn_journal_loses_only_its_torn_end(machine: Machine) -> None:
    """Bytes cut off the journal cost the records that they held, silently."""
    client = machine.client()
    make_table(client)
    for turn in range(5):
        client.put_item(TableName=TABLE, Item=item("turn", turn))
    machine.kill()
    journal = machine.files("journal-*.log")[-1]
    journal.write_bytes(journal.read_bytes()[:-3])
    client = machine.back()
    assert len(scan(client)) == 4
    client.put_item(TableName=TABLE, Item=item("turn", 9))
    machine.kill()
    assert len(scan(machine.back())) == 5


def test_a_write_to_a_table_nobody_described_survives(machine: Machine) -> None:
    """A stack's table is on disk before the first write to it is acknowledged."""
    template = """
    {"Resources":{"Table":{"Type":"AWS::DynamoDB::Table","Properties":{"TableName":"notes",
      "BillingMode":"PAY_PER_REQUEST",
      "AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"},
                              {"AttributeName":"s","AttributeType":"N"}],
      "KeySchema":[{"AttributeName":"p","KeyType":"HASH"},
                   {"AttributeName":"s","KeyType":"RANGE"}]}}}}"""
    machine.client("cloudformation").create_stack(StackName="one", TemplateBody=template)
    client = machine.client()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            client.put_item(TableName=TABLE, Item=item("a", 1))
            break
        except IalError:
            time.sleep(0.01)
    machine.kill()
    assert len(scan(machine.back())) == 1


def test_one_request_can_not_wipe_everything(machine: Machine) -> None:
    """The package's own reset is not served."""
    import http.client

    client = machine.client()
    make_table(client)
    assert machine.state.port is not None
    connection = http.client.HTTPConnection("127.0.0.1", machine.state.port)
    connection.request("POST", "/_ministack/reset")
    assert connection.getresponse().status == 403
    connection.close()
    assert client.list_tables()["TableNames"] == [TABLE]


@pytest.mark.skipif(sys.platform != "linux", reason="sets another process's limit")
def test_a_stop_on_a_full_disk_loses_nothing_and_says_so(machine: Machine) -> None:
    """No snapshot can be written; the journal brings everything back, and the log is a sentence."""
    import resource

    client = machine.client()
    make_table(client)
    client.put_item(TableName=TABLE, Item=item("a", 1, "x" * 500))
    assert machine.state.pid is not None
    resource.prlimit(machine.state.pid, resource.RLIMIT_FSIZE, (4, resource.RLIM_INFINITY))
    assert machine.endpoint.stop()
    assert "Traceback" not in machine.state.log_path.read_text()
    assert len(scan(machine.back())) == 1
