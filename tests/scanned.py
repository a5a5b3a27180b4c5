"""A table of numbered items and backups of it in a folder, for tests of scans."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.aws.session import AwsSession
from core.backup.folder import FolderPlace
from core.backup.manifest import SetManifest, TableBackup
from core.backup.opening import open_backup
from core.backup.plans import Wish
from core.backup.progress import Observer, Progress, no_observer
from core.backup.reading import changes, items
from core.backup.taking import About, Taker
from core.backup.verifying import verify
from core.clock import SYSTEM_CLOCK, new_id, system_random
from tests.backups import plain_item

Row = dict[str, Any]


@dataclass
class Bench:
    """A table of items with a number each, and backups of it in a folder."""

    aws: AwsSession
    table: str
    place: FolderPlace
    temporary: Path
    kept: list[Progress] = field(default_factory=list)

    def make(self, *, stream: str | None = "NEW_AND_OLD_IMAGES") -> None:
        """Makes the table."""
        view = {"StreamEnabled": True, "StreamViewType": stream} if stream else None
        self.aws.client("dynamodb").create_table(
            TableName=self.table,
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "N"},
            ],
            BillingMode="PAY_PER_REQUEST",
            **({"StreamSpecification": view} if view else {}),
        )

    def put(self, *found: Row) -> None:
        """Puts items."""
        for item in found:
            self.aws.dynamodb().put_item(TableName=self.table, Item=item)

    def delete(self, item: Row) -> None:
        """Deletes an item."""
        key = {"pk": item["pk"], "sk": item["sk"]}
        self.aws.dynamodb().delete_item(TableName=self.table, Key=key)

    def standing(self) -> dict[str, Row]:
        """The table's items by their number."""
        found = self.aws.dynamodb().scan(TableName=self.table)["Items"]
        return {item["sk"]["N"]: item for item in found}

    def take(
        self,
        observe: Observer = no_observer,
        stop: Callable[[], bool] = lambda: False,
        **wish: Any,
    ) -> SetManifest:
        """Takes a backup."""
        wished = Wish(tables=(self.table,), **wish)
        return self.taker(observe, stop).take(wished, About()).manifest

    def taker(
        self, observe: Observer = no_observer, stop: Callable[[], bool] = lambda: False
    ) -> Taker:
        """What takes backups."""
        return Taker(self.aws, self.place, "t", SYSTEM_CLOCK, new_id, observe=observe, stop=stop)

    def held(self, set_id: str) -> dict[str, Row]:
        """What a restore of a backup would bring, by number; it is verified before."""
        backup = open_backup(self.place, set_id, (), self.aws)
        verification = verify(backup, self.temporary, system_random())
        assert verification.problems == ()
        held: dict[str, Row] = {}
        table = backup.tables[0]
        for layer in table.layers:
            for file in layer.export.files:
                if layer.export.kind == "full":
                    found = items(self.place, layer.export, file, table.keys)
                    held |= {item["sk"]["N"]: dict(item) for item in found}
                    continue
                for change in changes(self.place, layer.export, file, table.keys):
                    held.pop(change.keys["sk"]["N"], None)
                    if change.new is not None:
                        held[change.keys["sk"]["N"]] = dict(change.new)
        return held


def one(found: SetManifest) -> TableBackup:
    """The only table of a set."""
    (table,) = found.tables
    return table


class Writers:
    """Threads that write to a table, and a log of what they were told to be written when."""

    def __init__(self, bench: Bench) -> None:
        self.log: list[tuple[str, Row | None, float, float]] = []
        self._bench = bench
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(3)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        # Each has numbers of its own, so that the order of a number's writes is known.
        for turn in range(100_000):
            if self._stop.is_set():
                return
            item = plain_item(number + 3 * (turn % 60))
            gone = turn % 7 == 3
            item["content"] = {"S": f"turn {turn}"}
            begun = time.time()
            self._bench.delete(item) if gone else self._bench.put(item)
            self.log.append((item["sk"]["N"], None if gone else item, begun, time.time()))

    def fits(self, held: dict[str, Row], at_s: float, first: dict[str, Row]) -> list[str]:
        """What `held` has that can't have stood at the instant, or lacks."""
        wrong = []
        for number in {*first, *held, *(entry[0] for entry in self.log)}:
            mine = [entry for entry in self.log if entry[0] == number]
            before = [entry for entry in mine if entry[3] <= at_s]
            last = before[-1][1] if before else first.get(number)
            in_flight = [e[1] for e in mine if e[2] <= at_s < e[3]]
            if held.get(number) not in (last, *in_flight):
                wrong.append(number)
        return wrong
