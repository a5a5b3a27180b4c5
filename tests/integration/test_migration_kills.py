"""A migration that is killed anywhere and gone on with ends as one that never was."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from core.aws.codec import WireItem, decode_item, encode_item
from core.memory.model import Message
from tests import forked, migration_steps
from tests.legacy_tables import fill_legacy
from tests.migrating import Moving, found_heads, wanted_heads

TOLD = "told.txt"
STEPS = {"run": 4, "verify": 2, "cutover": 2, "rollback": 2}
"""In which steps a process is killed, and how often where it is ten times in all."""
_NOW_S = 1_750_000_000


class Killed:
    """A migration whose processes are killed, and the writes that go on meanwhile."""

    def __init__(self, moving: Moving, rng: random.Random, items: list[WireItem]) -> None:
        self.moving, self.rng = moving, rng
        self.legacy = {_key(item): item for item in items}
        self.said: list[Message] = []
        self.kills = 0

    def take(self, step: str, times: int, write: Callable[[], None]) -> None:
        """Begins a step and kills it so many times, writing between; then takes it to its end."""
        took_s = 0.7
        for _ in range(times):
            write()
            begun = time.monotonic()
            process = forked.begin(migration_steps.main, *self._about(step), err=self._told)
            process.join(self.rng.uniform(0.02, took_s))
            self.kills += process.exitcode is None
            process.kill()
            process.join()
            assert process.exitcode in (0, -9), self._told.read_text()
            # So far nobody knows how long the whole of it takes: each try goes further.
            took_s = max(took_s, 1.5 * (time.monotonic() - begun))
            process.close()
        write()
        migration_steps.take(self.moving, step)

    def write_legacy(self) -> None:
        """Some writes of an application: new messages, other contents, other days, and deletes."""
        for _ in range(6):
            item = self.rng.choice(sorted(self.legacy.values(), key=_key))
            what = self.rng.choice(("new", "over", "day", "gone"))
            if what == "gone":
                self._delete(item)
                continue
            more = {"content": f"text {self.rng.randrange(10**9)}"}
            if what == "new":
                more["sort_key"] = f"new-{self.rng.randrange(10**9)}"
            if what == "day":
                more["timestamp"] = str(_NOW_S + 86_400 * self.rng.randrange(9))
            self._put({**item, **encode_item(more)})

    def write_optimized(self) -> None:
        """Some messages said to the optimized engine."""
        user = "ada"
        number = len(self.said)
        when_us = _NOW_S * 1_000_000 + number
        more = [
            Message(user, "after", f"said-{number + n}", when_us + n, "user", f"said {number + n}")
            for n in range(3)
        ]
        with self.moving.optimized_engine() as engine:
            engine.import_messages(user, more)
        self.said += more

    def _put(self, item: WireItem) -> None:
        self.moving.boto.put_item(TableName=self.moving.legacy, Item=item)
        self.legacy[_key(item)] = item

    def _delete(self, item: WireItem) -> None:
        key = {name: item[name] for name in ("user_id", "sort_key")}
        self.moving.boto.delete_item(TableName=self.moving.legacy, Key=key)
        del self.legacy[_key(item)]

    def _about(self, step: str) -> tuple[str, ...]:
        settings = self.moving.settings
        return str(settings.endpoint_url), settings.project, str(self.moving.folder), step

    @property
    def _told(self) -> Path:
        return self.moving.folder / TOLD

    def check(self) -> None:
        """Each table holds just what it would without any kill."""
        stands = {_key(item): item for item in self.moving.scan(self.moving.legacy)}
        born = {key: item for key, item in stands.items() if key not in self.legacy}
        for key, item in self.legacy.items():
            assert decode_item(stands[key]) == decode_item(item)
        contents = sorted(item["content"]["S"] for item in born.values())
        assert contents == sorted(message.content for message in self.said)
        heads = found_heads(self.moving)
        said = [h for h in self.moving.heads() if h["session_id"] == "after"]
        assert sorted(h["content"] for h in said) == contents
        copied = wanted_heads(list(self.legacy.values()))
        assert copied - heads == type(copied)()
        assert heads.total() == copied.total() + len(said)


def kill_and_go_on(killed: Killed, kills: Mapping[str, int]) -> None:
    """One migration there and back, each of its steps killed so many times."""
    for step, times in kills.items():
        later = step == "rollback"
        killed.take(step, times, killed.write_optimized if later else killed.write_legacy)
        if step == "run":
            # All has to be verified again after what was written since.
            assert killed.moving.verify(sample=0).equal
    killed.check()
    assert killed.moving.verify().mismatches == ()


def make(endpoint_url: str, project: str, folder: Path, count: int) -> tuple[Moving, Any]:
    """Tables of both layouts, the legacy one filled."""
    moving = Moving.make(endpoint_url, project, folder)
    moving.note_engine("legacy")
    return moving, fill_legacy(moving.aws, project, items=count, users=6)


@pytest.mark.slow
def test_a_migration_killed_at_ten_points(endpoint_url: str, project: str, tmp_path: Path) -> None:
    """Wherever it was killed, the same step again goes on, and nothing is lost or doubled."""
    moving, items = make(endpoint_url, project, tmp_path, 240)
    killed = Killed(moving, random.Random(3), items)
    kill_and_go_on(killed, STEPS)
    assert killed.kills >= 8


@pytest.mark.soak
def test_a_migration_killed_at_two_hundred_points_of_each_step(
    endpoint_url: str, project: str, tmp_path: Path
) -> None:
    """The same at two hundred points of each step, there and back fifty times."""
    moving, items = make(endpoint_url, project, tmp_path, 1000)
    killed = Killed(moving, random.Random(4), items)
    for _ in range(50):
        kill_and_go_on(killed, dict.fromkeys(STEPS, 4))
    assert killed.kills >= 600


def _key(item: WireItem) -> tuple[str, str]:
    return str(item["user_id"]["S"]), str(item["sort_key"]["S"])
