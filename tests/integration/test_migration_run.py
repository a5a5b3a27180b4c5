"""Migrations that are held up, told what to do from elsewhere, refused, and gone back on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from core.clock import SYSTEM_CLOCK
from core.errors import DifferenceError, InterruptedRunError, LockHeldError, UsageError
from core.ial_master_engine_integrated import open_engine
from core.memory.opening import open_legacy_engine
from core.migration.journal import Control, Going
from core.migration.migrator import Migrator
from core.testing.clock import FakeClock
from tests.engines import Down
from tests.faulty import faulty
from tests.legacy_tables import fill_legacy
from tests.migrating import Moving, found_heads, wanted_heads
from tests.waiting import until


@pytest.fixture
def moving(endpoint_url: str, project: str, tmp_path: Path) -> Moving:
    """Empty tables of both layouts; the legacy engine is the active one."""
    made = Moving.make(endpoint_url, project, tmp_path)
    made.note_engine("legacy")
    return made


@contextmanager
def stopped(migrator: Migrator) -> Iterator[None]:
    """Runs a migration in a thread meanwhile, which is to end by being stopped."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(migrator.run)
        yield
        assert isinstance(future.exception(60), InterruptedRunError)


def test_a_migration_is_told_from_elsewhere(moving: Moving) -> None:
    """Paused before it begins it waits and says why; budgets change while it runs; another one is
    refused; it ends elsewhere than where it was begun, by what the operations table holds."""
    items = fill_legacy(moving.aws, moving.settings.project, items=300, large=0)
    elsewhere, seen, stop = moving.migrator(), list[Going](), threading.Event()
    elsewhere.tell(lambda c: replace(c, paused=True, by="Ada"))
    first = moving.migrator(max_rcu=40.0, observe=seen.append, stop=stop.is_set)
    with stopped(first):
        until(lambda: any("paused by Ada" in going.waiting for going in seen))
        with pytest.raises(LockHeldError, match="lock"):
            elsewhere.run()
        elsewhere.tell(lambda c: replace(c, paused=False, max_wcu=150.0))
        until(lambda: any("150 write units/s" in going.waiting for going in seen))
        stop.set()
    state = elsewhere.status()
    assert state.control == Control(False, 40.0, 150.0, "Ada")
    assert state.state is not None
    assert state.state.status == "copying"
    assert state.going is not None
    elsewhere.tell(lambda _: Control())
    assert moving.migrator().run() == "done"
    assert found_heads(moving) == wanted_heads(items)
    assert moving.migrator().run() == "nothing to do"


def test_callers_of_the_legacy_engine_go_on(moving: Moving) -> None:
    """The same code saves and finds before, during and after; a rollback brings all of it back."""
    legacy = open_legacy_engine(moving.aws, moving.settings.project, Down())
    said: list[str] = []

    def say(what: str) -> None:
        legacy.save_interaction(f"{what}, old code", "Noted.", "ada", "s")
        with open_engine(moving.settings) as engine:
            engine.save_interaction(f"{what}, new code", "Noted.", "ada", "s")
            said.extend((f"{what}, old code", f"{what}, new code"))
            until(lambda: what in engine.build_context_for_query(what, "ada", "s"))

    migrator = moving.migrator()
    say("before")
    migrator.run()
    say("copied")
    assert migrator.verify(folder=moving.folder).equal
    migrator.cut_over()
    say("cut over")
    migrator.follow(0.0)
    with open_engine(moving.settings) as engine:
        assert engine.active == "optimized"
        assert all(one in engine.build_context_for_query("code", "ada") for one in said)
    assert all(one in legacy.build_context_for_query("code", "ada") for one in said)
    say("going back")
    migrator.roll_back()
    say("after")
    stands = [i["content"] for i in moving.items(moving.legacy) if i["role"] == "user"]
    assert sorted(stands) == sorted(said)
    assert migrator.run() == "done"
    assert moving.verify().equal


