"""`ialctl reindex`: what lacks a vector gets one; killed it goes on; a model can be changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from core.aws.boto_table import open_table
from core.aws.capacity import TableSchema
from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK
from core.errors import InterruptedRunError
from core.memory.active import operations_table
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.parts import open_parts
from core.memory.reindexing import PARTITION, Reindexed, Reindexer
from core.settings import Settings
from tests.cli.memory_cli import MemoryCli
from tests.engines import conversation
from tests.tables import create_table

USERS, EACH = 12, 10
OPERATIONS = "pk", "sk"


@pytest.fixture
def cli(
    settings: Settings,
    aws: AwsSession,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> MemoryCli:
    """The commands, with some users' messages and their vectors."""
    monkeypatch.setenv("IAL_EMBEDDING_DIMENSIONS", "64")
    made = MemoryCli(settings, capsys)
    made.deploy(aws)
    create_table(aws, TableSchema(operations_table(settings.project), *OPERATIONS))
    narrow = dataclasses.replace(settings, embedding_dimensions=64)
    with OptimizedContextEngine(open_parts(narrow, aws)) as engine:
        for number in range(USERS):
            user = f"user#{number}"
            engine.import_messages(user, conversation(user, EACH))
    return made


def test_a_change_of_the_model_remakes_every_vector(
    cli: MemoryCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted first, then remade; afterwards searches are by vectors again, and all is in line."""
    assert cli("reindex", "--json").json["embedded"] == 0
    monkeypatch.setenv("IAL_EMBEDDING_DIMENSIONS", "32")
    asked = ("context", "What about the garden?", "--user", "user#1")
    assert "another embedding model" in cli(*asked).err
    counted = cli("reindex", "--dry-run", "--json").json
    assert (counted["users"], counted["lacking"]) == (USERS, USERS * EACH)
    assert cli("reindex", "--user", "user#1", "--json").json["embedded"] == EACH
    assert "another embedding model" not in cli(*asked).err
    assert cli("reindex", "--json").json["embedded"] == (USERS - 1) * EACH
    assert "nothing to do" in cli("reindex").out
    assert cli("index", "--user", "user#0", "--check").code == 0


def test_stopped_anywhere_it_goes_on_where_it_was(
    cli: MemoryCli, settings: Settings, aws: AwsSession
) -> None:
    """No message is embedded twice, and at the end nothing of it is left in the operations."""
    other = dataclasses.replace(settings, embedding_dimensions=16)
    operations = open_table(aws, TableSchema(operations_table(settings.project), *OPERATIONS))
    done: list[Reindexed] = []

    def attempt(stop: Callable[[], bool]) -> None:
        with open_parts(other, aws) as parts:
            reindexer = Reindexer(
                parts, aws, operations, SYSTEM_CLOCK, stop=stop, observe=done.append, tell_s=0
            )
            try:
                reindexer.all_users()
            finally:
                before.append(reindexer.done.embedded)

    before: list[int] = []
    for most in (1, 2):
        begun = len(done)
        with pytest.raises(InterruptedRunError):
            attempt(partial(_has, done, begun + most))
    attempt(lambda: False)
    assert sum(before) == USERS * EACH
    marks = aws.client("dynamodb").scan(TableName=operations_table(settings.project))["Items"]
    assert not [mark for mark in marks if mark["pk"]["S"] == PARTITION]


def _has(done: Sequence[object], most: int) -> bool:
    """Whether so much was done."""
    return len(done) >= most
