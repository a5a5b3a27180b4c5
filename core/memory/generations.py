"""Generations: indexes of different models beside one another in the embeddings table.

What belongs to a named generation stands in partitions of its own, `{user}#{chunk}~{name}` and
`{user}#segments~{name}`; what belongs to the unnamed one has no such ending. User ids hold no `#`
there, so nobody's id can pose as one.

Which ones there are stands in the operations table before the first item of one is written: so
that what is to be forgotten is looked for in all of them. The note of one that was dropped stays,
for a process that has not heard of it may write on.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.aws.boto_table import open_table
from core.aws.capacity import TableSchema
from core.aws.requests import Change, Query, absent
from core.aws.session import AwsSession
from core.aws.suffixed import SuffixedTable
from core.aws.table import Table, query_pages
from core.clock import Clock, iso
from core.errors import ConditionFailedError, NotFoundError, UsageError
from core.memory.active import operations_table
from core.settings import GENERATION

UNNAMED = "default"
"""How the unnamed generation is called in words and notes."""
PARTITION = "index"
_PREFIX = "generation#"
_PARTITION_NAME = re.compile(rf"[^#]+#(?:segments|[0-9]{{2}})(?:~({GENERATION}))?")


@dataclass(frozen=True)
class Generation:
    """A generation as it is noted; `name` is "" for the unnamed one. Times are UTC."""

    name: str
    model: str
    dimensions: int
    noted_at: str
    dropped_at: str | None = None

    def __str__(self) -> str:
        return self.name or UNNAMED


def suffix_of(name: str) -> str:
    """What the partitions of a generation end with."""
    return f"~{name}" if name else ""


def generation_of(user_chunk: str) -> str | None:
    """The generation whose item stands in a partition; None where it is nobody's."""
    found = _PARTITION_NAME.fullmatch(user_chunk)
    return None if found is None else found.group(1) or ""


class Generations:
    """The notes of a project's generations. Thread-safe."""

    def __init__(self, operations: Table, clock: Clock) -> None:
        self._operations, self._clock = operations, clock

    def noted(self) -> tuple[Generation, ...]:
        """All that were ever noted; none where there is no operations table."""
        query = Query(PARTITION, consistent=True)
        try:
            pages = list(query_pages(self._operations, query))
        except NotFoundError:
            return ()
        rows = [item for page in pages for item in page.items]
        return tuple(_read(row) for row in rows if str(row["sk"]).startswith(_PREFIX))

    def note(self, name: str, model: str, dimensions: int) -> Generation:
        """Notes that there is one, before anything of it is written; one that is noted stays so.

        Raises:
            NotFoundError: there is no operations table.
        """
        about = {"model": model, "dimensions": dimensions, "noted_at": iso(self._clock.time())}
        put = self._operations.put_new({**_key(name), **about})
        found = _read({**_key(name), **about} if put.existing is None else put.existing)
        if found.dropped_at is None:
            return found
        # Begun again after it was dropped: of whatever model.
        self._operations.update(_key(name), Change(set=about, remove=("dropped_at",)))
        return _read({**_key(name), **about})

    def check(self, name: str, model: str, dimensions: int) -> None:
        """Refuses a generation that was begun with another model.

        Raises:
            UsageError: it was.
        """
        for one in self.noted():
            begun = one.model, one.dimensions
            if one.name == name and one.dropped_at is None and begun != (model, dimensions):
                raise UsageError(
                    f"The generation '{one}' was begun with {one.model} ({one.dimensions} "
                    f"numbers), not with {model} ({dimensions} numbers).",
                    f"Name another one, or `ialctl reindex --drop {one}` first.",
                )

    def note_dropped(self, name: str) -> None:
        """Notes that one was deleted; its note stays."""
        change = Change(set={"dropped_at": iso(self._clock.time())})
        unknown = Change(set={"model": "", "dimensions": 0, "noted_at": ""})
        with contextlib.suppress(ConditionFailedError):
            self._operations.update(_key(name), unknown, absent("pk"))
        self._operations.update(_key(name), change)


def open_generations(session: AwsSession, project: str, clock: Clock) -> Generations:
    """The notes in a project's operations table; sends nothing yet."""
    schema = TableSchema(operations_table(project), "pk", "sk")
    return Generations(open_table(session, schema, clock), clock)


def table_of(
    embeddings: Table, name: str, before_writing: Callable[[], None] | None = None
) -> Table:
    """The embeddings of one generation: the table itself for the unnamed one."""
    if not name:
        return embeddings
    if before_writing is None:
        return SuffixedTable(embeddings, suffix_of(name))
    return SuffixedTable(embeddings, suffix_of(name), before_writing)


def tables_elsewhere(
    embeddings: Table, generations: Generations, name: str
) -> Callable[[], Mapping[str, Table]]:
    """Asks for the embeddings of all noted generations but the one of this name, by name."""

    def elsewhere() -> Mapping[str, Table]:
        noted = [one.name for one in generations.noted()]
        others = dict.fromkeys(n for n in ("", *noted) if n != name)
        return {other: table_of(embeddings, other) for other in others}

    return elsewhere


class Once:
    """Calls a function once, however many ask; where it fails, the next one tries. Thread-safe."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call, self._lock, self._done = call, threading.Lock(), False

    def __call__(self) -> None:
        """Returns once it was called."""
        if self._done:
            return
        with self._lock:
            if not self._done:
                self._call()
                self._done = True


def _key(name: str) -> dict[str, str]:
    return {"pk": PARTITION, "sk": f"{_PREFIX}{name or UNNAMED}"}


def _read(row: Mapping[str, Any]) -> Generation:
    name = str(row["sk"]).removeprefix(_PREFIX)
    dropped_at = row.get("dropped_at")
    return Generation(
        "" if name == UNNAMED else name,
        str(row.get("model", "")),
        int(row.get("dimensions", 0)),
        str(row.get("noted_at", "")),
        None if dropped_at is None else str(dropped_at),
    )
