"""Messages of the history brought by their keys: one by one, or in ranges; large ones joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.aws.capacity import NOTHING, Consumed, in_turn, side_by_side
from core.aws.requests import Key, KeyRange, Query
from core.aws.table import Table, query_pages
from core.clock import Clock
from core.memory import keys
from core.memory.items import READ_ATTRIBUTES, from_item, part_prefix
from core.memory.model import Message
from core.memory.workers import Workers

_DENSE = 4
"""From so many messages of a day on, a range of it is read in place of each by itself."""


class Fetching:
    """Reads whole messages. Thread-safe; raises what `Table` raises."""

    def __init__(self, history: Table, pool: Workers, clock: Clock) -> None:
        self._table = history
        self._pool = pool
        self._clock = clock

    def one_by_one(self, entries: Sequence[Key]) -> tuple[list[Message], Consumed]:
        """Each message by itself."""
        if not entries:
            return [], NOTHING
        wanted = [dict(entry) for entry in entries]
        page = self._table.batch_get(wanted, attributes=READ_ATTRIBUTES)
        return self.whole(page.items, page.consumed)

    def dense(self, entries: Sequence[Key]) -> tuple[list[Message], Consumed]:
        """A session's messages stand mostly side by side: read as ranges, and what is not in them
        one by one. A range is read no further than twice what is wanted of it."""
        wanted = {(str(e["user_date"]), str(e["timestamp_type"])) for e in entries}
        by_day = {day: sorted(p for d, p in wanted if d == day) for day in {d for d, _ in wanted}}
        queries = [
            Query(
                day,
                KeyRange(places[0], places[-1]),
                ascending=False,
                limit=2 * len(places),
                attributes=READ_ATTRIBUTES,
            )
            for day, places in by_day.items()
            if len(places) >= _DENSE
        ]
        pages = list(self._pool.map(self._table.query, queries))
        items = [i for page in pages for i in page.items if _place(i) in wanted]
        cost = side_by_side(page.consumed for page in pages)
        messages, consumed = self.whole(items, cost)
        left = wanted - set(map(_place, items))
        rest, more = self.one_by_one([{"user_date": d, "timestamp_type": p} for d, p in left])
        return [*messages, *rest], consumed + more

    def by_day(self, entries: Sequence[Key]) -> tuple[list[Message], Consumed]:
        """The messages between the first and the last of each day, wanted or not.

        A range of a day costs its size; single items cost half a unit each, however small.
        """
        bounds: dict[str, tuple[str, str]] = {}
        for entry in entries:
            day, place = entry["user_date"], entry["timestamp_type"]
            low, high = bounds.get(day, (place, place))
            bounds[day] = (min(low, place), max(high, place))
        queries = [
            Query(day, KeyRange(low, high), attributes=READ_ATTRIBUTES)
            for day, (low, high) in bounds.items()
        ]
        parts = list(self._pool.map(self._partition, queries))
        messages = [message for found, _ in parts for message in found]
        return messages, side_by_side(consumed for _, consumed in parts)

    def _partition(self, query: Query) -> tuple[list[Message], Consumed]:
        pages = list(query_pages(self._table, query))
        items = [item for page in pages for item in page.items]
        return self.whole(items, in_turn(page.consumed for page in pages))

    def whole(
        self, items: Sequence[Mapping[str, Any]], consumed: Consumed
    ) -> tuple[list[Message], Consumed]:
        """The messages of head items, their parts read; adds what that costs to `consumed`."""
        large = NOTHING
        messages = []
        for item in items:
            if "content_parts" in item and self.expired(item.get("ttl")):
                continue  # its parts may be gone already
            parts, cost = self._parts(item) if "content_parts" in item else ([], NOTHING)
            large += cost
            messages.append(from_item(item, parts))
        return messages, consumed + large

    def _parts(self, head: Mapping[str, Any]) -> tuple[list[bytes], Consumed]:
        partition = keys.parts_partition(head["user_id"], head["message_id"])
        query = Query(
            partition, KeyRange(prefix=part_prefix(head)), attributes=("part",), consistent=True
        )
        pages = list(query_pages(self._table, query))
        parts = [item["part"] for page in pages for item in page.items]
        return parts, in_turn(page.consumed for page in pages)

    def expired(self, expires_at: int | None) -> bool:
        """Whether a time to live has passed, whatever the table still holds."""
        return expires_at is not None and expires_at <= self._clock.time()


def _place(item: Mapping[str, Any]) -> tuple[str, str]:
    return str(item["user_date"]), str(item["timestamp_type"])
