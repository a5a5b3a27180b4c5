"""Backups by scan brought to one instant by the stream, or said not to be."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from core.aws.session import AwsSession
from core.backup import manifest
from core.backup.folder import FolderPlace
from core.backup.progress import Progress
from tests.backups import plain_item
from tests.scanned import Bench, Writers, one


@pytest.fixture
def bench(aws: AwsSession, project: str, tmp_path: Path) -> Bench:
    """A bench whose table is not made yet."""
    return Bench(aws, f"{project}-bench", FolderPlace(tmp_path / "backups"), tmp_path)


def test_table_without_stream_is_no_snapshot(bench: Bench) -> None:
    """The manifest says that it is none, why, and over which time it was read."""
    bench.make(stream=None)
    bench.put(*map(plain_item, range(20)))
    about = one(bench.take())
    assert not about.consistent
    assert "no stream" in about.why_not
    assert about.started_at < about.finished_at


def test_keys_only_stream_is_not_replayed(bench: Bench) -> None:
    """A stream without images can't bring a scan to one instant, and is left alone."""
    bench.make(stream="KEYS_ONLY")
    bench.put(*map(plain_item, range(20)))
    about = one(bench.take())
    assert (about.consistent, about.position) == (False, None)


def test_scan_under_writers_is_the_table_at_its_instant(bench: Bench) -> None:
    """While writers go on, the backup is what the log of writes says stood at that second."""
    bench.make()
    bench.put(*map(plain_item, range(300)))
    first = bench.standing()

    def slow(_progress: Progress) -> None:
        time.sleep(0.15)  # so that writes come between the pages of the scan

    with Writers(bench) as writers:
        found = bench.take(observe=slow, max_rcu=30.0)
    about = one(found)
    assert about.consistent
    at_s = manifest.seconds_of(about.at)
    assert len([entry for entry in writers.log if entry[3] < at_s]) > 20
    assert writers.fits(bench.held(found.id), at_s, first) == []
