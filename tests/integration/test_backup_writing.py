"""Items are written whole into a table, and a table is compared with what it should hold."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.aws.capacity import IndexSchema, TableSchema
from core.aws.session import AwsSession
from core.backup.comparing import Comparer, Comparison, Target
from core.clock import SYSTEM_CLOCK
from core.errors import InterruptedRunError, NotFoundError, ThrottledError
from core.testing.clock import FakeClock
from core.transfer.budget import Budget
from core.transfer.writing import Amount, Writer
from tests.backups import KEYS, plain_item, wire_items
from tests.tables import create_table

Wire = dict[str, Any]


def schema_of(project: str, indexes: Sequence[IndexSchema] = ()) -> TableSchema:
    """The table that the tests of this file write to."""
    return TableSchema(f"{project}-w", "pk", "sk", tuple(indexes))


@pytest.fixture
def schema(aws: AwsSession, project: str) -> TableSchema:
    """An empty table."""
    made = schema_of(project)
    create_table(aws, made, numbers=("sk",))
    return made


def write(aws: AwsSession, schema: TableSchema, items: Sequence[Mapping[str, Any]]) -> Amount:
    """Writes items, and answers what that took."""
    with Writer(aws, schema, Budget(None, SYSTEM_CLOCK), SYSTEM_CLOCK) as writer:
        for item in items:
            writer.put(item)
        writer.flush()
        return writer.written


def compared(
    aws: AwsSession, schema: TableSchema, items: Sequence[Mapping[str, Any]], folder: Path
) -> Comparison:
    """The table against these items."""
    comparer = Comparer(aws, folder, SYSTEM_CLOCK)
    return comparer.compare(Target(schema.name, KEYS, "ttl"), lambda: items)


@given(
    items=st.lists(
        wire_items(), max_size=30, unique_by=lambda i: (i["pk"]["S"], float(i["sk"]["N"]))
    )
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_items_are_written_and_found_equal(
    aws: AwsSession, schema: TableSchema, tmp_path: Path, items: list[Wire]
) -> None:
    """Items of every type stand in the table as they were given, and are counted."""
    before = compared(aws, schema, [], tmp_path).found
    written = write(aws, schema, items)
    assert written.items == len(items)
    assert written.units >= len(items)
    found = compared(aws, schema, items, tmp_path)
    assert found.holds_all, found
    assert found.found <= before + len(items)


def test_differences_are_counted_and_named(
    aws: AwsSession, schema: TableSchema, tmp_path: Path
) -> None:
    """Missing, extra, different and expired items are told apart, with their keys."""
    items = [plain_item(number, 10) for number in range(300)]
    expired = {**plain_item(900), "ttl": {"N": "1000"}}
    later = {**plain_item(901), "ttl": {"N": "99999999999"}}
    write(aws, schema, [*items[5:], plain_item(800)])
    # By itself: batches go side by side, and of two puts of one key either may come last.
    write(aws, schema, [{**items[7], "role": {"S": "other"}}])
    found = compared(aws, schema, [*items, expired, later], tmp_path)
    assert (found.expected, found.found) == (302, 296)
    assert (found.missing, found.expired, found.extra, found.different) == (6, 1, 1, 1)
    assert not found.equal
    assert not found.holds_all
    assert found.extra_keys == ('{"pk":{"S":"user-800"},"sk":{"N":"800"}}',)
    assert found.different_keys == ('{"pk":{"S":"user-7"},"sk":{"N":"7"}}',)
    assert len(found.missing_keys) == 6
    assert str(found) == "6 missing, 1 different, 1 beside, 1 expired meanwhile"
    write(aws, schema, [*items, later])
    assert str(compared(aws, schema, [*items, later, plain_item(800)], tmp_path)).startswith(
        "equal"
    )


def test_the_last_put_of_a_key_stands(aws: AwsSession, schema: TableSchema, tmp_path: Path) -> None:
    """A key that is put twice, however it is spelled, is never twice in a batch."""
    items = [{"pk": {"S": "a"}, "sk": {"N": n}, "x": {"S": n}} for n in ("1", "1.0", "10E-1")]
    for item in items:
        write(aws, schema, [item])
    with Writer(aws, schema, Budget(None, SYSTEM_CLOCK), SYSTEM_CLOCK, workers=1) as writer:
        for item in items:
            writer.put(item)
        writer.flush()
    assert compared(aws, schema, items[-1:], tmp_path).equal


def test_index_writes_are_counted(aws: AwsSession, project: str) -> None:
    """Units are those of the table and of its indexes."""
    schema = schema_of(project, (IndexSchema("ByRole", "role", None, "ALL"),))
    create_table(aws, schema, numbers=("sk",))
    assert write(aws, schema, [plain_item(1, 10), plain_item(2, 1500)]).units == 2 + 4


def test_a_budget_is_kept(aws: AwsSession, schema: TableSchema) -> None:
    """Writing takes as long as the budget of units makes it."""
    clock = FakeClock()
    with Writer(aws, schema, Budget(50, clock), clock, workers=1) as writer:
        for number in range(200):
            writer.put(plain_item(number, 10))
        writer.flush()
    assert sum(clock.slept) >= 200 / 50 - 1


def test_a_missing_table_is_told(aws: AwsSession, project: str) -> None:
    """A table that was deleted meanwhile ends the writing, by name."""
    with pytest.raises(NotFoundError, match=f"no table '{project}-w'"):
        write(aws, schema_of(project), [plain_item(n) for n in range(2000)])


def test_writing_stops_when_asked(aws: AwsSession, schema: TableSchema) -> None:
    """Whoever asks to stop is obeyed at the next batch."""
    stop = threading.Event()
    budget = Budget(None, SYSTEM_CLOCK)
    writer = Writer(
        aws, schema, budget, SYSTEM_CLOCK, stop=stop.is_set, observe=lambda _: stop.set()
    )

    def endlessly() -> None:
        with writer:
            for number in range(100_000):
                writer.put(plain_item(number, 10))

    with pytest.raises(InterruptedRunError):
        endlessly()
    assert writer.written.items < 10_000


class Throttling:
    """A client that throttles, leaves some unprocessed, then takes the rest."""

    def __init__(self, inner: Any, table: str) -> None:
        self.inner, self.table, self.calls = inner, table, 0

    def batch_write_item(self, **arguments: Any) -> dict[str, Any]:
        """Every third call throttled, of every other half is left."""
        self.calls += 1
        if self.calls % 3 == 0:
            raise ThrottledError("Slow down.", reasons=())
        requests = arguments["RequestItems"][self.table]
        half = len(requests) // 2 if self.calls % 2 else 0
        self.inner.batch_write_item(RequestItems={self.table: requests[half:]})
        return {"UnprocessedItems": {self.table: requests[:half]} if half else {}}


def test_what_is_throttled_is_sent_again(
    aws: AwsSession, schema: TableSchema, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Throttled and unprocessed items are all written in the end, each counted once."""
    clock, inner = FakeClock(), aws.bulk_dynamodb()
    monkeypatch.setattr(aws, "bulk_dynamodb", lambda: Throttling(inner, schema.name))
    items = [plain_item(number, 10) for number in range(500)]
    budget = Budget(None, clock)
    with Writer(aws, schema, budget, clock, workers=3) as writer:
        for item in items:
            writer.put(item)
        writer.flush()
    assert writer.written.items == 500
    assert writer.written.units == pytest.approx(500)
    assert budget.throttles > 0
    monkeypatch.undo()
    assert compared(aws, schema, items, tmp_path).equal


