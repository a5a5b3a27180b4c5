"""Who holds a lock: a person, a machine, a process, one run; and where leases stand in tables."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
