"""Migrations that are held up at the worst moment, and switches that were not ended."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import InterruptedRunError
from core.migration.journal import Control, Going
from tests.faulty import faulty
from tests.legacy_tables import fill_legacy
from tests.migrating import Moving
from tests.waiting import until

_PLAIN = {"timestamp": "2024-05-01T00:00:00Z", "session_id": "s", "role": "user"}


@pytest.fixture
def moving(endpoint_url: str, project: str, tmp_path: Path) -> Moving:
    """Empty tables of both layouts; the legacy engine is the active one."""
    made = Moving.make(endpoint_url, project, tmp_path)
    made.note_engine("legacy")
    return made


def _contents(moving: Moving) -> list[str]:
    return [head["content"] for head in moving.heads()]


def test_a_paused_copy_holds_up_nobody(moving: Moving, endpoint_url: str) -> None:
    """Paused amid a page it ends that page first: what changes of it is followed all the same."""
    item = {**_PLAIN, "user_id": "ada", "sort_key": "k", "content": "first"}
    moving.put(moving.legacy, item)
    seen, told = list[Going](), list[str]()
    inserted, over = threading.Event(), threading.Event()

    def stop() -> bool:
        copies = threading.current_thread().name.startswith("copy")
        if copies and inserted.is_set() and not told:
            told.append("paused")
            moving.migrator().tell(lambda c: replace(c, paused=True))
            before = len(seen)
            until(lambda: len(seen) > before + 1)  # by now it knows
            moving.put(moving.legacy, {**item, "content": "then"})
        return over.is_set()

    with faulty(endpoint_url) as (url, faults), ThreadPoolExecutor(1) as pool:

        def choose(_: str, operation: str) -> str:
            if operation == "BatchExecuteStatement":
                inserted.set()
            return ""

        faults.choose = choose
        migrator = moving.migrator(
            endpoint_url=url, observe=seen.append, stop=stop, workers=1, segments=2
        )
        future = pool.submit(migrator.run)
        try:
            until(lambda: _contents(moving) == ["then"], 20)
        finally:
            over.set()
        assert isinstance(future.exception(60), InterruptedRunError)
    moving.migrator().tell(lambda _: Control())
    moving.migrator().run()
    assert moving.verify().equal


@pytest.mark.parametrize("then", ["run", "follow", "verify"])
def test_a_rollback_that_was_killed_is_ended(moving: Moving, then: str) -> None:
    """Killed once the legacy engine is the active one again, whatever comes next brings over what
    engines that had not noticed wrote to the optimized tables."""
    fill_legacy(moving.aws, moving.settings.project, items=5, users=2, large=0)
    moving.migrate()

    def is_back() -> bool:
        asked = {"pk": {"S": "engine"}, "sk": {"S": "active"}}
        found = moving.boto.get_item(TableName=moving.operations, Key=asked, ConsistentRead=True)
        return bool(found["Item"]["engine"]["S"] == "legacy")

    with pytest.raises(InterruptedRunError):
        moving.migrator(stop=is_back).roll_back()
    with moving.optimized_engine() as engine:
        engine.save_interaction_optimized("a straggler's", "Noted.", "ada", "s")
    if then == "run":
        moving.migrator().run()
    elif then == "follow":
        moving.migrator().follow(0.0)
    else:
        assert moving.verify().equal
    assert "a straggler's" in [item["content"] for item in moving.items(moving.legacy)]
