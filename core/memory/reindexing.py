"""Vectors for every message that has none of the model in use, of all users, resumable.

Users are found in the index UserTimeIndex, where all of a user's entries stand together; how far
each segment of it is done stands in the operations table, so that a run that was killed goes on.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

from core.aws.capacity import NOTHING, Consumed
from core.aws.session import AwsSession
from core.aws.table import Table
from core.clock import Clock
from core.errors import InterruptedRunError, NotFoundError
from core.memory.generations import suffix_of
from core.memory.parts import Parts
from core.memory.schema import USER_TIME_INDEX

PARTITION = "reindex"
SEGMENTS = 8
WORKERS = 4
_REMEMBERED = 10_000
TELL_S = 1.0


@dataclass(frozen=True)
class Reindexed:
    """What was done: users and messages looked at, put into the index, given a vector.

    `lacking` messages have no vector where nothing was to be changed. `missing` says in sentences
    what could not be done.
    """

    users: int = 0
    seen: int = 0
    indexed: int = 0
    embedded: int = 0
    lacking: int = 0
    consumed: Consumed = NOTHING
    missing: tuple[str, ...] = ()

    def plus(self, other: Reindexed) -> Reindexed:
        """Both together."""
        missing = tuple(dict.fromkeys((*self.missing, *other.missing)))
        sums = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in fields(self)
            if field.name != "missing"
        }
        return Reindexed(**sums, missing=missing)


class Reindexer:
    """Gives vectors to what lacks one. Safe to be killed, and run again or twice at once."""

    def __init__(
        self,
        parts: Parts,
        session: AwsSession,
        operations: Table,
        clock: Clock,
        *,
        stop: Callable[[], bool] = lambda: False,
        observe: Callable[[Reindexed], None] = lambda _: None,
        tell_s: float = TELL_S,
    ) -> None:
        """`observe` is told every `tell_s` seconds, from any thread, what was done so far."""
        self._parts, self._operations, self._clock = parts, operations, clock
        self._client = session.bulk_dynamodb()
        self._stop, self._observe, self._tell_s = stop, observe, tell_s
        self._lock = threading.Lock()
        self.done = Reindexed()
        self._users: OrderedDict[str, None] = OrderedDict()
        self._told_s = clock.monotonic()

    def all_users(self, *, dry_run: bool = False) -> Reindexed:
        """All users' messages; with `dry_run` those that lack something are only counted.

        Raises:
            InterruptedRunError: `stop` says so; the same call goes on from there.
        """
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="reindex") as pool:
            futures = [pool.submit(self._segment, n, dry_run) for n in range(SEGMENTS)]
        for future in futures:
            future.result()
        if not dry_run:
            for number in range(SEGMENTS):
                self._forget(number)
        return self.done

    def user(self, user_id: str, *, dry_run: bool = False) -> Reindexed:
        """One user's messages."""
        if dry_run:
            found = self._parts.auditor.check(user_id)
            lacking = found.unindexed + found.without_vector
            return Reindexed(1, found.messages, lacking=lacking, consumed=found.consumed)
        done = self._parts.catching.catch_up(user_id)
        if self._parts.options.generation and done.indexed + done.embedded:
            # What was forgotten while it was embedded was not there to be removed.
            self._parts.auditor.remove_orphans(user_id)
        return Reindexed(1, done.seen, done.indexed, done.embedded, 0, done.consumed, done.missing)

    def _segment(self, number: int, dry_run: bool) -> None:
        mark = None if dry_run else self._mark(number)
        if mark is not None and mark.get("done"):
            return
        for users, after in self._pages(number, (mark or {}).get("after")):
            for user_id in users:
                if self._stop():
                    raise InterruptedRunError(
                        "Interrupted; what is done is kept.",
                        "Run the same command again: it goes on from there.",
                    )
                if self._is_new(user_id):
                    self._add(self.user(user_id, dry_run=dry_run))
            if not dry_run:
                self._save(number, after)

    def _pages(
        self, number: int, start: Mapping[str, Any] | None
    ) -> Iterator[tuple[list[str], Mapping[str, Any] | None]]:
        """The users of each page in order, and the key after which the next one begins."""
        asked: dict[str, Any] = {
            "TableName": self._parts.tables.history.schema.name,
            "IndexName": USER_TIME_INDEX,
            "ProjectionExpression": "user_id",
            "Segment": number,
            "TotalSegments": SEGMENTS,
        }
        while True:
            more = {"ExclusiveStartKey": start} if start else {}
            answer = self._client.scan(**asked, **more)
            start = answer.get("LastEvaluatedKey")
            found = (str(item["user_id"]["S"]) for item in answer["Items"])
            yield list(dict.fromkeys(found)), start
            if not start:
                return

    def _is_new(self, user_id: str) -> bool:
        """Whether this user was none of the last; a user who comes twice costs only a look."""
        with self._lock:
            known = user_id in self._users
            self._users[user_id] = None
            self._users.move_to_end(user_id)
            if len(self._users) > _REMEMBERED:
                self._users.popitem(last=False)
        return not known

    def _add(self, one: Reindexed) -> None:
        with self._lock:
            self.done = self.done.plus(one)
            now_s = self._clock.monotonic()
            tells = now_s - self._told_s >= self._tell_s
            if tells:
                self._told_s = now_s
            done = self.done
        if tells:
            self._observe(done)

    def _mark(self, number: int) -> Mapping[str, Any] | None:
        """How far a segment was done by a run that was killed, with this same model."""
        try:
            found = self._operations.get(self._key(number), consistent=True).item
        except NotFoundError:
            return None
        return found if found and found.get("model") == self._model else None

    def _save(self, number: int, after: Mapping[str, Any] | None) -> None:
        mark = {**self._key(number), "model": self._model, "done": after is None}
        self._operations.put({**mark, "after": after} if after else mark)

    def _forget(self, number: int) -> None:
        self._operations.delete(self._key(number))

    @property
    def _model(self) -> str:
        embedder = self._parts.embedder
        return f"{embedder.model}/{embedder.dimensions}"

    def _key(self, number: int) -> dict[str, str]:
        generation = suffix_of(self._parts.options.generation)
        return {"pk": f"{PARTITION}{generation}", "sk": f"segment#{number:06d}"}
