"""Starting, finding and stopping the local endpoint, whatever lies in the way."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.aws.embedded import read_instance, write_instance
from core.aws.session import AwsSession
from core.errors import LocalEndpointError, StorageError
from core.local.endpoint import EndpointState, LocalEndpoint
from core.settings import load_settings
from tests.integration.test_local_durability import item, make_table, scan
from tests.waiting import until


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[LocalEndpoint]:
    """An endpoint that is stopped at the end."""
    made = LocalEndpoint(tmp_path / "endpoint")
    yield made
    made.stop()


def session(state: EndpointState) -> AwsSession:
    """Clients of an endpoint."""
    flags = {"endpoint_url": state.url, "retry_time_s": 2}
    return AwsSession(load_settings(flags, environment={}).settings)


def alive(pid: int) -> bool:
    """True while a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_listens_on_this_machine_only(endpoint: LocalEndpoint) -> None:
    """The port is bound to 127.0.0.1, not to every address."""
    port = endpoint.ensure().port
    assert port is not None
    listening = Path("/proc/net/tcp").read_text().splitlines()
    addresses = [line.split()[1] for line in listening if line.split()[3] == "0A"]
    assert [a for a in addresses if a.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_the_port_is_remembered(endpoint: LocalEndpoint) -> None:
    """After a stop it comes back where it was, so that exported URLs stay right."""
    port = endpoint.ensure().port
    assert endpoint.stop()
    assert not endpoint.state().running
    assert endpoint.ensure().port == port


def test_a_port_taken_meanwhile_is_left_to_its_owner(endpoint: LocalEndpoint) -> None:
    """Another program on the remembered port is not mistaken for the endpoint."""
    port = endpoint.ensure().port
    assert port is not None
    endpoint.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        other.settimeout(0.1)
        assert endpoint.ensure().port != port


def test_a_stale_file_is_seen_through(endpoint: LocalEndpoint) -> None:
    """A process id that now belongs to another program is neither trusted nor killed."""
    endpoint.ensure()
    instance = read_instance(endpoint._folder)
    assert instance is not None
    endpoint.stop()
    write_instance(endpoint._folder, dataclasses.replace(instance, pid=os.getpid()))
    assert not endpoint.state().running
    assert not endpoint.stop()
    assert endpoint.ensure().running


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_a_torn_file_is_as_if_there_were_none(endpoint: LocalEndpoint, content: str) -> None:
    """A half-written `endpoint.json` does not stop the next start."""
    endpoint._folder.mkdir()
    (endpoint._folder / "endpoint.json").write_text(content)
    assert endpoint.ensure().running


def test_a_dead_child_is_told_from_a_stopped_one(endpoint: LocalEndpoint) -> None:
    """Killed from outside it counts as died, and comes back; stopped it counts as stopped."""
    pid = endpoint.ensure().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid))
    assert endpoint.state().died
    back = endpoint.ensure()
    assert back.died
    assert back.started
    endpoint.stop()
    assert endpoint.state().stopped


