"""Changes folded by key: of many changes of one item the oldest image and the newest remain.

They lie in a private database of SQLite's that has no name: in memory while they are few, in a
file that is gone with the process where they are many.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Self

import orjson

from core.aws.codec import WireItem
from core.errors import StorageError
from core.transfer.lines import Change, key_digest

_CREATE = """CREATE TABLE changes (
    digest BLOB PRIMARY KEY, keys BLOB, old BLOB, new BLOB, written_us INTEGER
) WITHOUT ROWID"""
_FOLD = """INSERT INTO changes VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (digest) DO UPDATE SET new = excluded.new, written_us = excluded.written_us"""
_KEEP = "INSERT INTO changes VALUES (?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING"


class Changes:
    """The net changes of a table over an interval. For one thread."""

    def __init__(self) -> None:
        # The path "" is SQLite's name for a temporary database.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute(_CREATE)
        self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM changes").fetchone()[0])

    def fold(self, change: Change) -> None:
        """Adds a change that came after all those before it of the same key."""
        self._add(_FOLD, change)

    def keep_newest(self, change: Change) -> None:
        """Adds a change that came before those already here of the same key."""
        self._add(_KEEP, change)

    def has(self, key: WireItem) -> bool:
        """Whether the item of this key has changed."""
        found = self._db.execute("SELECT 1 FROM changes WHERE digest = ?", (key_digest(key),))
        return found.fetchone() is not None

    def all(self) -> Iterator[Change]:
        """Every key's net change, in no order; of one that came and went no image is known."""
        for keys, old, new, us in self._db.execute(
            "SELECT keys, old, new, written_us FROM changes"
        ):
            # Without images too: a stream of new images alone tells so of what was deleted.
            yield Change(orjson.loads(keys), _item(old), _item(new), us)

    def images(self) -> Iterator[WireItem]:
        """The items that stand after the changes."""
        for (new,) in self._db.execute("SELECT new FROM changes WHERE new IS NOT NULL"):
            yield orjson.loads(new)

    def gone(self) -> Iterator[WireItem]:
        """The keys of the items that stand no more."""
        for (keys,) in self._db.execute("SELECT keys FROM changes WHERE new IS NULL"):
            yield orjson.loads(keys)

    def _add(self, statement: str, change: Change) -> None:
        row = (
            key_digest(change.keys),
            orjson.dumps(change.keys),
            orjson.dumps(change.old) if change.old is not None else None,
            orjson.dumps(change.new) if change.new is not None else None,
            change.written_us,
        )
        try:
            self._db.execute(statement, row)
        except sqlite3.Error as error:
            raise StorageError(
                f"Changes can't be kept aside while they are read: {error}.",
                "Make room for temporary files (TMPDIR names their folder), then run it again.",
            ) from error


def _item(text: bytes | None) -> WireItem | None:
    return None if text is None else orjson.loads(text)
