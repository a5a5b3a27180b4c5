"""`ialctl reindex --generation` and `--drop`: another model's index, beside the one in use."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from core.aws.boto_table import open_table
from core.aws.capacity import TableSchema
from core.aws.session import AwsSession
from core.aws.table import Table
from core.clock import SYSTEM_CLOCK
from core.errors import InterruptedRunError
from core.llm.embedder import BlockingEmbedder, Vectors
from core.llm.hashing import HashingEmbedder
from core.memory.active import operations_table
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.dropping import Dropped, Dropper
from core.memory.generations import generation_of, open_generations
from core.memory.parts import open_parts
from core.memory.reindexing import Reindexed, Reindexer
from core.memory.schema import embeddings_schema
from core.settings import Settings
from tests.cli.memory_cli import MemoryCli
from tests.engines import conversation
from tests.tables import create_table

USERS, EACH = 6, 20
BUILD = ("reindex", "--generation", "new", "--dimensions", "32", "--json")
ASKED = ("context", "What about the garden?", "--user", "user#1")


@pytest.fixture
def old(settings: Settings) -> Settings:
    """The settings of the index in use."""
    return dataclasses.replace(settings, embedding_dimensions=64)


@pytest.fixture
def new(settings: Settings) -> Settings:
    """The settings of the index that is built beside it."""
    return dataclasses.replace(settings, embedding_dimensions=32, index_generation="new")


@pytest.fixture
def cli(
    old: Settings,
    aws: AwsSession,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> MemoryCli:
    """The commands as set for the old index, with some users' messages in it."""
    monkeypatch.setenv("IAL_EMBEDDING_DIMENSIONS", "64")
    made = MemoryCli(old, capsys)
    made.deploy(aws)
    create_table(aws, TableSchema(operations_table(old.project), "pk", "sk"))
    with OptimizedContextEngine(open_parts(old, aws)) as engine:
        for number in range(USERS):
            user = f"user#{number}"
            engine.import_messages(user, conversation(user, EACH))
    return made


def _embeddings(settings: Settings, aws: AwsSession) -> Table:
    return open_table(aws, embeddings_schema(settings.project))


def _by_generation(settings: Settings, aws: AwsSession, name: str) -> dict[str, str]:
    """The items of a generation by key, each as text."""
    table = embeddings_schema(settings.project).name
    items = aws.client("dynamodb").scan(TableName=table)["Items"]
    return {
        f"{i['user_chunk']['S']} {i['embedding_id']['S']}": repr(sorted(i.items()))
        for i in items
        if generation_of(i["user_chunk"]["S"]) == name
    }


