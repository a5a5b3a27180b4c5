"""What tests of restores share: tables of items, backups of them, restores of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.aws.capacity import TableSchema
from core.aws.session import AwsSession
from core.backup.comparing import Comparer, Comparison, Target
from core.backup.folder import FolderPlace
from core.backup.opening import Backup, open_backup
from core.backup.place import Place
from core.backup.plans import Wish
from core.backup.progress import Observer, Progress, no_observer
from core.backup.restore_plans import RestorePlan, RestoreWish
from core.backup.restoring import Folders, Restored, RestoredTable, Restorer
from core.backup.sealing import KeySource
from core.backup.taking import About, Taker
from core.clock import SYSTEM_CLOCK, new_id
from core.errors import NotFoundError
from core.settings import load_settings
from core.transfer.budget import Budget
from core.transfer.lines import Keys
from core.transfer.writing import Writer
from tests.backups import KEYS

Item = Mapping[str, Any]


@dataclass
class Bench:
    """A table, backups of it, and restores of these."""

    aws: AwsSession
    table: str
    place: Place
    folder: Path
    keys: Keys = KEYS
    observe: Observer = no_observer
    stop: Callable[[], bool] = field(default=lambda: False)

    def make(self, name: str | None = None, **more: Any) -> None:
        """Makes a table of the bench's keys."""
        kinds = ("HASH", "RANGE")
        self.aws.client("dynamodb").create_table(
            TableName=name or self.table,
            KeySchema=[
                {"AttributeName": n, "KeyType": kind}
                for (n, _), kind in zip(self.keys.attributes, kinds, strict=False)
            ],
            AttributeDefinitions=[
                {"AttributeName": n, "AttributeType": kind} for n, kind in self.keys.attributes
            ],
            BillingMode="PAY_PER_REQUEST",
            **more,
        )

    def put(self, items: Sequence[Item], name: str | None = None) -> None:
        """Writes items."""
        hash_key, range_key = (*(n for n, _ in self.keys.attributes), None)[:2]
        schema = TableSchema(name or self.table, str(hash_key), range_key)
        with Writer(self.aws, schema, Budget(None, SYSTEM_CLOCK), SYSTEM_CLOCK) as writer:
            for item in items:
                writer.put(item)
            writer.flush()

    def take(self, source: KeySource | None = None, **wish: Any) -> str:
        """Takes a backup; answers its id."""
        taker = Taker(self.aws, self.place, "t", SYSTEM_CLOCK, new_id)
        return taker.take(Wish(tables=(self.table,), **wish), About(), source).manifest.id

    def opened(self, name: str, *sources: KeySource) -> Backup:
        """A backup, opened."""
        return open_backup(self.place, name, sources, self.aws)

    def restorer(self, backup: str | Backup, machine: str = "here") -> Restorer:
        """What restores a backup, on some machine: each has a state folder of its own."""
        opened = self.opened(backup) if isinstance(backup, str) else backup
        folders = Folders(self.folder / machine, self.folder / "tmp")
        return Restorer(
            self.aws,
            opened,
            folders,
            SYSTEM_CLOCK,
            new_id,
            observe=self.observe,
            stop=self.stop,
        )

    def plan(self, backup: str | Backup, **wish: Any) -> RestorePlan:
        """What a restore would do."""
        return self.restorer(backup).plan(RestoreWish(**wish))

    def restore(self, backup: str | Backup, machine: str = "here", **wish: Any) -> RestoredTable:
        """Restores the only table of a backup."""
        (found,) = self.restored(backup, machine, **wish).tables
        return found

    def restored(self, backup: str | Backup, machine: str = "here", **wish: Any) -> Restored:
        """Restores a backup."""
        return self.restorer(backup, machine).run(RestoreWish(**wish))

    def compared(self, table: str, items: Sequence[Item]) -> Comparison:
        """A table against items."""
        comparer = Comparer(self.aws, self.folder / "tmp", SYSTEM_CLOCK)
        return comparer.compare(Target(table, self.keys), lambda: items)

    def stands(self, table: str) -> bool:
        """Whether there is such a table."""
        try:
            self.aws.client("dynamodb").describe_table(TableName=table)
        except NotFoundError:
            return False
        return True


def stopped_while_writing(bench: Bench) -> Bench:
    """The same bench; its restores are stopped once they have written."""
    begun: list[Progress] = []

    def observe(progress: Progress) -> None:
        begun.extend([progress] if progress.stage == "writing" else [])

    return replace(bench, observe=observe, stop=lambda: bool(begun))


def main(endpoint_url: str, project: str, folder: str, backup: str) -> None:
    """Restores a backup in a process of its own, that can be killed."""
    flags = {"endpoint_url": endpoint_url, "project": project, "state_dir": folder}
    aws = AwsSession(load_settings(flags, environment={}, folder=Path(folder)).settings)
    bench = Bench(aws, "", FolderPlace(Path(folder) / "backups"), Path(folder))
    bench.restore(backup, max_wcu=None)
