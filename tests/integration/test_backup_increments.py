"""Increments: what changed since a backup, from the stream."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.aws.session import AwsSession
from core.backup.folder import FolderPlace
from core.clock import SYSTEM_CLOCK
from core.errors import UsageError
from core.transfer.streams import Stream, StreamPosition
from tests.backups import plain_item
from tests.scanned import Bench, one


@pytest.fixture
def bench(aws: AwsSession, project: str, tmp_path: Path) -> Bench:
    """A bench whose table is not made yet."""
    return Bench(aws, f"{project}-bench", FolderPlace(tmp_path / "backups"), tmp_path)


def test_increments_lead_to_the_end_of_each(bench: Bench) -> None:
    """What changed, came and went since a backup is in its increment, and only that."""
    bench.make()
    bench.put(*map(plain_item, range(40)))
    base = bench.take()
    bench.put(plain_item(3) | {"content": {"S": "changed"}}, plain_item(100), plain_item(101))
    bench.delete(plain_item(5))
    bench.delete(plain_item(101))
    first = bench.take(base=base.id)
    then = bench.standing()
    bench.put(plain_item(5))
    bench.delete(plain_item(3))
    second = bench.take(base=first.id)
    assert (one(first).kind, one(first).method, one(first).items) == ("incremental", "stream", 4)
    assert bench.held(first.id) == then
    assert bench.held(second.id) == bench.standing()
    assert "5" not in bench.held(first.id)


def test_increment_of_a_scan_that_is_no_snapshot(bench: Bench) -> None:
    """An increment of a backup that no stream came with is a full backup."""
    bench.make(stream=None)
    bench.put(plain_item(1))
    base = bench.take()
    assert one(bench.take(base=base.id)).kind == "full"


def test_stream_that_does_not_reach_back_is_told(bench: Bench) -> None:
    """An increment whose stream no longer holds all changes is refused, not taken in part."""
    bench.make()
    bench.put(plain_item(1))
    base = bench.take()
    bench.put(plain_item(2))
    first = bench.take(base=base.id)
    position = one(first).position
    assert position is not None
    bench.put(plain_item(3))
    forged = StreamPosition(
        position.arn,
        position.since_s,
        dict.fromkeys(position.shards, "000000000000000000000000000000"),
    )
    stream = Stream(bench.aws, position.arn, SYSTEM_CLOCK)
    with pytest.raises(UsageError, match="no longer holds"):
        stream.read(forged, stream.next_second(), lambda _: None)
