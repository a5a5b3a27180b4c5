"""A restore that is killed anywhere and run again ends as one that never was."""

from __future__ import annotations

import contextlib
import random
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from core.aws.session import AwsSession
from core.backup.folder import FolderPlace
from core.errors import NotFoundError
from core.settings import Settings
from tests import forked, restoring
from tests.backups import plain_item
from tests.restoring import Bench

TOLD = "told.txt"
ITEMS = [plain_item(number, 300) for number in range(1500)]


def child(settings: Settings, folder: Path, backup: str) -> ForkServerProcess:
    """A restore in a process of its own."""
    arguments = (str(settings.endpoint_url), settings.project, str(folder), backup)
    return forked.begin(restoring.main, *arguments, err=folder / TOLD)


def kill_and_resume(
    settings: Settings, bench: Bench, backup: str, points: int, rng: random.Random
) -> list[str]:
    """Kills a restore at so many points, each time going on with it; answers what was seen."""
    target, client = f"{bench.table}-restored", bench.aws.client("dynamodb")
    began = time.monotonic()
    whole = child(settings, bench.folder, backup)
    whole.join(120)
    assert whole.exitcode == 0, (bench.folder / TOLD).read_text()
    took_s = time.monotonic() - began
    states: list[str] = []
    for _ in range(points):
        with contextlib.suppress(NotFoundError):
            client.delete_table(TableName=target)
        process = child(settings, bench.folder, backup)
        process.join(rng.uniform(0.2, 1.0) * took_s)
        process.kill()
        process.join()
        states.append(bench.plan(backup).tables[0].state)
        found = bench.restore(backup)
        assert found.comparison is not None
        assert found.comparison.equal
        assert bench.compared(target, ITEMS).equal
    return states


@pytest.mark.slow
def test_a_restore_killed_at_ten_points_is_equal(
    settings: Settings, aws: AwsSession, project: str, tmp_path: Path
) -> None:
    """Wherever it was killed, the same restore again gives every item, once."""
    bench = Bench(aws, f"{project}-bench", FolderPlace(tmp_path / "backups"), tmp_path)
    bench.make()
    bench.put(ITEMS)
    states = kill_and_resume(settings, bench, bench.take(), 10, random.Random(7))
    assert "begun" in states


@pytest.mark.soak
def test_a_restore_killed_at_a_two_hundred_points_is_equal(
    settings: Settings, aws: AwsSession, project: str, tmp_path: Path
) -> None:
    """The same at two hundred points."""
    bench = Bench(aws, f"{project}-bench", FolderPlace(tmp_path / "backups"), tmp_path)
    bench.make()
    bench.put(ITEMS)
    kill_and_resume(settings, bench, bench.take(), 200, random.Random(8))
