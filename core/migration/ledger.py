"""Counts and digests by user and day of both sides, in memory that does not grow with them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from core.errors import StorageError

_CREATE = """CREATE TABLE days (
    user TEXT, day TEXT, legacy INTEGER DEFAULT 0, optimized INTEGER DEFAULT 0,
    legacy_sum INTEGER DEFAULT 0, optimized_sum INTEGER DEFAULT 0, PRIMARY KEY (user, day)
) WITHOUT ROWID"""
_ADD = """INSERT INTO days (user, day, {side}, {side}_sum) VALUES (?, ?, 1, ?)
    ON CONFLICT (user, day) DO UPDATE SET {side} = {side} + 1,
    {side}_sum = ({side}_sum + excluded.{side}_sum) & 4611686018427387903"""
_TOTALS = """SELECT count(DISTINCT user), count(*), total(legacy), total(optimized),
    count(DISTINCT CASE WHEN legacy != optimized OR legacy_sum != optimized_sum THEN user END)
    FROM days"""
_UNLIKE = """SELECT user, day, legacy, optimized FROM days
    WHERE legacy != optimized OR legacy_sum != optimized_sum ORDER BY user, day LIMIT ?"""
_USERS = "SELECT DISTINCT user FROM days WHERE optimized > 0 ORDER BY user"


@dataclass(frozen=True)
class Totals:
    """How much was counted, and how many users' counts or digests differ."""

    users: int
    days: int
    legacy: int
    optimized: int
    unlike_users: int


@dataclass(frozen=True)
class Day:
    """A user's day, and how many messages each side has of it."""

    user_id: str
    day: str
    legacy: int
    optimized: int


class Ledger:
    """Counts messages, and sums their digests whatever their order. Thread-safe."""

    def __init__(self) -> None:
        # The path "" is SQLite's name for a temporary database.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute(_CREATE)
        self._db.execute("BEGIN")
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add(self, side: str, counted: Iterable[tuple[str, str, bytes]]) -> None:
        """Counts messages of a side (`legacy` or `optimized`): user, day, digest.

        Raises:
            StorageError: there is no room for the temporary file.
        """
        rows = [(user, day, int.from_bytes(digest[:7], "big")) for user, day, digest in counted]
        with self._lock:
            try:
                self._db.executemany(_ADD.format(side=side), rows)
            except sqlite3.Error as error:
                raise StorageError(
                    f"The counts can't be kept aside: {error}.",
                    "Make room for temporary files (TMPDIR names their folder).",
                ) from error

    def totals(self) -> Totals:
        """The sums of all."""
        with self._lock:
            found = self._db.execute(_TOTALS).fetchone()
        return Totals(*(int(number) for number in found))

    def unlike(self, most: int) -> list[Day]:
        """The first days whose counts or digests differ."""
        with self._lock:
            return [Day(*row) for row in self._db.execute(_UNLIKE, (most,))]

    def users(self) -> Iterator[str]:
        """Every user that the optimized side has messages of."""
        with self._lock:
            found = self._db.execute(_USERS).fetchall()
        for (user,) in found:
            yield user
