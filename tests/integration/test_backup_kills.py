"""A backup that is killed anywhere is no backup, and the next one goes on to a whole one."""

from __future__ import annotations

import random
import shutil
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from core.aws.session import AwsSession
from core.backup.catalog import list_sets
from core.backup.folder import FolderPlace
from core.backup.opening import open_backup
from core.backup.reading import items
from core.backup.verifying import verify
from core.clock import SYSTEM_CLOCK, system_random
from core.settings import Settings
from tests import backing_up, forked
from tests.backups import plain_item
from tests.restoring import Bench

ITEMS = [plain_item(number, 300) for number in range(1500)]


class Killer:
    """Kills backups of one table, and looks at what each left behind."""

    def __init__(self, settings: Settings, bench: Bench) -> None:
        self._settings, self._bench = settings, bench
        self.place = FolderPlace(bench.folder / "backups")

    def start(self, write: int | None = None) -> ForkServerProcess:
        """A backup in a process of its own, killed at a write where one is named."""
        about = (str(self._settings.endpoint_url), self._settings.project)
        arguments = (*about, str(self._bench.folder), self._bench.table, write)
        out, err = self._bench.folder / "taken.txt", self._bench.folder / "told.txt"
        return forked.begin(backing_up.main, *arguments, out=out, err=err)

    def finish(self, process: ForkServerProcess) -> str | None:
        """The id of the backup it took; None where it was killed."""
        process.join(120)
        told = (self._bench.folder / "told.txt").read_text()
        assert process.exitcode in (0, -9), told
        return (self._bench.folder / "taken.txt").read_text() if process.exitcode == 0 else None

    def check(self) -> int:
        """Every set that is listed as valid is whole, and equal to the table; answers how many."""
        whole = 0
        for one in list_sets(self.place, SYSTEM_CLOCK):
            if one.state == "valid":
                whole += 1
                assert self._held(one.id) == sorted(int(item["sk"]["N"]) for item in ITEMS)
            else:
                assert one.state in ("incomplete", "in progress"), one.why
        return whole

    def _held(self, set_id: str) -> list[int]:
        """The number of every item that stands in a set, after all of it was verified."""
        backup = open_backup(self.place, set_id, (), self._bench.aws)
        assert verify(backup, self._bench.folder, system_random()).problems == ()
        table = backup.tables[0]
        export = table.layers[0].export
        found = (items(self.place, export, file, table.keys) for file in export.files)
        return sorted(int(item["sk"]["N"]) for some in found for item in some)

    def clear(self) -> None:
        """Removes all sets."""
        shutil.rmtree(self._bench.folder / "backups", ignore_errors=True)


@pytest.fixture
def killer(
    request: pytest.FixtureRequest,
    settings: Settings,
    aws: AwsSession,
    project: str,
    tmp_path: Path,
) -> Killer:
    """A killer of backups of a filled table."""
    bench = Bench(aws, f"{project}-bench", FolderPlace(tmp_path / "backups"), tmp_path)
    view = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    # Each backup of a table with a stream waits for the next second: soaked, not in every run.
    soaked = request.node.get_closest_marker("soak") is not None
    more: dict[str, Any] = {"StreamSpecification": view} if soaked else {}
    bench.make(**more)
    bench.put(ITEMS)
    return Killer(settings, bench)


@pytest.mark.slow
def test_a_backup_killed_at_ten_of_its_writes_goes_on(killer: Killer) -> None:
    """Killed before or after a write, from its plan to its commit: one whole backup in the end."""
    for write in (0, 3, 6, 9, 12, 15, 19, 23, 29, 31):
        killer.clear()
        assert killer.finish(killer.start(write)) is None, "it was killed before it ended"
        whole = killer.check()
        assert killer.finish(killer.start()) is not None
        assert killer.check() == whole + 1
        assert len(list(killer.place.folders())) <= 2


@pytest.mark.soak
def test_a_backup_killed_at_two_hundred_moments_goes_on(killer: Killer) -> None:
    """The same at any moment, one kill after the other until it gets through."""
    rng = random.Random(9)
    begun_s = time.monotonic()
    killer.finish(killer.start())
    took_s = time.monotonic() - begun_s
    for kill in range(200):
        if kill % 4 == 0:
            killer.clear()
        process = killer.start()
        process.join(rng.uniform(0.2, 1.0) * took_s)
        process.kill()
        process.join()
        killer.check()
        if kill % 4 == 3:
            assert killer.finish(killer.start()) is not None
            killer.check()
