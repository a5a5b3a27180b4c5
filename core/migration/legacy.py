"""The legacy table as a migration reads and writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from core.aws.codec import WireItem, encode_item
from core.aws.requests import Change, Condition, Test
from core.aws.table import Table, batches
from core.clock import Clock
from core.errors import ConditionFailedError
from core.memory.items import LEAVING
from core.memory.model import Message
from core.migration.crossing import Key
from core.migration.transform import SORT_KEY, legacy_item

_AT_ONCE = 100
# What tells one version of an item from another; a condition on all of it would be too long.
_TELLING = ("content", "timestamp", "role", "session_id", "tokens", "ttl")


@contextmanager
def marked_only() -> Iterator[None]:
    """For what is done to an item that was marked.

    Raises:
        ConditionFailedError: somebody else changed or deleted it meanwhile; its field `marked`
            tells this from what failed before.
    """
    try:
        yield
    except ConditionFailedError as error:
        raise ConditionFailedError(
            error.what, error.cure, code=error.code, status=error.status, marked=True
        ) from error


@dataclass(frozen=True)
class LegacyPage:
    """Items of a page of the scan, and the key that the next one begins after (None: no more)."""

    items: Sequence[WireItem]
    after: WireItem | None


class Pages(Protocol):
    """Reads a page of a segment, strongly; the scan of the legacy table."""

    def __call__(self, segment: int, segments: int, start: WireItem | None) -> LegacyPage:
        """The page that begins after the key `start`."""


@dataclass(frozen=True)
class LegacySide:
    """Reads and writes legacy items. Thread-safe; raises what `Table` raises.

    `page` scans, `spend` is told the write units of what flows back.
    """

    table: Table
    page: Pages
    clock: Clock
    spend: Callable[[float], object] = lambda _: None

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Mapping[str, Any]]:
        """The items that stand this moment, by key."""
        found: dict[Key, Mapping[str, Any]] = {}
        for some in batches(keys, _AT_ONCE):
            asked = [{"user_id": user, SORT_KEY: sort_key} for user, sort_key in some]
            page = self.table.batch_get(asked, consistent=True)
            found |= {(str(i["user_id"]), str(i[SORT_KEY])): i for i in page.items}
        return found

    def put(self, message: Message, standing: Mapping[str, Any] | None) -> None:
        """Writes a message over what stands.

        Raises:
            UnmappableError: it is too large for the legacy table.
            ConditionFailedError: something else stands by now.
        """
        item = legacy_item(message, standing)
        self.spend(self.table.put(item, _unchanged(standing)).consumed.write_units)

    def delete(self, key: Key, standing: Mapping[str, Any]) -> None:
        """Deletes what stands.

        Raises:
            ConditionFailedError: something else stands by now, or nothing.
        """
        asked = {"user_id": key[0], SORT_KEY: key[1]}
        same = _unchanged(standing)
        # Marked first, so that the stream tells who deleted it.
        consumed = self.table.update(asked, Change(set={LEAVING: True}), same).consumed
        marked = Condition((*same.tests, Test(LEAVING, "present")))
        with marked_only():
            consumed += self.table.delete(asked, marked).consumed
        self.spend(consumed.write_units)


def wire(item: Mapping[str, Any]) -> WireItem:
    """An item as DynamoDB writes it, as scans and streams bring them."""
    return encode_item(item)


def _unchanged(standing: Mapping[str, Any] | None) -> Condition:
    if standing is None:
        return Condition((Test("user_id", "absent"),))
    tests = []
    for name in _TELLING:
        value = standing.get(name)
        if value is None:
            tests.append(Test(name, "absent"))
        elif isinstance(value, str | int | float):
            tests.append(Test(name, "=", value))
    return Condition((Test("user_id", "present"), *tests))
