"""Who holds a lock: a person, a machine, a process, one run; and where leases stand in tables."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from core.clock import Clock, iso
from core.errors import AwsError, ConditionFailedError, LockHeldError, NotFoundError

LEASE_S = 120.0
OPERATIONS = "-operations"
"""How the name of a project's operations table ends."""
LEASE = "lock#"
"""What the partition keys of leases in it begin with."""


def is_lease(table: str, item: Mapping[str, Any]) -> bool:
    """Whether an item is a lease: of the moment, and nothing to be brought back or compared."""
    key = item.get("pk") or {}
    return table.endswith(OPERATIONS) and str(key.get("S", "")).startswith(LEASE)


@dataclass(frozen=True)
class Owner:
    """Who holds the lock: a person, a machine, a process, one run."""

    user: str
    host: str
    pid: int
    run: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host} (process {self.pid})"


def this_run(run: str) -> Owner:
    """The owner that this process is."""
    try:
        user = getpass.getuser()
    except (KeyError, ImportError, OSError):  # an id without a name, as in many containers
        user = "somebody"
    return Owner(user, socket.gethostname(), os.getpid(), run)


def process_runs(pid: int) -> bool:
    """Whether a process of this machine is alive."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class DynamoDb(Protocol):
    """An AWS client of DynamoDB; `get_item` and `update_item` are called."""

    def __getattr__(self, name: str, /) -> Callable[..., dict[str, Any]]:
        """The operation called `name`."""


class Lease:
    """The lease in the operations table. Thread-safe: all its state is the table's and one flag."""

    def __init__(
        self, dynamodb: DynamoDb, table: str, owner: Owner, clock: Clock, what: str = "deployment"
    ) -> None:
        """A lease of the operations table `table`; of each `what` there is one."""
        self._dynamodb, self._table, self._what = dynamodb, table, what
        self._key = {"pk": {"S": f"{LEASE}{what}"}, "sk": {"S": "lock"}}
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
                Key=self._key,
                UpdateExpression="REMOVE run, holder, host, pid, since, expires_at",
                ConditionExpression="run = :run",
                ExpressionAttributeValues={":run": {"S": self._owner.run}},
            )

    def _take_over(self) -> None:
        item = self._read()
        if not self._dead(item):
            raise held(self._what, *_describe(item))
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
            Key=self._key,
            UpdateExpression="SET run = :run, holder = :holder, host = :host, pid = :pid, "
            "since = :since, expires_at = :until, fence = if_not_exists(fence, :zero) + :one",
            ConditionExpression=condition,
            ExpressionAttributeValues=used,
            ReturnValues="ALL_NEW",
        )
        return int(answer["Attributes"]["fence"]["N"])

    def _read(self) -> Mapping[str, Any]:
        answer = self._dynamodb.get_item(TableName=self._table, Key=self._key, ConsistentRead=True)
        item: Mapping[str, Any] = answer.get("Item") or {}
        return item


def _describe(item: Mapping[str, Any]) -> tuple[str, str]:
    holder, since = item.get("holder", {}).get("S"), item.get("since", {}).get("S")
    return holder or "another run", since or "just now"


def held(what: str, owner: str, since: str) -> LockHeldError:
    """Says who holds a lock, and since when."""
    return LockHeldError(
        f"Another {what} is going on: {owner} holds the lock since {since}.",
        "Wait until it has ended; the lock of a run that died is taken over by itself.",
        owner=owner,
        since=since,
    )
