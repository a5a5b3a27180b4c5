"""What both tables hold, side by side: in a private database of SQLite's that has no name.

In memory while it is small, in a file that is gone with the process where it is large: so memory
does not grow with the tables. Rows are added as they come and put in order once, at the end.
"""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import orjson

from core.errors import StorageError

_KNOWN_USERS = 4096
_CREATE = """
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE heads (user INTEGER, place TEXT, about INTEGER, text INTEGER, session INTEGER,
    message INTEGER, ttl INTEGER, blank INTEGER);
CREATE TABLE items (user INTEGER, place TEXT, about INTEGER, text INTEGER, ttl INTEGER,
    has_vector INTEGER);
CREATE TABLE rows (user INTEGER, place TEXT, run TEXT, removed INTEGER, session INTEGER,
    ttl INTEGER);
CREATE TABLE segments (user INTEGER, run TEXT);
CREATE TABLE terms (user INTEGER, run TEXT);
CREATE TABLE large (user INTEGER, message TEXT, digest TEXT);
CREATE TABLE parts (user INTEGER, message TEXT, digest TEXT);
CREATE TABLE suspected (kind TEXT, source TEXT, partition TEXT, sort TEXT);
CREATE TABLE again (user TEXT, place TEXT);
CREATE TABLE found (kind TEXT, source TEXT, partition TEXT, sort TEXT,
    UNIQUE (kind, source, partition, sort));
"""
# The newest run holds; SQLite takes the other columns from the row of the maximum.
_ORDER = """
CREATE INDEX heads_order ON heads (user, place);
CREATE INDEX items_order ON items (user, place);
CREATE INDEX rows_order ON rows (user, place);
CREATE INDEX messages_order ON heads (user, message);
CREATE INDEX terms_order ON terms (user, run);
CREATE INDEX large_order ON large (user, message, digest);
CREATE TABLE shown AS SELECT user, place, max(run) AS run, removed, session, ttl
    FROM rows GROUP BY user, place;
DELETE FROM shown WHERE removed OR (ttl > 0 AND ttl <= :now);
CREATE INDEX shown_order ON shown (user, place);
"""
_FOUND = """
SELECT * FROM found WHERE kind IN (SELECT value FROM json_each(?)) ORDER BY partition, sort, kind
"""
_SUSPECTS = """
SELECT i.user, i.place FROM items i LEFT JOIN heads h ON h.user = i.user AND h.place = i.place
    WHERE (h.user IS NULL AND (i.ttl = 0 OR i.ttl > :now))
    OR (h.about IS NOT NULL AND i.about IS NOT NULL AND (h.about <> i.about OR h.ttl <> i.ttl
        OR (h.text IS NOT NULL AND h.text <> i.text)))
UNION SELECT h.user, h.place FROM heads h
    LEFT JOIN shown r ON r.user = h.user AND r.place = h.place
    WHERE h.about IS NOT NULL AND (h.ttl = 0 OR h.ttl > :now) AND r.user IS NULL
UNION SELECT r.user, r.place FROM shown r
    LEFT JOIN heads h ON h.user = r.user AND h.place = r.place
    WHERE h.user IS NULL
    OR (h.about IS NOT NULL AND (h.session <> r.session OR h.ttl <> r.ttl))
UNION SELECT r.user, r.place FROM shown r
    JOIN heads h ON h.user = r.user AND h.place = r.place
    LEFT JOIN items i ON i.user = r.user AND i.place = r.place
    WHERE h.about IS NOT NULL AND (h.ttl = 0 OR h.ttl > :now) AND i.user IS NULL
ORDER BY 1, 2
"""
_BARE = """
SELECT u.name, i.place FROM items i JOIN heads h ON h.user = i.user AND h.place = i.place
    JOIN users u ON u.id = i.user
    WHERE NOT i.has_vector AND i.about IS NOT NULL AND NOT h.blank
    AND h.about IS NOT NULL AND (h.ttl = 0 OR h.ttl > :now)
"""
_LOST_TERMS = """
SELECT u.name, s.run FROM segments s JOIN users u ON u.id = s.user
    WHERE NOT EXISTS (SELECT 1 FROM terms t WHERE t.user = s.user AND t.run = s.run)
"""
_UNNEEDED = """
SELECT DISTINCT u.name, p.message, p.digest FROM parts p JOIN users u ON u.id = p.user
    WHERE NOT EXISTS (SELECT 1 FROM large l
        WHERE l.user = p.user AND l.message = p.message AND l.digest = p.digest)
"""


class Mark(NamedTuple):
    """An item of a kind: `source` is `history` or `embeddings`, then its keys."""

    kind: str
    source: str
    partition: str
    sort: str


