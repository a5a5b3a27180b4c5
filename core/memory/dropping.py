"""Deleting a generation of the index: every item of it, of all users."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from core.aws.capacity import NOTHING, Consumed
from core.aws.session import AwsSession
from core.aws.table import Table
from core.errors import InterruptedRunError
from core.memory.generations import Generations, generation_of

SEGMENTS = 8
_WORKERS = 4


@dataclass(frozen=True)
class Dropped:
    """What was looked at, and how many items were deleted, or in a dry run would be."""

    seen: int = 0
    items: int = 0
    consumed: Consumed = NOTHING


class Dropper:
    """Deletes a generation. Killed at any point, the same call again completes it.

    Who may be dropped is the caller's to decide: nothing must search that generation any more.
    """

    def __init__(
        self,
        embeddings: Table,
        session: AwsSession,
        generations: Generations,
        *,
        stop: Callable[[], bool] = lambda: False,
        observe: Callable[[Dropped], None] = lambda _: None,
    ) -> None:
        """`embeddings` is the whole table; `observe` is told after each page, from any thread."""
        self._table, self._generations = embeddings, generations
        self._client = session.bulk_dynamodb()
        self._stop, self._observe = stop, observe
        self._lock = threading.Lock()
        self.done = Dropped()

    def drop(self, name: str, *, dry_run: bool = False) -> Dropped:
        """Deletes the generation of this name ("" is the unnamed one), or counts its items.

        Raises:
            InterruptedRunError: `stop` says so; what was deleted is.
            NotFoundError: there is no such table, or no operations table.
        """
        if not dry_run:
            # First: a process that begins it again meanwhile takes that back.
            self._generations.note_dropped(name)
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="drop") as pool:
            futures = [pool.submit(self._segment, n, name, dry_run) for n in range(SEGMENTS)]
        for future in futures:
            future.result()
        return self.done

    def _segment(self, number: int, name: str, dry_run: bool) -> None:
        for items in self._pages(number):
            if self._stop():
                raise InterruptedRunError(
                    "Interrupted; what was deleted is.", "Run the same command again."
                )
            found = [item for item in items if generation_of(item["user_chunk"]) == name]
            cost = NOTHING if dry_run or not found else self._table.batch_write((), found)
            with self._lock:
                before = self.done
                self.done = done = Dropped(
                    before.seen + len(items), before.items + len(found), before.consumed + cost
                )
            self._observe(done)

    def _pages(self, number: int) -> Iterator[list[dict[str, str]]]:
        asked: dict[str, Any] = {
            "TableName": self._table.schema.name,
            "ProjectionExpression": "user_chunk, embedding_id",
            "ConsistentRead": True,
            "Segment": number,
            "TotalSegments": SEGMENTS,
        }
        start: Mapping[str, Any] | None = None
        while True:
            answer = self._client.scan(**asked, **({"ExclusiveStartKey": start} if start else {}))
            yield [{name: str(v["S"]) for name, v in item.items()} for item in answer["Items"]]
            start = answer.get("LastEvaluatedKey")
            if not start:
                return
