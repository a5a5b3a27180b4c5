"""The local endpoint's S3 keeps what it acknowledged, and no bodies in memory."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import NotFoundError, StorageError
from tests.integration.test_local_durability import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """An endpoint of its own, with a bucket that keeps versions."""
    made = Machine(tmp_path / "endpoint")
    s3 = made.client("s3")
    s3.create_bucket(Bucket="box-1")
    s3.put_bucket_versioning(Bucket="box-1", VersioningConfiguration={"Status": "Enabled"})
    yield made
    made.endpoint.stop()


def read(machine: Machine, key: str, **options: str) -> bytes:
    """An object's content."""
    body: bytes = machine.client("s3").get_object(Bucket="box-1", Key=key, **options)["Body"].read()
    return body


def test_objects_and_their_versions_survive_a_kill(machine: Machine) -> None:
    """Put, written over and deleted: after a kill -9 each is as it was acknowledged."""
    s3, large = machine.client("s3"), os.urandom(3 << 20)
    versions = [
        s3.put_object(Bucket="box-1", Key="a/b", Body=body)["VersionId"]
        for body in (b"first", large, b"last")
    ]
    s3.put_object(Bucket="box-1", Key="gone", Body=b"gone")
    s3.delete_object(Bucket="box-1", Key="gone")
    for _ in range(2):
        assert read(machine, "a/b") == b"last"
        found = [read(machine, "a/b", VersionId=version) for version in versions]
        assert found == [b"first", large, b"last"]
        with pytest.raises(NotFoundError):
            read(machine, "gone")
        machine.kill()
        machine.back()


@pytest.mark.skipif(sys.platform != "linux", reason="reads another process's memory use")
def test_bodies_are_not_kept_in_memory(machine: Machine) -> None:
    """160 MiB in a bucket with versions leave the endpoint less than half of that larger."""
    s3, body = machine.client("s3"), os.urandom(8 << 20)
    before = _resident(machine)
    for number in range(20):
        s3.put_object(Bucket="box-1", Key=f"data/{number}", Body=body)
    assert _resident(machine) - before < 80 << 20


def _resident(machine: Machine) -> int:
    status = Path(f"/proc/{machine.state.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="sets another process's limit")
def test_an_object_that_the_disk_refuses_is_not_acknowledged(machine: Machine) -> None:
    """The put is refused with what to do; what stood stands, also after a kill."""
    s3 = machine.client("s3")
    s3.put_object(Bucket="box-1", Key="a/b", Body=b"before")
    assert machine.state.pid is not None
    _, most = resource.prlimit(machine.state.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(machine.state.pid, resource.RLIMIT_FSIZE, (100_000, most))
    with pytest.raises(StorageError, match="can't write its data"):
        s3.put_object(Bucket="box-1", Key="a/b", Body=b"x" * 200_000)
    s3.put_object(Bucket="box-1", Key="small", Body=b"small")
    machine.kill()
    machine.back()
    assert (read(machine, "a/b"), read(machine, "small")) == (b"before", b"small")