class Ledger:
    """Records of both tables. Thread-safe.

    Raises:
        StorageError: there is no room for temporary files.
    """

    def __init__(self) -> None:
        # The path "" is SQLite's name for a temporary database.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(_CREATE)
        self._db.execute("BEGIN")
        self._lock = threading.RLock()
        self._users: OrderedDict[str, int] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def user(self, name: str) -> int:
        """The number of a user."""
        with self._lock:
            known = self._users.get(name)
            if known is not None:
                return known
            self._run("INSERT OR IGNORE INTO users (name) VALUES (?)", (name,))
            number = int(self._one("SELECT id FROM users WHERE name = ?", (name,)))
            self._users[name] = number
            if len(self._users) > _KNOWN_USERS:
                self._users.popitem(last=False)
            return number

    def add(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Adds rows to one of the tables; what is found twice stays one."""
        if not rows:
            return
        marks = ", ".join("?" * len(rows[0]))
        with self._lock:
            try:
                self._db.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", rows)  # noqa: S608 -- names of this package's own
            except sqlite3.Error as error:
                raise _no_room(error) from error

    def order(self, now_s: int) -> None:
        """Puts what was added in order; call it once, before asking."""
        for statement in filter(str.strip, _ORDER.split(";")):
            self._run(statement, {"now": now_s})

    def suspects(self, now_s: int) -> Iterator[tuple[str, str]]:
        """Users and sort keys of which the tables say different things, user by user."""
        rows = self._all(_SUSPECTS, {"now": now_s})
        name, number = "", -1
        for user, place in rows:
            if user != number:
                name, number = self.name(user), user
            yield name, place

    def bare(self, now_s: int) -> Iterator[tuple[str, str]]:
        """Messages with a text to find and no vector."""
        yield from self._all(_BARE, {"now": now_s})

    def lost_terms(self) -> Iterator[tuple[str, str]]:
        """Users and runs whose words are missing."""
        yield from self._all(_LOST_TERMS, ())

    def unneeded_parts(self) -> Iterator[tuple[str, str, str]]:
        """Users, message ids and hashes of parts that no head names."""
        yield from self._all(_UNNEEDED, ())

    def places_of(self, user: str, message: int) -> list[str]:
        """The sort keys of a user's messages of one id, by its hash."""
        found = self._all(
            "SELECT place FROM heads WHERE user = ? AND message = ?", (self.user(user), message)
        )
        return [place for (place,) in found]

    def suspected(self) -> Iterator[Mark]:
        """What seems wrong by itself, item by item."""
        yield from self._marks("SELECT * FROM suspected ORDER BY source, partition, sort", ())

    def has_again(self) -> bool:
        """Whether anything is to be looked at once more."""
        return bool(self._one("SELECT count(*) FROM again", ()))

    def again(self) -> Iterator[tuple[str, str]]:
        """Users and sort keys to be looked at once more, user by user."""
        yield from self._all("SELECT DISTINCT user, place FROM again ORDER BY 1, 2", ())

    def found(self, *kinds: str) -> Iterator[Mark]:
        """What is wrong, of these kinds, in order of keys."""
        yield from self._marks(_FOUND, (orjson.dumps(kinds).decode(),))

    def examples(self, kind: str, count: int) -> list[Mark]:
        """The first few of a kind."""
        return list(itertools.islice(self.found(kind), count))

    def count(self, kind: str) -> int:
        """How often a kind was found."""
        return int(self._one("SELECT count(*) FROM found WHERE kind = ?", (kind,)))

    def users(self) -> int:
        """How many users have anything."""
        return int(self._one("SELECT count(*) FROM users", ()))

    def name(self, number: int) -> str:
        """The user of a number."""
        return str(self._one("SELECT name FROM users WHERE id = ?", (number,)))

    def _marks(self, statement: str, values: Sequence[str]) -> Iterator[Mark]:
        yield from (Mark(*row) for row in self._all(statement, tuple(values)))

    def _all(self, statement: str, values: Any) -> Iterator[Any]:
        with self._lock:
            cursor = self._run(statement, values)
        while True:
            with self._lock:
                rows = cursor.fetchmany(500)
            if not rows:
                return
            yield from rows

    def _one(self, statement: str, values: Iterable[Any]) -> Any:
        with self._lock:
            return self._run(statement, values).fetchone()[0]

    def _run(self, statement: str, values: Any) -> sqlite3.Cursor:
        with self._lock:
            try:
                return self._db.execute(statement, values)
            except sqlite3.Error as error:
                raise _no_room(error) from error


def _no_room(error: sqlite3.Error) -> StorageError:
    return StorageError(
        f"What was read can't be kept aside while it is compared: {error}.",
        "Make room for temporary files (TMPDIR names their folder), then run it again.",
    )