def test_what_can_not_be_mapped(moving: Moving) -> None:
    """Each such item is in the file whole, ends the run, blocks nothing once it is allowed for, and
    is settled when it was put right."""
    letters = moving.folder / "letters.jsonl"
    plain = {"timestamp": "2024-05-01T00:00:00Z", "session_id": "s", "role": "user", "content": "x"}
    bad = {
        "a long user": {"user_id": "u" * 2040, "sort_key": "k"},
        "a long role": {"user_id": "ada", "sort_key": "role", "role": "r" * 70},
        "a long session": {"user_id": "ada", "sort_key": "session", "session_id": "s" * 3000},
    }
    for item in bad.values():
        moving.put(moving.legacy, {**plain, **item})
    moving.put(moving.legacy, {**plain, "user_id": "ada", "sort_key": "good"})
    expired = int(SYSTEM_CLOCK.time()) - 9
    moving.put(moving.legacy, {**plain, "user_id": "ada", "sort_key": "old", "ttl": expired})
    with pytest.raises(DifferenceError, match="can't be moved"):
        moving.migrator(dead_letters=letters).run()
    migrator = moving.migrator(dead_letters=letters, max_failed=3)
    assert migrator.run() == "done"
    lines = [orjson.loads(line) for line in letters.read_bytes().splitlines()]
    assert sorted(line["Item"]["sort_key"]["S"] for line in lines) == ["k", "role", "session"]
    assert all(line["reason"] for line in lines)
    assert [head["sort_key"] for head in moving.heads()] == ["good"]
    status = migrator.status()
    assert (status.failed, sum(mark.expired for mark in status.marks)) == (3, 1)
    moving.put(moving.legacy, {**plain, **bad["a long role"], "role": "tool"})
    moving.remove(moving.legacy, bad["a long user"], "user_id", "sort_key")
    retried = migrator.retry()
    assert (retried.moved, retried.gone, retried.failed) == (1, 1, 1)
    moving.put(moving.legacy, {**plain, **bad["a long session"], "session_id": "short"})
    migrator.run()
    assert migrator.status().failed == 0
    assert moving.verify().equal


def test_a_stream_that_shows_too_little(moving: Moving) -> None:
    """A stream without the images before is refused; none at all is turned on."""
    update = moving.boto.update_table
    keys_only = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    update(TableName=moving.legacy, StreamSpecification=keys_only)
    with pytest.raises(UsageError, match="KEYS_ONLY"):
        moving.migrator().run()
    update(TableName=moving.legacy, StreamSpecification={"StreamEnabled": False})
    moving.migrator().run()
    about = moving.boto.describe_table(TableName=moving.legacy)["Table"]
    assert about["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"


def test_a_position_that_is_too_old(moving: Moving) -> None:
    """Where following was left over 20 hours ago it stops, and says how far; a new beginning
    copies what is there by now."""
    items = fill_legacy(moving.aws, moving.settings.project, items=20, large=0)
    moving.migrator().run()
    later = FakeClock(time.time())
    later.jump(21 * 3600)
    with pytest.raises(UsageError, match="21 hours"):
        moving.migrator(later).run()
    assert moving.migrator().run(restart=True) == "done"
    assert found_heads(moving) == wanted_heads(items)


def test_an_endpoint_that_throttles_and_goes_away(moving: Moving, endpoint_url: str) -> None:
    """Throttled it goes slower; without PartiQL it puts each item by itself; with requests lost and
    connections cut it goes on: all of it is there, once."""
    items = fill_legacy(moving.aws, moving.settings.project, items=40, large=0)
    with faulty(endpoint_url) as (url, faults):
        counts: dict[str, int] = {}

        def choose(method: str, operation: str) -> str:
            number = counts[operation] = counts.get(operation, 0) + 1
            if operation == "BatchExecuteStatement":
                return "refused"
            if operation in ("Scan", "PutItem", "BatchWriteItem"):
                return {3: "throttled", 5: "lost", 7: "dropped"}.get(number, "")
            return ""

        faults.choose = choose
        migrator = moving.migrator(endpoint_url=url)
        assert migrator.run() == "done"
        going = migrator.status().going
    assert counts["BatchExecuteStatement"] >= 1
    assert counts["PutItem"] > len(items) // 2
    assert going is not None
    assert going.numbers["throttles"] > 0
    assert found_heads(moving) == wanted_heads(items)
    assert moving.verify().equal
