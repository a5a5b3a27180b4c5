"""A bucket of backups behind a connection that fails: requests refused, bodies cut."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from core.aws.session import AwsSession
from core.backup.bucket import CHUNK_BYTES, BucketPlace, rereads
from core.backup.catalog import list_sets
from core.backup.lock import PlaceLock, Reading
from core.backup.place import open_place
from core.backup.pruning import Policy, Pruner
from core.clock import new_id
from core.errors import (
    DamagedError,
    EndpointUnreachableError,
    LockHeldError,
    NotFoundError,
    ThrottledError,
)
from core.settings import Settings, load_settings
from core.testing.clock import FakeClock
from tests.backup_sets import put_set
from tests.faulty import Faults, faulty

BODY = os.urandom(1 << 20) * 9


@pytest.fixture
def place(settings: Settings, aws: AwsSession) -> Iterator[tuple[BucketPlace, Faults]]:
    """A bucket seen through a proxy, with one file of 9 MiB in it; nothing waits."""
    name = f"b-{uuid.uuid4().hex[:12]}"
    aws.client("s3").create_bucket(Bucket=name)
    with faulty(str(settings.endpoint_url)) as (url, faults):
        flags = {"endpoint_url": url, "project": settings.project}
        clock = FakeClock()
        session = AwsSession(load_settings(flags, environment={}).settings, clock=clock)
        retries = rereads(clock)
        found = BucketPlace(session.client("s3"), name, "p", session.where, retries)
        found.put("large", BODY)
        yield found, faults


def test_requests_that_s3_refuses_are_sent_again(place: tuple[BucketPlace, Faults]) -> None:
    """SlowDown before each kind of read and write delays it and changes nothing."""
    bucket, faults = place
    faults.next = ["slow", "slow"]
    assert bucket.get("large") == BODY
    faults.next = ["slow"]
    assert [entry.name for entry in bucket.entries()] == ["large"]
    faults.method, faults.next = "PUT", ["slow", "slow"]
    bucket.put("x", b"1")
    faults.next = ["slow"]
    assert bucket.put_new("y", b"2")
    faults.next = ["slow"]
    assert bucket.swap("x", b"1", b"3")
    assert (bucket.get("x"), bucket.get("y")) == (b"3", b"2")


def test_an_endpoint_that_only_refuses_is_an_error_of_ours(
    place: tuple[BucketPlace, Faults],
) -> None:
    """Refused without end it is a ThrottledError, after a bounded number of requests."""
    bucket, faults = place
    faults.requests, faults.next = 0, ["slow"] * 100
    with pytest.raises(ThrottledError):
        bucket.get("large")
    assert faults.requests < 20


def test_bodies_that_are_cut_are_read_again(place: tuple[BucketPlace, Faults]) -> None:
    """Whole and in ranges: what comes is what was put."""
    bucket, faults = place
    faults.next = ["cut", "", "cut", "slow"]
    assert bucket.get("large") == BODY
    faults.requests, faults.next = 0, ["cut", "cut", "", "cut"]
    with bucket.open("large") as file:
        assert file.read() == BODY
    assert faults.requests == 5  # two ranges, three of the reads in vain


def test_bodies_that_are_always_cut_are_an_error_of_ours(
    place: tuple[BucketPlace, Faults],
) -> None:
    """One sentence that names the file, after a bounded number of requests."""
    bucket, faults = place
    faults.requests, faults.next = 0, ["cut"] * 100
    with pytest.raises(EndpointUnreachableError, match="'large' could not be read"):
        bucket.get("large")
    assert faults.requests < 20
    with pytest.raises(EndpointUnreachableError, match="'large' could not be read"):
        bucket.open("large")


def test_a_write_whose_answer_was_lost_counts_as_won(
    place: tuple[BucketPlace, Faults],
) -> None:
    """A conditional write that is sent again meets its own object, and knows it."""
    bucket, faults = place
    faults.method, faults.next = "PUT", ["lost"]
    assert bucket.put_new("new", b"mine")
    faults.next = ["lost"]
    assert bucket.swap("new", b"mine", b"more")
    assert bucket.get("new") == b"more"


def test_a_file_that_changes_while_it_is_read_is_noticed(
    place: tuple[BucketPlace, Faults],
) -> None:
    """Parts of two versions are never put together."""
    bucket, _ = place
    with bucket.open("large") as file:
        assert file.read(CHUNK_BYTES) == BODY[:CHUNK_BYTES]
        bucket.put("large", b"other" + BODY)
        with pytest.raises(DamagedError, match="changed while"):
            file.read()


def test_a_bucket_that_is_not_there_is_said(aws: AwsSession) -> None:
    """Reading and writing raise NotFoundError; a conditional write does not take it for lost."""
    place = BucketPlace(aws.client("s3"), "no-such-bucket-here", "p", aws.where)
    for call in (
        lambda: place.put("x", b""),
        lambda: place.put_new("x", b""),
        lambda: place.get("x"),
        lambda: list(place.entries()),
    ):
        with pytest.raises(NotFoundError):
            call()


def test_sets_in_a_bucket_are_listed_and_pruned(aws: AwsSession, project: str) -> None:
    """As in a folder: states, the lock, what stays; nothing is left of what goes."""
    bucket = f"b-{uuid.uuid4().hex[:12]}"
    aws.client("s3").create_bucket(Bucket=bucket)
    place = open_place(f"s3://{bucket}/backups", aws, project)
    ids = [f"2026110{day}T120000Z-0000000{day}" for day in (1, 2, 3)]
    put_set(place, ids[0])
    put_set(place, ids[1], whole=False)
    put_set(place, ids[2])
    clock = FakeClock(1_800_000_000.0)
    states = [(one.id, one.state) for one in list_sets(place, clock)]
    assert states == [(ids[2], "valid"), (ids[1], "incomplete"), (ids[0], "valid")]
    with PlaceLock(place, "A backup", clock, new_id), pytest.raises(LockHeldError):
        Pruner(place, clock, new_id).prune(Policy(last=1))
    with Reading(place, [ids[0]], "A restore", clock, new_id):
        verdicts = Pruner(place, clock, new_id).prune(Policy(last=1))
        assert [verdict.stays for verdict in verdicts] == [True, False, True]
    Pruner(place, clock, new_id).prune(Policy(last=1))
    assert list(place.folders()) == [ids[2]]
    assert {entry.name.partition("/")[0] for entry in place.entries()} == {ids[2]}
