"""Tables that a benchmark makes for itself, and removes again, whatever happens to it.

Their names stand in the state folder before the first is made; what a killed run left behind is
removed by the next one. Nothing else is ever removed: no table of a deployment, and none of a run
that is noted elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from core.aws.capacity import TableSchema
from core.aws.creating import create_arguments
from core.aws.session import AwsSession
from core.clock import Clock
from core.errors import LockHeldError, NotFoundError, TargetError
from core.memory.schema import embeddings_schema, history_schema, legacy_history_schema

NUMBERS = frozenset(("timestamp",))
"""Key attributes that are numbers in the optimized layout; all others are texts."""
EMBEDDED = "the local endpoint"
_ACTIVE_TIMEOUT_S = 120.0
_POLL_S = 0.05
_LOCK = "benchmark.lock"


@contextmanager
def own_tables(
    session: AwsSession,
    folder: Path,
    prefix: str,
    clock: Clock,
    others: Sequence[TableSchema] = (),
) -> Iterator[Sequence[TableSchema]]:
    """The tables of both layouts under `prefix`, while the block runs.

    Args:
        session: where they are to be.
        folder: where it is noted which there are.
        prefix: of their names; nothing else may have it.
        clock: for waiting.
        others: further tables, after those of the layouts.

    Raises:
        LockHeldError: another benchmark of this folder is running.
    """
    with _alone(folder):
        remove_left_overs(session, folder)
        schemas = (
            legacy_history_schema(prefix),
            history_schema(prefix),
            embeddings_schema(prefix),
            *others,
        )
        _note(session, folder, [schema.name for schema in schemas])
        try:
            for schema in schemas:
                create(session, schema)
            for schema in schemas:
                wait_until_active(session, schema.name, clock)
            yield schemas
        except BaseException:
            # What went wrong counts, not that the tables can't be removed either: they are noted.
            with suppress(TargetError):
                remove_left_overs(session, folder)
            raise
        remove_left_overs(session, folder)


def create(session: AwsSession, schema: TableSchema) -> None:
    """Makes a table on demand, with its indexes."""
    numbers = NUMBERS if schema.indexes else ()  # a legacy table's times are texts
    session.client("dynamodb").create_table(**create_arguments(schema, numbers))


def wait_until_active(session: AwsSession, name: str, clock: Clock) -> None:
    """Waits for a table and its indexes.

    Raises:
        TargetError: it takes too long.
    """
    deadline = clock.monotonic() + _ACTIVE_TIMEOUT_S
    while clock.monotonic() < deadline:
        found = session.client("dynamodb").describe_table(TableName=name)["Table"]
        indexes = found.get("GlobalSecondaryIndexes", ())
        if found["TableStatus"] == "ACTIVE" and all(i["IndexStatus"] == "ACTIVE" for i in indexes):
            return
        clock.sleep(_POLL_S)
    raise TargetError(
        f"The table '{name}' is not ready after {_ACTIVE_TIMEOUT_S:.0f} s.",
        "Run the benchmark again; it removes the table first.",
    )


def remove_left_overs(session: AwsSession, folder: Path) -> None:
    """Removes the tables that are noted for this target; notes of others stay."""
    path = _note_of(session, folder)
    try:
        noted = json.loads(path.read_text())
    except FileNotFoundError:
        return
    client = session.client("dynamodb")
    for name in noted["tables"]:
        with suppress(NotFoundError):
            client.delete_table(TableName=name)
    path.unlink()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockHeldError(
            "Another benchmark of this project is running here.",
            "Wait until it has ended, or use another --state-dir.",
        ) from error
    try:
        yield
    finally:
        lock.release()


def _note_of(session: AwsSession, folder: Path) -> Path:
    # The embedded endpoint's port may change from one start to the next.
    where = session.where
    if where.startswith(EMBEDDED):
        where = EMBEDDED
    digest = hashlib.sha256(where.encode()).hexdigest()[:12]
    return folder / f"tables-{digest}.json"


def _note(session: AwsSession, folder: Path, names: Sequence[str]) -> None:
    path = _note_of(session, folder)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps({"where": session.where, "tables": list(names)}))
    aside.replace(path)
