"""Items that could not be moved: noted in the operations table, and whole in a file.

The table tells how many there are, from whichever machine; the file is for whoever looks at them.
"""

from __future__ import annotations

import threading
from pathlib import Path

import orjson

from core.aws.codec import WireItem
from core.errors import DifferenceError, StorageError
from core.migration.journal import Failure, Journal
from core.transfer.lines import item_line


class DeadLetters:
    """Keeps what could not be moved. Thread-safe."""

    def __init__(self, journal: Journal, path: Path | None, most: int) -> None:
        """Up to `most` of them are borne; they are written to `path` (None: to no file)."""
        self._journal = journal
        self._path = path
        self._most = most
        self._lock = threading.Lock()
        self._known = {failure.name: failure for failure in journal.failures()}

    def __len__(self) -> int:
        return len(self._known)

    def add(self, failure: Failure, item: WireItem) -> None:
        """Keeps an item that could not be moved; once, however often it is met.

        Raises:
            StorageError: the file can't be written.
        """
        with self._lock:
            if self._known.get(failure.name) == failure:
                return
            self._append(failure, item)
            self._journal.save_failure(failure)
            self._known[failure.name] = failure

    def settled(self, failure: Failure) -> None:
        """An item was moved, or is gone: it is none of them any more."""
        with self._lock:
            if self._known.pop(failure.name, None) is not None:
                self._journal.drop_failure(failure)

    def check(self) -> None:
        """Stops a run that has met more than are borne.

        Raises:
            DifferenceError: more items could not be moved than `most`.
        """
        if len(self) <= self._most:
            return
        first = next(iter(self._known.values()))
        where = f" All of them are in '{self._path}'." if self._path else ""
        raise DifferenceError(
            f"{_items(len(self))} can't be moved, more than the {self._most} that are allowed; "
            f"the first is of user '{first.user_id:.60}', at '{first.sort_key:.80}': "
            f"{first.reason}{where}",
            "Put them right in the legacy table and run the same command again, or allow so "
            "many: `--max-failed`.",
            failed=len(self),
        )

    def keep_removed(self, item: WireItem) -> None:
        """Writes down an item that is about to be removed; counts as no failure.

        Raises:
            StorageError: the file can't be written.
        """
        user, place = (str(item.get(n, {}).get("S", "")) for n in ("user_id", "timestamp_type"))
        with self._lock:
            self._append(
                Failure(user, place, "removed: the legacy table has none", "removed"), item
            )

    def _append(self, failure: Failure, item: WireItem) -> None:
        if self._path is None:
            return
        about = {
            "user_id": failure.user_id,
            "sort_key": failure.sort_key,
            "side": failure.side,
            "reason": failure.reason,
        }
        whole = orjson.loads(item_line(item))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(orjson.dumps({**about, **whole}, option=orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            raise StorageError(
                f"What can't be moved can't be written to '{self._path}': {error.strerror}.",
                "Name another file: `--dead-letters FILE`.",
                path=self._path,
            ) from error


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"