def test_a_model_is_changed_with_both_indexes_whole_at_every_moment(
    cli: MemoryCli, old: Settings, aws: AwsSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built, switched, caught up with, dropped: no context lacks a vector on the way."""
    before = _by_generation(old, aws, "")
    assert cli(*BUILD, "--dry-run").json["lacking"] == USERS * EACH
    assert _by_generation(old, aws, "new") == {}
    built = cli(*BUILD)
    assert built.json["indexed"] == USERS * EACH
    assert built.json["settings"]["IAL_INDEX_GENERATION"] == "new"
    assert "IAL_EMBEDDING_DIMENSIONS=32" in built.err
    assert _by_generation(old, aws, "") == before
    assert "another embedding model" not in cli(*ASKED).err
    assert cli("reindex", "--drop", "default", "--yes").code == 2
    with OptimizedContextEngine(open_parts(old, aws)) as engine:
        engine.import_messages("user#1", conversation("user#1", EACH + 5)[EACH:])
    for name, value in built.json["settings"].items():
        monkeypatch.setenv(name, value)
    assert "another embedding model" not in cli(*ASKED).err
    assert cli("reindex", "--json").json["indexed"] == 5
    assert cli("index", "--user", "user#1", "--check").code == 0
    assert cli("reindex", "--drop", "new", "--yes").code == 2
    counted = cli("reindex", "--drop", "default", "--dry-run", "--json").json["items"]
    assert counted == len(_by_generation(old, aws, "")) > 0
    assert cli("reindex", "--drop", "default", "--yes", "--json").json["items"] == counted
    assert _by_generation(old, aws, "") == {}
    assert "nothing to do" in cli("reindex").out


def test_a_generation_is_refused_another_model(
    cli: MemoryCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the one in use nor one that was begun takes vectors of two models."""
    assert cli("reindex", "--model", "hashing-v1-seed3").code == 2
    assert cli("reindex", "--generation", "default", "--dimensions", "32").code == 2
    assert cli("reindex", "--generation", "Two Words").code == 2
    assert cli("reindex", "--drop", "never", "--yes").code == 2
    assert cli(*BUILD).code == 0
    again = cli("reindex", "--generation", "new", "--dimensions", "16")
    assert (again.code, "was begun with" in again.err) == (2, True)
    monkeypatch.setenv("IAL_INDEX_GENERATION", "new")
    monkeypatch.setenv("IAL_EMBEDDING_DIMENSIONS", "32")
    back = cli("reindex", "--generation", "default")
    assert (back.code, "was begun with" in back.err) == (2, True)
    monkeypatch.setenv("IAL_VECTOR_SEARCH", "native")
    assert "holds vectors of the unnamed one alone" in cli("reindex").err


def test_validation_and_forgetting_with_two_generations(
    cli: MemoryCli, old: Settings, aws: AwsSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validation looks at the one that is set, by scan and by user; forgetting at both."""
    cli(*BUILD)
    for dimensions, name in (("64", "default"), ("32", "new")):
        monkeypatch.setenv("IAL_EMBEDDING_DIMENSIONS", dimensions)
        monkeypatch.setenv("IAL_INDEX_GENERATION", name)
        for options, messages in (((), USERS * EACH), (("--user", "user#2"), EACH)):
            found = cli("validate", *options, "--json").json["data"]
            assert (found["vectors"], found["findings"]) == (messages, [])
    assert cli("forget", "--user", "user#2", "--yes", "--no-wait").code == 0
    for name in ("", "new"):
        left = _by_generation(old, aws, name)
        assert left
        assert not [key for key in left if key.startswith("user%232#")]


def test_built_and_dropped_in_spite_of_kills(
    cli: MemoryCli, old: Settings, new: Settings, aws: AwsSession
) -> None:
    """Stopped after each user and each page, both are completed by the same call again."""
    del cli
    operations = open_table(aws, TableSchema(operations_table(new.project), "pk", "sk"))
    done: list[Reindexed] = []
    for most in (1, 2, USERS):
        begun = len(done)
        with open_parts(new, aws) as parts:
            reindexer = Reindexer(
                parts,
                aws,
                operations,
                SYSTEM_CLOCK,
                stop=partial(_has, done, begun + most),
                observe=done.append,
                tell_s=0,
            )
            if most < USERS:
                with pytest.raises(InterruptedRunError):
                    reindexer.all_users()
            else:
                reindexer.all_users()
    assert len(_by_generation(old, aws, "new")) == len(_by_generation(old, aws, ""))
    generations = open_generations(aws, old.project, SYSTEM_CLOCK)
    told: list[Dropped] = []

    def dropper(most: int) -> Dropper:
        def stop() -> bool:
            return len(told) >= most

        return Dropper(_embeddings(old, aws), aws, generations, stop=stop, observe=told.append)

    with pytest.raises(InterruptedRunError):
        dropper(1).drop("new")
    kept = _by_generation(old, aws, "")
    dropper(1000).drop("new")
    assert (_by_generation(old, aws, "new"), _by_generation(old, aws, "")) == ({}, kept)
    assert next(one for one in generations.noted() if one.name == "new").dropped_at


class _Forgetful(BlockingEmbedder):
    """Hashing; during the first one somebody else forgets a user."""

    def __init__(self, dimensions: int, forget: Callable[[], object]) -> None:
        self._inner, self._due = HashingEmbedder(dimensions), [forget]

    @property
    def model(self) -> str:
        """The inner one's."""
        return self._inner.model

    @property
    def dimensions(self) -> int:
        """The inner one's."""
        return self._inner.dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Forgets, then embeds what was read before."""
        while self._due:
            self._due.pop()()
        return self._inner.embed(texts)


def test_who_is_forgotten_while_an_index_is_built_stays_forgotten(
    cli: MemoryCli, old: Settings, new: Settings, aws: AwsSession
) -> None:
    """What was read before and is written after goes again; nobody else's does."""
    del cli
    operations = open_table(aws, TableSchema(operations_table(new.project), "pk", "sk"))
    with OptimizedContextEngine(open_parts(old, aws)) as engine:
        embedder = _Forgetful(32, lambda: engine.forget_user("user#3", wait=False))
        with open_parts(new, aws, embedder=embedder) as parts:
            reindexer = Reindexer(parts, aws, operations, SYSTEM_CLOCK)
            reindexer.user("user#3")
            reindexer.user("user#4")
    left = "".join(_by_generation(old, aws, "new").values())
    assert "user#4" in left
    # Of the first one there is at most a note that all of it is gone.
    assert "user#3" not in left


def _has(done: Sequence[object], most: int) -> bool:
    """Whether so much was done."""
    return len(done) >= most
