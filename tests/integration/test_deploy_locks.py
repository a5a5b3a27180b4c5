"""Locks of a deployment: one run at a time, and none waits for a dead one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.aws.lease import Lease, this_run
from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK, new_id
from core.deploy.lock import file_lock
from core.errors import (
    LockHeldError,
)
from core.settings import Settings
from core.testing.clock import FakeClock

pytestmark = pytest.mark.usefixtures("cloudformation")


def make_operations_table(aws: AwsSession, project: str) -> None:
    """The table that leases are taken in, without the rest of a deployment."""
    aws.client("dynamodb").create_table(
        TableName=f"{project}-operations",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    )


@pytest.fixture
def lease(settings: Settings, aws: AwsSession, project: str) -> Iterator[tuple[Lease, Lease]]:
    """Two runs that want the lease of one project, on machines of their own."""
    make_operations_table(aws, project)
    clock = FakeClock()
    owners = (
        dataclasses.replace(this_run(new_id()), host="here"),
        dataclasses.replace(this_run(new_id()), host="there"),
    )
    dynamodb, table = aws.client("dynamodb"), f"{project}-operations"
    first, second = (Lease(dynamodb, table, owner, clock) for owner in owners)
    yield first, second
    first.release()
    second.release()


def test_only_one_holds_the_lease(lease: tuple[Lease, Lease]) -> None:
    """The second is told who holds it and since when; after a release it gets a higher number."""
    first, second = lease
    assert first.acquire()
    with pytest.raises(LockHeldError) as caught:
        second.acquire()
    assert "@here (process" in str(caught.value.fields["owner"])
    assert str(caught.value.fields["since"]).endswith("Z")
    before = first.fence
    first.release()
    assert second.acquire()
    assert second.fence > before


def test_a_lease_that_ran_out_is_taken_over(lease: tuple[Lease, Lease]) -> None:
    """After its time another takes it; the first notices when it next keeps it."""
    first, second = lease
    first.acquire()
    clock: FakeClock = first._clock  # type: ignore[assignment]  # the fixture's own
    clock.advance(100)
    first.keep()
    clock.advance(100)
    with pytest.raises(LockHeldError):
        second.acquire()
    clock.advance(121)  # over the lease's 120 s since it was last kept
    assert second.acquire()
    for _ in range(2):  # every thread that asks is told, not only the first
        with pytest.raises(LockHeldError, match="@there"):
            first.keep()


def test_the_lease_of_a_dead_process_is_taken_over(
    settings: Settings, aws: AwsSession, project: str
) -> None:
    """A run killed on this machine does not keep the next one waiting."""
    make_operations_table(aws, project)
    dynamodb, table = aws.client("dynamodb"), f"{project}-operations"
    dead = dataclasses.replace(this_run(new_id()), pid=2**22 + 1)  # above any process id
    Lease(dynamodb, table, dead, SYSTEM_CLOCK).acquire()
    mine = Lease(dynamodb, table, this_run(new_id()), SYSTEM_CLOCK)
    assert mine.acquire()
    mine.release()


def test_a_lock_file_names_its_owner(tmp_path: Path) -> None:
    """While one holds the file another is refused; afterwards it is free."""
    path, owner = tmp_path / "deep" / "deploy.lock", this_run(new_id())
    with (
        file_lock(path, owner, SYSTEM_CLOCK),
        pytest.raises(LockHeldError, match="process"),
        file_lock(path, owner, SYSTEM_CLOCK),
    ):
        pass
    with file_lock(path, owner, SYSTEM_CLOCK):
        pass