def test_endless_throttling_is_given_up(
    aws: AwsSession, schema: TableSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that takes nothing for ten minutes ends the writing with an error."""

    class Full:
        def batch_write_item(self, **arguments: Any) -> dict[str, Any]:
            return {"UnprocessedItems": arguments["RequestItems"]}

    monkeypatch.setattr(aws, "bulk_dynamodb", Full)
    clock = FakeClock()
    with Writer(aws, schema, Budget(None, clock), clock, workers=1) as writer:
        writer.put(plain_item(1))
        with pytest.raises(ThrottledError, match="taken no item for 10 minutes"):
            writer.flush()


def test_behind_a_proxy_binary_is_binary_too(
    aws: AwsSession, schema: TableSchema, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore's own client, which proxies need, writes the same bytes."""
    monkeypatch.setattr(aws, "bulk_dynamodb", lambda: aws.client("dynamodb"))
    items: list[Wire] = [
        {
            "pk": {"S": "a"},
            "sk": {"N": "1"},
            "b": {"B": "AP8="},
            "s": {"BS": ["AQ==", "Ag=="]},
            "m": {"M": {"B": {"B": "AA=="}}},
            "l": {"L": [{"B": ""}]},
        }
    ]
    write(aws, schema, items)
    assert compared(aws, schema, items, tmp_path).equal
