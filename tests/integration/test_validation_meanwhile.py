"""Validation while others write, and repairs that are killed."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.aws.session import AwsSession
from core.errors import EndpointUnreachableError, InterruptedRunError, NotFoundError, UsageError
from core.llm.hashing import HashingEmbedder
from core.memory import keys
from core.memory.model import Message
from core.memory.parts import Options, Parts, Tables
from core.memory.schema import history_schema
from core.settings import Settings
from core.testing.clock import FakeClock
from core.validation.results import Progress
from core.validation.validator import Validator
from tests.engines import FIRST_US, conversation
from tests.validated import Memory

_WRITES = ("put", "put_new", "batch_write", "update", "delete")


@pytest.fixture
def memory(endpoint_url: str, project: str, tmp_path: Path) -> Memory:
    """A memory of one short conversation."""
    made = Memory.make(endpoint_url, project, tmp_path)
    with made.engine() as engine:
        engine.import_messages("ada", conversation("ada", 40))
    return made


@dataclass
class Life:
    """How many writes a process makes before it is killed; none counted where it is not."""

    left: int | None = None
    made: int = field(default=0)


class Mortal:
    """A table through which one process writes: it dies before one of its writes."""

    def __init__(self, table: Any, life: Life) -> None:
        self._table, self._life = table, life

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._table, name)
        if name not in _WRITES:
            return operation

        def call(*arguments: Any, **named: Any) -> Any:
            if self._life.left is not None and self._life.made >= self._life.left:
                raise EndpointUnreachableError("Killed.")
            self._life.made += 1
            return operation(*arguments, **named)

        return call


def repair(memory: Memory, life: Life) -> None:
    """A repair by a process of this life."""
    history: Any = Mortal(memory.history, life)
    embeddings: Any = Mortal(memory.embeddings, life)
    with (
        memory.validator() as validator,
        Parts(Tables(history, embeddings), HashingEmbedder(), Options()) as parts,
    ):
        validator.run()
        validator._looker.history, validator._looker.embeddings = history, embeddings
        validator.repair(parts)


def damage(memory: Memory) -> None:
    """One of each sort: messages out of place, gone, unindexed, vectors lost and wrong."""
    heads = memory.heads()
    later = f"{heads[1]['timestamp'] + 9:016d}#{heads[1]['role']}"
    another = keys.user_date("ada", heads[2]["timestamp"] + 86_400_000_000)
    for head, after in ((heads[1], {"timestamp_type": later}), (heads[2], {"user_date": another})):
        memory.remove(memory.history, head)
        memory.history.put({**head, **after})
    memory.remove(memory.history, heads[3])
    memory.remove(memory.embeddings, memory.vector(heads[4]))
    memory.embeddings.put({**memory.vector(heads[5]), "session_id": "other"})
    memory.history.put({**heads[6], "summary": "?"})


def contents(memory: Memory) -> set[tuple[str, str]]:
    """Each message's id and content."""
    return {(str(h["message_id"]), str(h["content"])) for h in memory.heads()}


def test_a_repair_that_is_killed_is_finished_by_the_next(memory: Memory) -> None:
    """Before any of its writes: no message is ever lost, and the next run leaves nothing."""
    heads = memory.heads()
    expected = contents(memory) - {(str(heads[3]["message_id"]), str(heads[3]["content"]))}
    damage(memory)
    life = Life()
    repair(memory, life)
    assert memory.found() == {}
    assert contents(memory) == expected
    for writes in range(0, life.made, 3):
        memory.history.put(heads[3])
        damage(memory)
        with suppress(EndpointUnreachableError):
            repair(memory, Life(left=writes))
        assert contents(memory) >= expected
        repair(memory, Life())
        assert memory.found() == {}, writes
        assert contents(memory) == expected


def test_what_others_write_meanwhile_is_no_finding(memory: Memory) -> None:
    """Messages saved, edited and forgotten while both tables are read."""
    stop = threading.Event()

    def write() -> None:
        with memory.engine() as engine:
            for number in range(10_000):
                if stop.is_set():
                    return
                engine.import_messages(
                    f"u{number % 7}", conversation(f"u{number % 7}", 1 + number % 23)
                )
                if number % 5 == 4:
                    engine.forget_session(f"u{number % 7}", "session-00000", wait=False)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(3):
            assert memory.found(settle_s=0.3) == {}
    finally:
        stop.set()
        thread.join()
    assert memory.found() == {}


def test_a_user_alone(memory: Memory) -> None:
    """Only this user's partitions are read, and what is wrong of another is not found."""
    with memory.engine() as engine:
        engine.import_messages("eve", conversation("eve", 15))
    memory.remove(memory.embeddings, memory.vector(memory.heads("eve")[2]))
    ada, eve = memory.validate(user="ada"), memory.validate(user="eve")
    assert (ada.clean, ada.messages, ada.users) == (True, 40, 1)
    assert [(f.kind, f.count) for f in eve.findings] == [("row_without_item", 1)]
    memory.repair(user="eve")
    assert memory.found() == {}
    with pytest.raises(UsageError):
        memory.validate(user="")


def test_notes_are_no_violations(memory: Memory) -> None:
    """A message without a vector, and items that DynamoDB should have removed days ago."""
    head = memory.heads()[0]
    bare = {k: v for k, v in memory.vector(head).items() if k in head or k == "characters"}
    vector = memory.vector(head)
    memory.embeddings.put(
        {**bare, "user_chunk": vector["user_chunk"], "embedding_id": vector["embedding_id"]}
    )
    found = memory.validate()
    assert found.clean
    assert [(f.kind, f.count) for f in found.notes] == [("without_vector", 1)]
    with memory.engine() as engine:
        clock = FakeClock()
        soon = Message(
            "eve", "s", "m", FIRST_US, "user", "Hello.", expires_at=int(clock.time()) + 5
        )
        engine.import_messages("eve", [soon])
    clock.advance(3 * 86_400)
    assert memory.found(clock)["expired_standing"] == 2
    assert memory.validate(clock).clean


def test_it_can_be_stopped_and_tells_where_it_stands(memory: Memory) -> None:
    """A wish to stop ends it between pages; what was read is told with its cost."""
    told: list[Progress] = []
    memory.validate(observe=told.append)
    assert {p.stage for p in told} == {"reading"}
    assert max(p.items for p in told) == 40 + 2
    with pytest.raises(InterruptedRunError):
        memory.validate(stop=lambda: True)


def test_tables_that_are_not_there(aws: AwsSession, settings: Settings) -> None:
    """It says which table there is none of."""
    with Validator(aws, settings.project) as validator, pytest.raises(NotFoundError) as error:
        validator.run()
    assert history_schema(settings.project).name in error.value.what
