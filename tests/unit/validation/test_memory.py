"""What is read is kept aside: memory does not grow with the tables."""

from __future__ import annotations

import tracemalloc
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from core.aws.table import Table
from core.clock import SYSTEM_CLOCK
from core.memory.schema import embeddings_schema, history_schema
from core.testing.table import FakeTable
from core.transfer.budget import Budget
from core.transfer.patience import Stop
from core.validation.collecting import Collector
from core.validation.ledger import Ledger
from core.validation.results import no_observer
from core.validation.sources import Reading


class Many:
    """So many messages of as many users, and nothing of them in the other table."""

    def __init__(self, count: int) -> None:
        self._count = count

    def readings(self, table: Table, attributes: Collection[str]) -> Sequence[Reading]:
        """One reading."""
        return [self._read] if table.schema.hash_key == "user_date" else []

    def _read(self, stop: Stop) -> Iterator[list[dict[str, Any]]]:
        for number in range(0, self._count, 100):
            yield [
                {"user_date": f"user{n}#2026-01-01", "timestamp_type": f"{n:016d}#user"}
                for n in range(number, number + 100)
            ]


def peak(count: int) -> int:
    """The most bytes that were held while so many messages were collected."""
    tables = FakeTable(history_schema("t")), FakeTable(embeddings_schema("t"))
    tracemalloc.start()
    try:
        with Ledger() as ledger:
            budget = Budget(None, SYSTEM_CLOCK)
            collector = Collector(ledger, Many(count), budget, no_observer, lambda: False)
            collector.collect(*tables, 0.0)
            assert ledger.users() == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_flat() -> None:
    """Twice the messages and users take the same."""
    first = peak(8000)
    assert peak(16_000) < first * 1.1