def test_many_at_once_start_one(endpoint: LocalEndpoint) -> None:
    """Eight that find nothing running at the same moment end up with one endpoint."""
    found: list[EndpointState] = []
    threads = [
        threading.Thread(target=lambda: found.append(LocalEndpoint(endpoint._folder).ensure()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({state.pid for state in found}) == 1
    assert sum(state.started for state in found) == 1


def test_two_folders_have_two_endpoints(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    """A second project beside the first shares neither port nor data."""
    other = LocalEndpoint(tmp_path / "other")
    first, second = endpoint.ensure(), other.ensure()
    make_table(session(first).client("dynamodb"))
    assert first.port != second.port
    assert session(second).client("dynamodb").list_tables()["TableNames"] == []
    other.stop()
    assert endpoint.state().running


def test_a_second_process_on_the_same_data_is_refused(endpoint: LocalEndpoint) -> None:
    """Whatever happens to `endpoint.json`, two processes never write one journal."""
    endpoint.ensure()
    instance = read_instance(endpoint._folder)
    assert instance is not None
    (endpoint._folder / "endpoint.json").unlink()
    with pytest.raises(LocalEndpointError, match="Another process serves"):
        endpoint.ensure()
    write_instance(endpoint._folder, instance)


def test_a_folder_that_can_not_be_made_is_one_sentence(tmp_path: Path) -> None:
    """The error names the folder and the option that chooses another."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        LocalEndpoint(tmp_path / "file" / "endpoint").ensure()
    assert str(tmp_path / "file") in caught.value.what
    assert "--state-dir" in (caught.value.cure or "")


def test_a_child_that_can_not_start_tells_why(endpoint: LocalEndpoint) -> None:
    """Where every control snapshot is rubbish, the reason is in the error, and nothing is lost."""
    state = endpoint.ensure()
    make_table(session(state).client("dynamodb"))
    endpoint.stop()
    for path in state.data_dir.glob("control*.snap"):
        path.write_bytes(b"rubbish")
    with pytest.raises(LocalEndpointError, match="no control snapshot"):
        endpoint.ensure()


def test_on_a_full_disk_nothing_is_acknowledged_and_nothing_is_lost(
    endpoint: LocalEndpoint,
) -> None:
    """A write that can't be kept is refused in a sentence; with room again, all goes on."""
    state = endpoint.ensure()
    pid = state.pid
    assert pid is not None
    client = session(state).client("dynamodb")
    make_table(client)
    client.put_item(TableName="notes", Item=item("kept", 1))
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (600, most))
    with pytest.raises(StorageError, match="local endpoint can't write its data"):
        client.put_item(TableName="notes", Item=item("refused", 1, "x" * 2000))
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
    client.put_item(TableName="notes", Item=item("kept", 2))
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid))
    found = scan(session(endpoint.ensure()).client("dynamodb"))
    assert {("kept", "1"), ("kept", "2")} <= set(found)


WRITES: dict[str, tuple[str, dict[str, Any]]] = {
    "cloudformation": ("create_stack", {"StackName": "s", "TemplateBody": '{"Resources":{}}'}),
    "s3": ("create_bucket", {"Bucket": "some-bucket"}),
    "iam": ("create_user", {"UserName": "u"}),
    "dynamodb": ("put_item", {"TableName": "notes", "Item": item("p", 1)}),
}


@pytest.mark.parametrize("service", WRITES)
def test_on_a_full_disk_every_service_says_so_in_its_own_form(
    endpoint: LocalEndpoint, service: str
) -> None:
    """JSON and XML clients alike read the reason, and items can be read all the same."""
    state = endpoint.ensure()
    assert state.pid is not None
    make_table(session(state).client("dynamodb"))
    _, most = resource.prlimit(state.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(state.pid, resource.RLIMIT_FSIZE, (10, most))
    operation, arguments = WRITES[service]
    with pytest.raises(StorageError, match="can't write its data: File too large"):
        getattr(session(state).client(service), operation)(**arguments)
    assert len(scan(session(state).client("dynamodb"))) <= 1
    resource.prlimit(state.pid, resource.RLIMIT_FSIZE, (most, most))


def test_it_ends_when_its_folder_is_removed(tmp_path: Path) -> None:
    """A deleted project leaves no process behind."""
    import shutil

    pid = LocalEndpoint(tmp_path / "endpoint").ensure().pid
    assert pid is not None
    shutil.rmtree(tmp_path / "endpoint")
    until(lambda: not alive(pid))


def test_it_outlives_the_command_that_started_it(tmp_path: Path) -> None:
    """The process is in a session of its own, so that Ctrl-C and a closed terminal don't end it."""
    code = (
        "import sys, json; from pathlib import Path; from core.local.endpoint import *;"
        "s = LocalEndpoint(Path(sys.argv[1])).ensure(); print(json.dumps([s.pid]))"
    )
    folder = tmp_path / "endpoint"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    (pid,) = json.loads(done.stdout)
    assert os.getsid(pid) == pid
    assert LocalEndpoint(folder).state().pid == pid
    assert LocalEndpoint(folder).stop()


@pytest.mark.slow
def test_a_put_costs_the_same_in_a_large_table(endpoint: LocalEndpoint) -> None:
    """The journal grows by as much for an item beside 20,000 as for one beside none."""
    state = endpoint.ensure()
    client = session(state).client("dynamodb")
    make_table(client)

    def journal_bytes_of_a_put(sort: int) -> int:
        before = sum(p.stat().st_size for p in state.data_dir.glob("journal-*"))
        client.put_item(TableName="notes", Item=item("one", sort, "x" * 500))
        return sum(p.stat().st_size for p in state.data_dir.glob("journal-*")) - before

    small = journal_bytes_of_a_put(10_000_000)
    for batch in range(800):
        rows = [item(f"p{batch}", n, "x" * 500) for n in range(25)]
        client.batch_write_item(
            RequestItems={"notes": [{"PutRequest": {"Item": row}} for row in rows]}
        )
    assert journal_bytes_of_a_put(10_000_001) == small
