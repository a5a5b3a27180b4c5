"""One deployment at a time: a lease in the operations table, a locked file until that stands.

The file keeps out other runs of this machine and folder, and is free again the moment its
process ends. The lease keeps out everyone else: it is taken by a conditional write, runs out by
itself, and carries a number that grows with each owner, so that one who lost it is noticed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock, Timeout

from core.aws.lease import LEASE, Owner, process_runs
from core.clock import Clock, iso
from core.deploy.client import Client
from core.errors import AwsError, ConditionFailedError, LockHeldError, NotFoundError, StorageError

LEASE_S = 120.0
_KEY = {"pk": {"S": f"{LEASE}deployment"}, "sk": {"S": "lock"}}


@contextlib.contextmanager
def file_lock(path: Path, owner: Owner, clock: Clock) -> Iterator[None]:
    """Holds a lock file while the block runs.

    Raises:
        LockHeldError: another process holds it; says who and since when.
        StorageError: the file can't be made.
    """
    # Who holds it stands beside it: a locked file can't be read everywhere.
    note = path.with_suffix(".owner")
    lock = FileLock(path, blocking=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        note.write_bytes(orjson.dumps({"owner": str(owner), "since": iso(clock.time())}))
    except Timeout:
        raise _held(*_read_owner(note)) from None
    except OSError as error:
        lock.release()
        raise StorageError(
            f"The lock file '{path}' can't be made: {error.strerror}.",
            "Choose a folder that can be written: --state-dir DIR or IAL_STATE_DIR.",
            path=path,
        ) from error
    try:
        yield
    finally:
        lock.release()


class Lease:
    """The lease in the operations table. Thread-safe: all its state is the table's and one flag."""

    def __init__(self, dynamodb: Client, table: str, owner: Owner, clock: Clock) -> None:
        self._dynamodb, self._table = dynamodb, table
        self._owner, self._clock = owner, clock
        self._renew_at: float | None = None
        self.fence = 0

    @property
    def held(self) -> bool:
        """Whether this run took it."""
        return self._renew_at is not None

    def acquire(self) -> bool:
        """Takes the lease; False where the table does not stand yet.

        A lease that ran out is taken over, and one whose process on this machine is dead.

        Raises:
            LockHeldError: someone else holds it; says who and since when.
        """
        try:
            self.fence = self._write("attribute_not_exists(run) OR expires_at < :now OR run = :run")
        except NotFoundError:
            return False
        except ConditionFailedError:
            self._take_over()
        self._schedule()
        return True

    def keep(self) -> None:
        """Makes the lease last; quick unless a third of it has passed. Does nothing if not held.

        Raises:
            LockHeldError: it ran out meanwhile, and someone else took it.
        """
        if self._renew_at is None or self._clock.monotonic() < self._renew_at:
            return
        try:
            self.fence = self._write("run = :run", grow=0)
            self._schedule()
        except ConditionFailedError:
            # It ran out: ours anew, or whoever has it now is named to every thread that asks.
            self.acquire()

    def release(self) -> None:
        """Gives the lease back; the number stays. Does nothing if it is not held (any more).

        A target that can't be reached any more is no error here: the lease runs out by itself,
        and what went wrong before is what a person has to hear of.
        """
        if self._renew_at is None:
            return
        self._renew_at = None
        with contextlib.suppress(AwsError):
            self._dynamodb.update_item(
                TableName=self._table,
                Key=_KEY,
                UpdateExpression="REMOVE run, holder, host, pid, since, expires_at",
                ConditionExpression="run = :run",
                ExpressionAttributeValues={":run": {"S": self._owner.run}},
            )

    def _take_over(self) -> None:
        item = self._read()
        if not self._dead(item):
            raise _held(*_describe(item))
        self.fence = self._write("run = :dead", {":dead": item["run"]})

    def _dead(self, item: Mapping[str, Any]) -> bool:
        if item.get("host", {}).get("S") != self._owner.host or "run" not in item:
            return False
        return not process_runs(int(item.get("pid", {}).get("N", "0")))

    def _schedule(self) -> None:
        self._renew_at = self._clock.monotonic() + LEASE_S / 3

    def _write(
        self, condition: str, more: Mapping[str, Any] | None = None, *, grow: int = 1
    ) -> int:
        now, owner = self._clock.time(), self._owner
        names = {":run", ":holder", ":host", ":pid", ":since", ":until", ":zero", ":one"}
        values: dict[str, Any] = {
            ":run": {"S": owner.run},
            ":holder": {"S": str(owner)},
            ":host": {"S": owner.host},
            ":pid": {"N": str(owner.pid)},
            ":since": {"S": iso(now)},
            ":until": {"N": str(int(now + LEASE_S))},
            ":zero": {"N": "0"},
            ":one": {"N": str(grow)},
            ":now": {"N": str(int(now))},
            **(more or {}),
        }
        used = {name: v for name, v in values.items() if name in names or name in condition}
        answer = self._dynamodb.update_item(
            TableName=self._table,
            Key=_KEY,
            UpdateExpression="SET run = :run, holder = :holder, host = :host, pid = :pid, "
            "since = :since, expires_at = :until, fence = if_not_exists(fence, :zero) + :one",
            ConditionExpression=condition,
            ExpressionAttributeValues=used,
            ReturnValues="ALL_NEW",
        )
        return int(answer["Attributes"]["fence"]["N"])

    def _read(self) -> Mapping[str, Any]:
        answer = self._dynamodb.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        item: Mapping[str, Any] = answer.get("Item") or {}
        return item


def _read_owner(note: Path) -> tuple[str, str]:
    try:
        found = orjson.loads(note.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return "another process", "just now"  # it has not written its name yet
    return str(found["owner"]), str(found["since"])


def _describe(item: Mapping[str, Any]) -> tuple[str, str]:
    holder, since = item.get("holder", {}).get("S"), item.get("since", {}).get("S")
    return holder or "another run", since or "just now"


def _held(owner: str, since: str) -> LockHeldError:
    return LockHeldError(
        f"Another deployment is going on: {owner} holds the lock since {since}.",
        "Wait until it has ended; the lock of a run that died is taken over by itself.",
        owner=owner,
        since=since,
    )
