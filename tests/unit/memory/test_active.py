"""Which engine is active: read now and then, known always, and never a reason to fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK
from core.errors import (
    AccessDeniedError,
    EndpointUnreachableError,
    IalError,
    NotFoundError,
    ThrottledError,
)
from core.memory.active import (
    DEFAULT_ENGINE,
    ENGINE_KEY,
    ENGINES,
    REFRESH_S,
    ActiveEngine,
    active_engine,
    operations_table,
)
from core.testing.clock import FakeClock
from tests.waiting import until


class Operations:
    """An operations table: what it answers, how often it was asked, and whether it hangs."""

    def __init__(self, engine: str | None = None) -> None:
        self.item: dict[str, Any] | None = noted(engine) if engine else None
        self.error: IalError | None = None
        self.asked: list[dict[str, Any]] = []
        self.open = threading.Event()
        self.open.set()

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        assert name == "get_item"
        return self._get_item

    def _get_item(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        assert self.open.wait(30)
        if self.error:
            raise self.error
        return {"Item": self.item} if self.item else {}

    def asked_times(self, count: int) -> None:
        """Waits until it was asked so often, and not once more."""
        until(lambda: len(self.asked) >= count)
        assert len(self.asked) == count

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Answers nothing inside the block."""
        self.open.clear()
        try:
            yield
        finally:
            self.open.set()


def noted(engine: str) -> dict[str, Any]:
    """The item that notes an engine."""
    return {**ENGINE_KEY, "engine": {"S": engine}}


@pytest.fixture
def table() -> Operations:
    """A table that notes the legacy engine."""
    return Operations("legacy")


@pytest.mark.parametrize("engine", ENGINES)
def test_the_noted_engine_is_active(engine: str) -> None:
    """Each of the three, read consistently from the project's own table."""
    table = Operations(engine)
    assert ActiveEngine(table, "demo", FakeClock()).name == engine == active_engine(table, "demo")
    request = {"TableName": "demo-operations", "Key": ENGINE_KEY, "ConsistentRead": True}
    assert table.asked == [request, request]


def test_where_nothing_is_noted_it_is_optimized() -> None:
    """A fresh deployment, and one without the table, runs the optimized engine."""
    table = Operations()
    assert active_engine(table, "demo") == DEFAULT_ENGINE == "optimized"
    table.error = NotFoundError("There is no table.", code="ResourceNotFoundException")
    assert active_engine(table, "demo") == DEFAULT_ENGINE
    assert ActiveEngine(table, "demo", FakeClock()).name == DEFAULT_ENGINE


def test_it_is_read_at_most_every_thirty_seconds(table: Operations) -> None:
    """However often and by however many asked, one reading an interval."""
    clock = FakeClock()
    engine = ActiveEngine(table, "demo", clock)
    for expected in (1, 2, 3):
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _: engine.name, range(200))) == {"legacy"}
        table.asked_times(expected)
        clock.advance(REFRESH_S - 1)
        assert engine.name == "legacy"
        assert len(table.asked) == expected
        clock.advance(1)


def test_a_cut_over_is_noticed(table: Operations) -> None:
    """After thirty seconds the new engine is read, while callers go on with the old."""
    clock = FakeClock()
    engine = ActiveEngine(table, "demo", clock)
    assert engine.name == "legacy"
    table.item = noted("optimized")
    clock.advance(REFRESH_S)
    with table.hanging():
        assert engine.name == "legacy"
        until(lambda: len(table.asked) == 2)
        assert engine.name == "legacy"
    until(lambda: engine.name == "optimized")
    assert len(table.asked) == 2


def test_a_process_that_slept_does_not_go_by_what_was_long_ago(table: Operations) -> None:
    """Where what is known is over a minute old, the new reading is waited for."""
    clock = FakeClock()
    engine = ActiveEngine(table, "demo", clock)
    assert engine.name == "legacy"
    table.item = noted("optimized")
    clock.advance(2 * REFRESH_S)
    assert engine.name == "optimized"


def test_a_table_that_hangs_holds_up_nobody_for_long(table: Operations) -> None:
    """After two seconds the known engine is answered, at once from then on."""
    clock = FakeClock()
    engine = ActiveEngine(table, "demo", clock)
    assert engine.name == "legacy"
    clock.advance(10 * REFRESH_S)
    with table.hanging():
        begun_s = SYSTEM_CLOCK.monotonic()
        assert engine.name == "legacy"
        clock.advance(2)
        assert [engine.name for _ in range(50)] == ["legacy"] * 50
        assert 1.5 < SYSTEM_CLOCK.monotonic() - begun_s < 10
        assert len(table.asked) == 2


def test_the_first_reading_is_waited_for(table: Operations) -> None:
    """No caller is told an engine before the table was asked; making one waits for nothing."""
    with table.hanging(), ThreadPoolExecutor(4) as pool:
        engine = ActiveEngine(table, "demo", FakeClock())
        waiting = [pool.submit(lambda: engine.name) for _ in range(4)]
        until(lambda: len(table.asked) == 1)
        assert not any(future.done() for future in waiting)
        table.open.set()
        assert [future.result(10) for future in waiting] == ["legacy"] * 4


@pytest.mark.parametrize(
    "error",
    [
        EndpointUnreachableError("Nothing answers."),
        AccessDeniedError("You may not."),
        ThrottledError("Too fast.", code="ThrottlingException"),
        NotFoundError("There is no table.", code="ResourceNotFoundException"),
    ],
)
def test_a_reading_that_fails_changes_nothing(table: Operations, error: IalError) -> None:
    """The last known engine stays, the reason is told, and the next reading is no sooner."""
    clock = FakeClock()
    engine = ActiveEngine(table, "demo", clock)
    assert engine.name == "legacy"
    assert engine.failure is None
    table.error = error
    for readings in (2, 3, 4):
        clock.advance(REFRESH_S)
        assert [engine.name for _ in range(5)] == ["legacy"] * 5
        table.asked_times(readings)
        until(lambda: engine.failure == error.what)
    table.error, table.item = None, noted("dual")
    clock.advance(REFRESH_S)
    until(lambda: engine.name == "dual")
    assert engine.failure is None
    assert len(table.asked) == 5


def test_a_first_reading_that_fails_means_optimized(table: Operations) -> None:
    """Nothing is known, nothing raises; the reason is told."""
    table.error = EndpointUnreachableError("Nothing answers.")
    engine = ActiveEngine(table, "demo", FakeClock())
    assert engine.name == DEFAULT_ENGINE
    assert engine.failure == "Nothing answers."


@pytest.mark.parametrize(
    "item",
    [noted("turbo"), noted(""), noted("LEGACY"), {**ENGINE_KEY, "engine": {"N": "1"}}],
)
def test_an_engine_that_there_is_not_changes_nothing(
    table: Operations, item: dict[str, Any]
) -> None:
    """What someone wrote by hand is told, and not followed."""
    clock = FakeClock()
    engine = ActiveEngine(table, "demo", clock)
    assert engine.name == "legacy"
    table.item = item
    clock.advance(2 * REFRESH_S)
    assert engine.name == "legacy"
    assert engine.failure is not None
    assert "optimized" in engine.failure


def test_it_is_read_from_an_endpoint(aws: AwsSession, project: str) -> None:
    """Both clients read what stands in the table."""
    client = aws.client("dynamodb")
    client.create_table(
        TableName=operations_table(project),
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    client.put_item(TableName=operations_table(project), Item=noted("dual"))
    assert ActiveEngine(client, project).name == "dual"
    assert ActiveEngine(aws.dynamodb(), project).name == "dual"
