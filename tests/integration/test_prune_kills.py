"""A prune that is killed at any point leaves whole backups only, and the next one ends it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from core.backup.catalog import list_sets
from core.backup.folder import FolderPlace
from core.backup.manifest import SET_FILE
from core.backup.pruning import Policy, Pruner
from core.clock import SYSTEM_CLOCK, new_id
from tests import forked
from tests.backup_sets import put_set

IDS = [f"2026110{day}T120000Z-0000000{day}" for day in range(1, 6)]
# Every change of a folder is one of these.
CHANGES = frozenset({"os.rename", "os.remove", "os.link", "os.rmdir", "os.mkdir"})


def prune(folder: Path, changes: int) -> None:
    """Prunes in a process of its own, that kills itself after so many changes of the folder."""
    left = iter(range(changes))
    pruning = True

    def count(event: str, _: object) -> None:
        if pruning and event in CHANGES and next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    Pruner(FolderPlace(folder, "backups"), SYSTEM_CLOCK, new_id).prune(Policy(last=1))
    pruning = False


def lay_out(folder: Path) -> FolderPlace:
    """Two chains of a full set and increments, and a newest set."""
    place = FolderPlace(folder, "backups")
    for number, name in enumerate(IDS):
        put_set(place, name, base=IDS[number - 1] if number in (1, 3) else None)
    return place


def check_whole(place: FolderPlace) -> None:
    """What is listed as valid has all its files, and all that it builds on."""
    sets = {one.id: one for one in list_sets(place, SYSTEM_CLOCK)}
    valid = [one for one in sets.values() if one.state == "valid"]
    assert IDS[-1] in [one.id for one in valid]
    for one in valid:
        names = [entry.name for entry in place.entries(one.id)]
        assert len(names) == 4
        assert f"{one.id}/{SET_FILE}" in names
        assert one.base is None or sets[one.base].state == "valid"


@pytest.mark.parametrize(
    "step",
    [pytest.param(5, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.soak)],
    ids=["every fifth change", "every change"],
)
def test_killed_anywhere_it_leaves_whole_backups(tmp_path: Path, step: int) -> None:
    """Killed before changes of the folder in turn, until one run comes to its end."""
    for changes in range(0, 500, step):
        folder = tmp_path / str(changes)
        place = lay_out(folder)
        process = forked.begin(prune, folder, changes)
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL)
        check_whole(place)
        Pruner(place, SYSTEM_CLOCK, new_id).prune(Policy(last=1))
        assert list(place.folders()) == [IDS[-1]]
        check_whole(place)
        assert not [path for path in folder.rglob("*.tmp") if path.parent != folder]
        if process.exitcode == 0:
            assert changes > 30
            return
    pytest.fail("no run came to its end")
