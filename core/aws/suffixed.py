"""A share of a table: the items whose partition's name ends with a suffix, seen without it.

Several such shares, and the items without any suffix, stand in one table beside one another; none
of them sees the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from core.aws.capacity import Consumed, TableSchema
from core.aws.codec import Item, Value
from core.aws.requests import Change, Condition, Key, Query, Write
from core.aws.table import Got, Page, PutNew, Table, Written, pick


def _quiet() -> None:
    pass


class SuffixedTable:
    """`Table` over the items of another one whose hash key, a text, ends with `suffix`.

    As thread-safe as that one. What an index that is divided by something else finds of other
    shares is left out.
    """

    def __init__(
        self, table: Table, suffix: str, before_writing: Callable[[], None] = _quiet
    ) -> None:
        """`before_writing` is called before each request that may write an item."""
        self._table = table
        self._suffix = suffix
        self._before_writing = before_writing
        self._name = table.schema.hash_key

    @property
    def schema(self) -> TableSchema:
        """The whole table's."""
        return self._table.schema

    def put(self, item: Item, condition: Condition | None = None) -> Written:
        """Writes an item over whatever has its key."""
        self._before_writing()
        return self._written(self._table.put(self._inward(item), self._condition(condition)))

    def put_new(self, item: Item) -> PutNew:
        """Writes an item unless there is one with its key."""
        self._before_writing()
        put = self._table.put_new(self._inward(item))
        return dataclasses.replace(put, existing=self._outward(put.existing))

    def get(self, key: Key, *, consistent: bool = False) -> Got:
        """The item with this key."""
        got = self._table.get(self._inward(key), consistent=consistent)
        return Got(self._outward(got.item), got.consumed)

    def query(self, query: Query, start: Key | None = None) -> Page:
        """One page of a partition."""
        index = self.schema.index(query.index) if query.index else None
        if index is None or index.hash_key == self._name:
            own = dataclasses.replace(query, hash_value=f"{query.hash_value}{self._suffix}")
            page = self._table.query(own, None if start is None else self._inward(start))
            return Page(self._own(page.items), self._outward(page.next_key), page.consumed)
        # Whose an item is, its key alone tells; a page may end with one of another share.
        asked = query.attributes and tuple(dict.fromkeys((*query.attributes, self._name)))
        page = self._table.query(dataclasses.replace(query, attributes=asked), start)
        items = tuple(pick(item, query.attributes) for item in self._own(page.items))
        return dataclasses.replace(page, items=items)

    def batch_get(
        self, keys: Sequence[Key], *, attributes: Sequence[str] = (), consistent: bool = False
    ) -> Page:
        """The items that exist of these keys."""
        own = [self._inward(key) for key in keys]
        page = self._table.batch_get(own, attributes=attributes, consistent=consistent)
        return dataclasses.replace(page, items=self._own(page.items))

    def batch_write(self, puts: Sequence[Item], deletes: Sequence[Key] = ()) -> Consumed:
        """Writes and deletes any number of items."""
        if puts:
            self._before_writing()
        return self._table.batch_write(
            [self._inward(item) for item in puts], [self._inward(key) for key in deletes]
        )

    def update(self, key: Key, change: Change, condition: Condition | None = None) -> Written:
        """Changes one item, or makes it."""
        self._before_writing()
        own = self._condition(condition)
        return self._written(self._table.update(self._inward(key), change, own))

    def delete(self, key: Key, condition: Condition | None = None) -> Written:
        """Deletes one item."""
        return self._written(self._table.delete(self._inward(key), self._condition(condition)))

    def transact(self, writes: Sequence[Write]) -> Consumed:
        """Up to 100 writes, all or none."""
        self._before_writing()
        return self._table.transact([self._write(write) for write in writes])

    def _write(self, write: Write) -> Write:
        return dataclasses.replace(
            write,
            item=None if write.item is None else self._inward(write.item),
            key=None if write.key is None else self._inward(write.key),
            condition=self._condition(write.condition),
        )

    def _condition(self, condition: Condition | None) -> Condition | None:
        if condition is None:
            return None
        tests = tuple(
            dataclasses.replace(test, value=f"{test.value}{self._suffix}")
            if test.attribute == self._name and test.operator not in ("absent", "present")
            else test
            for test in condition.tests
        )
        return dataclasses.replace(condition, tests=tests)

    def _inward(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {**item, self._name: f"{item[self._name]}{self._suffix}"}

    def _outward(self, item: Mapping[str, Any] | None) -> dict[str, Value] | None:
        if item is None or self._name not in item:
            return None if item is None else dict(item)
        return {**item, self._name: str(item[self._name]).removesuffix(self._suffix)}

    def _written(self, written: Written) -> Written:
        before, after = self._outward(written.before), self._outward(written.after)
        return Written(before, after, written.consumed)

    def _own(self, items: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Value], ...]:
        found = (item for item in items if self._is_own(item))
        return tuple(item for one in found if (item := self._outward(one)) is not None)

    def _is_own(self, item: Mapping[str, Any]) -> bool:
        return self._name not in item or str(item[self._name]).endswith(self._suffix)
