"""A user's whole history read day by day, in either direction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from core.aws.capacity import NOTHING, Consumed, in_turn, side_by_side
from core.aws.requests import KeyRange, Query
from core.aws.table import Table, batches
from core.memory import keys
from core.memory.fetching import Fetching
from core.memory.items import READ_ATTRIBUTES
from core.memory.model import Message
from core.memory.schema import USER_TIME_INDEX
from core.memory.workers import Workers

# Index entries read at once to learn the days of a user.
_DAYS_PAGE = 1000
_AT_ONCE = 16


class Days:
    """Reads all of a user's messages. Thread-safe; raises what `Table` raises."""

    def __init__(self, history: Table, fetching: Fetching, pool: Workers) -> None:
        self._table = history
        self._fetching = fetching
        self._pool = pool

    def messages(
        self, user_id: str, *, oldest_first: bool
    ) -> Iterator[tuple[list[Message], Consumed]]:
        """A page of messages at a time, days in order; what has expired is among them."""
        for days, cost in self._days_from(user_id, oldest_first=oldest_first):
            if not days:
                yield [], cost
            consumed = cost
            for messages, read in self._pages(days, oldest_first=oldest_first):
                yield messages, consumed + read
                consumed = NOTHING

    def _days_from(
        self, user_id: str, *, oldest_first: bool
    ) -> Iterator[tuple[list[str], Consumed]]:
        if not oldest_first:
            yield from self._days(user_id)
            return
        chunks = list(self._days(user_id))
        days = [day for some, _ in chunks for day in some]
        yield days[::-1], in_turn(cost for _, cost in chunks)

    def _days(self, user_id: str) -> Iterator[tuple[list[str], Consumed]]:
        before_us = keys.LATEST_US
        while before_us >= 0:
            query = Query(
                user_id,
                KeyRange(high=before_us),
                index=USER_TIME_INDEX,
                ascending=False,
                limit=_DAYS_PAGE,
                attributes=("user_date",),
            )
            page = self._table.query(query)
            days = list(dict.fromkeys(entry["user_date"] for entry in page.items))
            yield days, page.consumed
            if page.next_key is None or not days:
                return
            # The day at the page's end is read whole: what the index holds more of it is skipped.
            before_us = keys.day_start_us(days[-1]) - 1

    def _pages(
        self, days: Sequence[str], *, oldest_first: bool
    ) -> Iterator[tuple[list[Message], Consumed]]:
        for some in batches(days, _AT_ONCE):
            queries = [
                Query(day, ascending=oldest_first, attributes=READ_ATTRIBUTES) for day in some
            ]
            firsts = list(self._pool.map(self._table.query, queries))
            cost = side_by_side(page.consumed for page in firsts)
            for query, first in zip(queries, firsts, strict=True):
                page = first
                yield self._fetching.whole(page.items, cost)
                cost = NOTHING
                while page.next_key is not None:
                    page = self._table.query(query, page.next_key)
                    yield self._fetching.whole(page.items, page.consumed)


def in_order(messages: Iterable[Message], *, oldest_first: bool = False) -> list[Message]:
    """By time; of one time by id."""
    return sorted(messages, key=lambda m: (m.timestamp_us, m.message_id), reverse=not oldest_first)
