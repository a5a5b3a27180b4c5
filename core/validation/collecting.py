"""Reads both tables once, page by page, and notes what is compared and what seems wrong."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from core.aws.table import Table
from core.errors import InterruptedRunError
from core.transfer.budget import Budget
from core.transfer.patience import Stop
from core.validation.kinds import CONTENTS, EXPIRY, INDEX, KEYS, TENANTS, TYPES, VECTORS
from core.validation.ledger import Ledger
from core.validation.reading import (
    HASH_CHARS,
    HEAD_ATTRIBUTES,
    HeadSeen,
    NoteSeen,
    Odd,
    PartSeen,
    read_history,
)
from core.validation.reading_vectors import (
    VECTOR_ATTRIBUTES,
    Begun,
    RunSeen,
    TermsSeen,
    VectorSeen,
    read_embeddings,
)
from core.validation.results import Observer, Progress
from core.validation.sources import WORKERS, Source

HISTORY, EMBEDDINGS = "history", "embeddings"
LARGE = "large"
"""A message in parts: nothing can be said of its content before they are read."""
LONG_EXPIRED_S = 48 * 3600

Rows = Mapping[str, list[tuple[Any, ...]]]


class Collector:
    """Fills a ledger. Thread-safe."""

    def __init__(
        self, ledger: Ledger, source: Source, budget: Budget, observe: Observer, stop: Stop
    ) -> None:
        self._ledger, self._source, self._budget = ledger, source, budget
        self._observe, self._stop = observe, stop
        self._lock = threading.Lock()
        self.seen: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def collect(self, history: Table, embeddings: Table, now_s: float) -> None:
        """Reads the two tables.

        Raises:
            NotFoundError: one of them does not stand.
            InterruptedRunError: somebody asked to stop.
        """
        gone_s = now_s - LONG_EXPIRED_S
        self._read(history, HEAD_ATTRIBUTES, lambda items: self._history(items, gone_s))
        self._read(embeddings, VECTOR_ATTRIBUTES, lambda items: self._embeddings(items, gone_s))

    def _read(
        self,
        table: Table,
        attributes: Collection[str],
        note: Callable[[Iterable[Mapping[str, Any]]], Rows],
    ) -> None:
        failed = threading.Event()
        readings = self._source.readings(table, attributes)

        def read(number: int) -> None:
            done = False
            try:
                for items in readings[number](lambda: failed.is_set() or self._stop()):
                    self._keep(note(items))
                    self._tell(table, len(items))
                done = True
            finally:
                if not done:
                    failed.set()  # the others end too

        with ThreadPoolExecutor(WORKERS, thread_name_prefix="validate") as pool:
            futures = [pool.submit(read, number) for number in range(len(readings))]
        errors = [error for future in futures if (error := future.exception())]
        # Those that ended because of another's failure say nothing of their own.
        for error in sorted(errors, key=lambda e: isinstance(e, InterruptedRunError)):
            raise error
        if self._stop():
            raise InterruptedRunError("Interrupted.", "Run the same command again.")

    def _keep(self, rows: Rows) -> None:
        for table, some in rows.items():
            self._ledger.add(table, some)

    def _tell(self, table: Table, items: int) -> None:
        with self._lock:
            self.counts["items"] += items
            self.counts[table.schema.name] += items
            done = self.counts[table.schema.name]
        self._observe(Progress("reading", table.schema.name, done, self._budget.spent))

    def _history(self, items: Iterable[Mapping[str, Any]], gone_s: float) -> Rows:
        rows: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
        seen: Counter[str] = Counter()
        for item in items:
            key = (HISTORY, str(item.get("user_date")), str(item.get("timestamp_type")))
            found = read_history(item)
            seen[TYPES] += 1
            if isinstance(found, Odd):
                rows["suspected"].append((found.kind, *key))
            elif isinstance(found, HeadSeen):
                self._head(found, key, rows, gone_s)
                seen.update((KEYS, TENANTS, CONTENTS, EXPIRY, "messages"))
            elif isinstance(found, PartSeen):
                user = self._ledger.user(found.user)
                rows["parts"].append((user, found.message_id, found.digest))
                seen.update((TENANTS, CONTENTS))
            elif isinstance(found, NoteSeen):
                seen.update((TENANTS,))
        self._count(seen)
        return rows

    def _head(
        self,
        head: HeadSeen,
        key: tuple[str, str, str],
        rows: defaultdict[str, list[tuple[Any, ...]]],
        gone_s: float,
    ) -> None:
        user = self._ledger.user(head.user)
        about, text = head.about, head.text
        rows["heads"].append(
            (user, head.place, about, text, head.session, head.message, head.ttl, head.blank)
        )
        rows["suspected"] += [(kind, *key) for kind in head.kinds]
        if head.large is not None:
            message_id, digest = head.large
            owners = {user, self._ledger.user(head.owner)}
            rows["large"] += [(owner, message_id, digest[:HASH_CHARS]) for owner in owners]
            if not head.kinds & {"wrong_type", "content_lost"}:
                rows["suspected"].append((LARGE, *key))
        if 0 < head.ttl < gone_s:
            rows["found"].append(("expired_standing", *key))

    def _embeddings(self, items: Iterable[Mapping[str, Any]], gone_s: float) -> Rows:
        rows: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
        seen: Counter[str] = Counter()
        for item in items:
            key = (EMBEDDINGS, str(item.get("user_chunk")), str(item.get("embedding_id")))
            found = read_embeddings(item)
            seen[TYPES] += 1
            if isinstance(found, Odd):
                rows["suspected"].append((found.kind, *key))
                continue
            user = self._ledger.user(found.user)
            if isinstance(found, VectorSeen):
                self._vector(found, user, key, rows, gone_s)
                seen.update((KEYS, TENANTS, VECTORS, EXPIRY, "vectors"))
            elif isinstance(found, RunSeen):
                rows["rows"] += [
                    (user, r.place, found.key, r.removed, r.session, r.ttl) for r in found.rows
                ]
                rows["segments"] += [(user, found.key)] if found.needs_terms else []
                seen.update({INDEX: len(found.rows), EXPIRY: len(found.rows), "entries": 1})
            elif isinstance(found, TermsSeen):
                rows["terms"].append((user, found.key))
                seen["entries"] += 1
            elif isinstance(found, Begun):
                seen["entries"] += 1
        self._count(seen)
        return rows

    def _vector(
        self,
        vector: VectorSeen,
        user: int,
        key: tuple[str, str, str],
        rows: defaultdict[str, list[tuple[Any, ...]]],
        gone_s: float,
    ) -> None:
        rows["suspected"] += [(kind, *key) for kind in vector.kinds]
        if vector.at_home:
            rows["items"].append(
                (user, vector.place, vector.about, vector.text, vector.ttl, vector.has_vector)
            )
        if 0 < vector.ttl < gone_s:
            rows["found"].append(("expired_standing", *key))

    def _count(self, seen: Counter[str]) -> None:
        with self._lock:
            self.seen.update(seen)
