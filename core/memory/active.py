"""Which engine is active, as the operations table notes it: `pk=engine`, `sk=active`.

`legacy` and `optimized` are read and written alone; `dual` writes both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from core.clock import SYSTEM_CLOCK, Clock
from core.errors import IalError, NotFoundError

ENGINES = ("legacy", "dual", "optimized")
DEFAULT_ENGINE = "optimized"
ENGINE_KEY = {"pk": {"S": "engine"}, "sk": {"S": "active"}}
REFRESH_S = 5.0
"""A process learns of another engine so many seconds later at most."""
_WAIT_S = 2.0
# Longer than any client's retries: a process forked in the middle has no thread that would end it.
_FIRST_S = 60.0


class ReadingClient(Protocol):
    """An AWS client of DynamoDB; `get_item` is all that is called."""

    def __getattr__(self, name: str, /) -> Callable[..., dict[str, Any]]:
        """The operation called `name`."""


def operations_table(project: str) -> str:
    """The name of the project's operations table."""
    return f"{project}-operations"


def active_engine(dynamodb: ReadingClient, project: str) -> str:
    """Which engine is noted: legacy, dual or optimized (also where nothing is noted yet).

    Raises:
        AwsError, TargetError: the table can't be read; one that is not there notes nothing.
    """
    try:
        return noted_engine(dynamodb, project)
    except NotFoundError:
        return DEFAULT_ENGINE


def noted_engine(dynamodb: ReadingClient, project: str) -> str:
    """As `active_engine`, but a table that is not there is an error.

    Raises:
        NotFoundError: there is no operations table.
        AwsError, TargetError: it can't be read.
    """
    answer = dynamodb.get_item(
        TableName=operations_table(project), Key=ENGINE_KEY, ConsistentRead=True
    )
    engine = (answer.get("Item") or {}).get("engine")
    return DEFAULT_ENGINE if engine is None else str(engine.get("S", engine))


class ActiveEngine:
    """Which engine is active, read again after `REFRESH_S` and never more often. Thread-safe.

    Reads run in a thread of their own, the first at once. `name` waits for the first one to end;
    later it answers with what is known, and only where that is over twice as old (a process that
    slept) it waits for the new reading, two seconds at most. A reading that fails, or finds no
    engine that there is, changes nothing; before the first that succeeds it is `optimized`.
    """

    def __init__(
        self,
        dynamodb: ReadingClient,
        project: str,
        clock: Clock = SYSTEM_CLOCK,
        refresh_s: float = REFRESH_S,
    ) -> None:
        """Begins the first reading of the project's operations table."""
        self._dynamodb = dynamodb
        self._project = project
        self._clock = clock
        self._refresh_s = refresh_s
        self._lock = threading.Lock()
        self._name = DEFAULT_ENGINE
        self._failure: str | None = None
        self._begun_s = self._read_s = clock.monotonic()
        self._first = self._reading = threading.Event()
        self._begin(self._reading)

    @property
    def name(self) -> str:
        """`legacy`, `dual` or `optimized`. Never raises."""
        if not self._first.wait(_FIRST_S):
            self._first.set()
        reading, waits = self._refreshed()
        if waits:
            reading.wait(_WAIT_S)
        return self._name

    @property
    def failure(self) -> str | None:
        """Why the latest reading failed; None where it did not."""
        return self._failure

    def _refreshed(self) -> tuple[threading.Event, bool]:
        """The reading under way or just begun, and whether it is worth waiting for."""
        now_s = self._clock.monotonic()
        with self._lock:
            begins = self._reading.is_set() and now_s - self._begun_s >= self._refresh_s
            if begins:
                self._begun_s, self._reading = now_s, threading.Event()
            reading = self._reading
            old = now_s - self._read_s >= 2 * self._refresh_s
            # Where it hangs, only those wait who come while it is new.
            waits = old and now_s - self._begun_s < _WAIT_S
        if begins:
            self._begin(reading)
        return reading, waits

    def _begin(self, reading: threading.Event) -> None:
        thread = threading.Thread(
            target=self._read, args=(reading,), name="active-engine", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # no more threads, or the process is ending
            self._failure = f"No thread can be started to read which engine is active: {error}."
            reading.set()

    def _read(self, reading: threading.Event) -> None:
        try:
            found = noted_engine(self._dynamodb, self._project)
        except IalError as error:
            self._failure = error.what
        else:
            self._take(found)
        finally:
            reading.set()

    def _take(self, found: str) -> None:
        if found not in ENGINES:
            self._failure = (
                f"The active engine is noted as '{found:.40}', which is none of "
                f"{', '.join(ENGINES)}."
            )
            return
        with self._lock:
            self._name, self._failure = found, None
            self._read_s = self._clock.monotonic()
