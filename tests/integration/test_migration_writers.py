"""Writers go on through a whole migration and back, and nothing that was acknowledged is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.legacy_tables import fill_legacy
from tests.migrating import Moving
from tests.migration_writers import until_written, writing, wrong
from tests.waiting import until


def there_and_back(moving: Moving, rounds: int, writes: int, notice_s: float, seed: int) -> None:
    """Migrates and rolls back under writes; so many of them come between the steps."""
    migrator = moving.migrator(notice_s=notice_s)
    moving.note_engine("legacy")
    with writing(moving, seed) as writers:
        for _ in range(rounds):
            until_written(writers, writes)
            migrator.run()
            # What is written this moment may differ: as people do, ask again.
            until(lambda: migrator.verify(sample=0, folder=moving.folder).equal, 120)
            migrator.cut_over()
            until_written(writers, writes)
            migrator.follow(1.0)
            until_written(writers, writes)
            migrator.roll_back()
            until_written(writers, writes // 4)
    migrator.follow(0.0)
    assert wrong(moving, writers) == []
    # An engine that deletes a message while the follower indexes it may leave an entry without a
    # message in the index: found, and put right. Nothing else differs.
    assert {mismatch.kind for mismatch in moving.verify().mismatches} <= {"index"}
    assert moving.verify(repair=True).mismatches == ()


@pytest.mark.slow
def test_nothing_acknowledged_is_lost(endpoint_url: str, project: str, tmp_path: Path) -> None:
    """Every write that was acknowledged stands on both sides, in its last version, and what was
    deleted is gone: by the writers' own logs, after copy, cut-over and rollback."""
    moving = Moving.make(endpoint_url, project, tmp_path)
    fill_legacy(moving.aws, project, items=200, users=8)
    there_and_back(moving, 1, 60, 2.0, 1)


@pytest.mark.soak
def test_nothing_acknowledged_is_lost_for_long(
    endpoint_url: str, project: str, tmp_path: Path
) -> None:
    """The same there and back three times, with as much time as engines have at AWS."""
    moving = Moving.make(endpoint_url, project, tmp_path)
    fill_legacy(moving.aws, project, items=3000, users=40)
    there_and_back(moving, 3, 1500, 15.0, 2)
