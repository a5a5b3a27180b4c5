"""A live table against the items that it should hold, canonically, whatever their number.

Both sides become digests, which are compared; keys are looked up, in a second pass, only where
something differs. Items that are missing because their time to live has passed are told apart.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import orjson

from core.aws.codec import WireItem
from core.aws.lease import is_lease
from core.aws.session import AwsSession
from core.backup.progress import Observer, Progress, no_observer
from core.clock import Clock
from core.errors import InterruptedRunError
from core.transfer.budget import Budget
from core.transfer.canonical import canonical_item
from core.transfer.digests import SAMPLES, Digests, compare
from core.transfer.lines import Keys, item_digest, key_digest
from core.transfer.patience import Stop
from core.transfer.scanning import Scanner

WORKERS = 4
_TELL_EVERY = 2000

Items = Callable[[], Iterable[WireItem]]
"""Gives the items anew each time that it is called."""


@dataclass(frozen=True)
class Target:
    """A live table: its name, its keys, and the attribute of its time to live, if any."""

    table: str
    keys: Keys
    ttl: str | None = None
    with_leases: bool = True
    """Leases of the operations table change with every run; a live one is compared without."""

    def counts(self, item: WireItem) -> bool:
        """Whether an item is compared."""
        return self.with_leases or not is_lease(self.table, item)


@dataclass(frozen=True)
class Comparison:
    """What a table lacks, has beside, and has otherwise; of each the keys of the first few.

    `expired` are missing too, but their time to live has passed. Keys are JSON texts.
    """

    table: str
    expected: int
    found: int
    missing: int = 0
    expired: int = 0
    extra: int = 0
    different: int = 0
    missing_keys: tuple[str, ...] = ()
    extra_keys: tuple[str, ...] = ()
    different_keys: tuple[str, ...] = ()
    read_units: float = 0.0

    @property
    def holds_all(self) -> bool:
        """Whether every expected item is there as it should be; there may be others."""
        return not (self.missing or self.different)

    @property
    def equal(self) -> bool:
        """Whether the table holds these items and no others, but for expired ones."""
        return self.holds_all and not self.extra

    def __str__(self) -> str:
        parts = [
            f"{count:,} {what}"
            for count, what in (
                (self.missing, "missing"),
                (self.different, "different"),
                (self.extra, "beside"),
                (self.expired, "expired meanwhile"),
            )
            if count
        ]
        return ", ".join(parts) or f"equal, {self.found:,} item{'' if self.found == 1 else 's'}"


class Comparer:
    """Compares tables. For one thread, with threads of its own."""

    def __init__(
        self,
        session: AwsSession,
        temporary: Path,
        clock: Clock,
        *,
        max_rcu: float | None = None,
        observe: Observer = no_observer,
        stop: Stop = lambda: False,
    ) -> None:
        """`temporary` is a folder for digests of millions; `max_rcu` bounds read units a second."""
        self._session, self._temporary, self._clock = session, temporary, clock
        self._max_rcu = max_rcu
        self._observe, self._stop = observe, stop
        self._lock = threading.Lock()
        self._seen = self._seen_bytes = 0

    def compare(self, target: Target, items: Items, expected: Digests | None = None) -> Comparison:
        """The table, read consistently, against the items.

        Args:
            target: the table.
            items: what it should hold; read only where `expected` is not given, and for keys.
            expected: the digests of the items, where they are known already.

        Raises:
            NotFoundError: there is no such table.
            InterruptedRunError: somebody asked to stop.
        """
        budget = Budget(self._max_rcu, self._clock)
        with Digests(self._temporary) as found, Digests(self._temporary) as own:
            self._scan(target, budget, found)
            if self._stop():
                raise InterruptedRunError("Interrupted.", "Run the same command again.")
            wanted = own if expected is None else expected
            if expected is None:
                self._digest(target, items, own)
            differences = compare(wanted, found)
            counts = (wanted.count, found.count)
        return Comparison(
            target.table,
            *counts,
            missing=differences.missing,
            expired=differences.excused,
            extra=differences.extra,
            different=differences.different,
            missing_keys=_keys(target, differences.missing_keys, items),
            extra_keys=_keys(target, differences.extra_keys, lambda: self._pages(target, budget)),
            different_keys=_keys(target, differences.different_keys, items),
            read_units=budget.spent,
        )

    def _digest(self, target: Target, items: Items, digests: Digests) -> None:
        # After the scan: what has expired by now may have been gone before.
        now_s = self._clock.time()
        for item in items():
            add_digest(digests, item, target, now_s)
            if digests.count % _TELL_EVERY == 0 and self._stop():
                raise InterruptedRunError("Interrupted.", "Run the same command again.")

    def _scan(self, target: Target, budget: Budget, digests: Digests) -> None:
        self._seen = self._seen_bytes = 0
        failed = threading.Event()

        def segment(number: int) -> None:
            done = False
            try:
                for page in self._scanner(target, budget, failed).pages(number, WORKERS):
                    for item in filter(target.counts, page.items):
                        digests.add(key_digest(target.keys.of(item)), item_digest(item))
                    self._tell(target, len(page.items), page.bytes, budget)
                done = True
            finally:
                if not done:
                    failed.set()  # the other segments end too

        with ThreadPoolExecutor(WORKERS, thread_name_prefix="compare") as pool:
            futures = [pool.submit(segment, number) for number in range(WORKERS)]
        errors = [error for future in futures if (error := future.exception())]
        # Segments that ended because of another's failure say nothing of their own.
        for error in sorted(errors, key=lambda e: isinstance(e, InterruptedRunError)):
            raise error

    def _scanner(self, target: Target, budget: Budget, failed: threading.Event) -> Scanner:
        return Scanner(
            self._session,
            target.table,
            budget,
            self._clock,
            consistent=True,
            stop=lambda: failed.is_set() or self._stop(),
        )

    def _pages(self, target: Target, budget: Budget) -> Iterator[WireItem]:
        for page in self._scanner(target, budget, threading.Event()).pages(0, 1):
            yield from page.items

    def _tell(self, target: Target, items: int, size: int, budget: Budget) -> None:
        with self._lock:
            self._seen += items
            self._seen_bytes += size
            told = Progress(target.table, "verifying", self._seen, self._seen_bytes, budget.spent)
        self._observe(told)


def add_digest(digests: Digests, item: WireItem, target: Target, now_s: float) -> None:
    """Adds an item that is expected, if it counts; it may be missing once it has expired."""
    if not target.counts(item):
        return
    late = _expired(item, target.ttl, now_s)
    digests.add(key_digest(target.keys.of(item)), item_digest(item), int(late))


def _expired(item: WireItem, ttl: str | None, now_s: float) -> bool:
    value = item.get(ttl or "", {}).get("N")
    if value is None:
        return False
    with suppress(InvalidOperation):
        return Decimal(value) <= Decimal(now_s)
    return False


def _keys(target: Target, digests: Collection[bytes], items: Items) -> tuple[str, ...]:
    """The keys of these digests, as JSON; looked for only where there are any."""
    wanted = set(digests)
    found: list[str] = []
    if not wanted:
        return ()
    for item in items():
        key = target.keys.of(item)
        digest = key_digest(key)
        if digest in wanted:
            wanted.remove(digest)
            found.append(orjson.dumps(canonical_item(key)).decode())
            if not wanted or len(found) == SAMPLES:
                break
    return tuple(sorted(found))
