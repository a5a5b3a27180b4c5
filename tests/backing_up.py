"""A backup for a process of its own, that kills itself at a write of a file where told to."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from core.aws.session import AwsSession
from core.backup.folder import FolderPlace
from core.backup.plans import Wish
from core.backup.taking import About, Taker
from core.clock import SYSTEM_CLOCK, new_id
from core.settings import load_settings


class DyingPlace(FolderPlace):
    """A folder whose process is killed at one of its writes: an even number before it is made,
    an odd one after it."""

    def __init__(self, folder: Path, at: int | None) -> None:
        super().__init__(folder)
        self._left = at
        self._counting = threading.Lock()

    def put(self, name: str, body: bytes) -> None:
        """Writes, and dies before or after it where it is told to."""
        self._count()
        super().put(name, body)
        self._count()

    def put_new(self, name: str, body: bytes) -> bool:
        """The same for what must not stand yet: the lock, and the commit."""
        self._count()
        made = super().put_new(name, body)
        self._count()
        return made

    def _count(self) -> None:
        with self._counting:
            if self._left is None:
                return
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


def main(endpoint: str, project: str, folder: str, table: str, at: int | None) -> None:
    """Takes the backup, prints its id; dies at a write where one is named."""
    flags = {"endpoint_url": endpoint, "project": project, "state_dir": folder}
    session = AwsSession(load_settings(flags, environment={}, folder=Path(folder)).settings)
    place = DyingPlace(Path(folder) / "backups", at)
    taker = Taker(session, place, project, SYSTEM_CLOCK, new_id)
    sys.stdout.write(taker.take(Wish(tables=(table,)), About()).manifest.id)
