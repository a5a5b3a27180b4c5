"""What a migration is made of, put together for a project at a target."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from core.aws.boto_table import open_table
from core.aws.capacity import TableSchema
from core.aws.codec import WireItem
from core.aws.session import AwsSession
from core.clock import Clock
from core.errors import IalError, NotFoundError, UsageError
from core.memory.active import operations_table
from core.memory.parts import open_parts
from core.memory.schema import embeddings_schema, history_schema, legacy_history_schema
from core.migration.copying import CHUNK_ITEMS
from core.migration.gate import Limits
from core.migration.legacy import LegacyPage, LegacySide
from core.migration.optimized import OptimizedSide
from core.migration.ports import Each
from core.settings import Settings
from core.transfer.budget import Budget
from core.transfer.inserting import Inserter
from core.transfer.patience import Stop
from core.transfer.scanning import Scanner
from core.transfer.streams import Stream

SEGMENTS = 16
WORKERS = 3
FOLLOWING = 8
_INDEX_MB = 32
_VIEW = "NEW_AND_OLD_IMAGES"
_READY_S = 300.0
_POLL_S = 0.2
NOTICE_S = 15.0
"""So long both tables are written after a switch: engines notice it within ten seconds."""
_ANEW = "Copy anew what is there by now: `ialctl migrate run --restart`."


@dataclass(frozen=True)
class Options:
    """How to migrate.

    `embed` makes a vector for what has none while it is copied; `remake` uses no inline vectors.
    Up to `max_failed` items that can't be mapped are borne, and written to `dead_letters`.
    After a switch both sides are followed for `notice_s`: until every engine has noticed.
    """

    segments: int = SEGMENTS
    workers: int = WORKERS
    max_rcu: float | None = None
    max_wcu: float | None = None
    max_failed: int = 0
    dead_letters: Path | None = None
    embed: bool = False
    remake: bool = False
    notice_s: float = NOTICE_S
    limits: Limits = field(default_factory=Limits)


class Wiring(AbstractContextManager["Wiring"]):
    """The parts of a migration of one project. Close it (or use `with`) when done."""

    def __init__(
        self,
        session: AwsSession,
        settings: Settings,
        clock: Clock,
        options: Options,
        stop: Stop = lambda: False,
    ) -> None:
        project = settings.project
        self.session, self.clock, self.options = session, clock, options
        self.ask_while_waiting = stop
        self._streams: dict[str, Stream] = {}
        self.names = {
            "legacy": legacy_history_schema(project).name,
            "optimized": history_schema(project).name,
            "embeddings": embeddings_schema(project).name,
            "operations": operations_table(project),
        }
        self.operations = open_table(
            session, TableSchema(self.names["operations"], "pk", "sk"), clock
        )
        self.reading = Budget(options.max_rcu, clock, stop=stop)
        self.writing = Budget(options.max_wcu, clock, stop=stop)
        small = dataclasses.replace(
            settings, index_memory_mb=min(settings.index_memory_mb, _INDEX_MB)
        )
        self.parts = open_parts(small, session, clock)
        self._pool = ThreadPoolExecutor(2 * options.workers, thread_name_prefix="insert")
        schema = history_schema(project)
        insert = Inserter(session, schema, self.writing, clock, self._pool, stop)
        side = partial(
            OptimizedSide,
            self.parts,
            insert,
            embed=options.embed,
            remake=options.remake,
            aside=set(),
        )
        self.optimized = side(spend=self.writing.spend)
        # Following never waits for a budget: what it writes is paid for by the copy.
        self._following = ThreadPoolExecutor(FOLLOWING, thread_name_prefix="follow")
        self.each: Each = self._following.map
        self.followed = side(spend=self.writing.charge, each=self.each)
        legacy = open_table(session, legacy_history_schema(project), clock)
        self.scanner = Scanner(
            session,
            self.names["legacy"],
            self.reading,
            clock,
            consistent=True,
            stop=stop,
            most_items=CHUNK_ITEMS,
        )
        self.legacy = LegacySide(legacy, self._page, clock, self.writing.charge)

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        self._following.shutdown()
        self.parts.close()

    def stream(self, side: str) -> Stream:
        """The stream of a side, the same at every call: it knows where it was a moment ago.

        Raises:
            UsageError: it is off.
        """
        if side not in self._streams:
            arn = self._stream_arn(side)
            self._streams[side] = Stream(
                self.session, arn, self.clock, lambda: self.ask_while_waiting(), anew=_ANEW
            )
        return self._streams[side]

    def about(self, side: str) -> Mapping[str, Any] | None:
        """A side's table, described; None where there is none."""
        client = self.session.client("dynamodb")
        try:
            found: Mapping[str, Any] = client.describe_table(TableName=self.names[side])["Table"]
        except NotFoundError:
            return None
        return found

    def turn_on_stream(self, side: str) -> bool:
        """Turns on a side's stream; False where it was on.

        Raises:
            UsageError: it shows something else than images before and after.
            NotFoundError: there is no such table.
        """
        client = self.session.client("dynamodb")
        name = self.names[side]
        about = client.describe_table(TableName=name)["Table"]
        stream = about.get("StreamSpecification") or {}
        if stream.get("StreamEnabled"):
            if stream.get("StreamViewType") == _VIEW:
                return False
            raise UsageError(
                f"The stream of '{name}' shows {stream.get('StreamViewType')}; what an item was "
                "before has to be known as well.",
                f"Turn it off and on again with {_VIEW}, once nobody else reads it.",
                table=name,
            )
        client.update_table(
            TableName=name,
            StreamSpecification={"StreamEnabled": True, "StreamViewType": _VIEW},
        )
        self._wait_for_stream(name)
        return True

    def fingerprint(self) -> dict[str, str]:
        """What a run has to find as it was when the migration was begun."""
        found = {}
        for side in ("legacy", "optimized"):
            about = self.about(side)
            if about is None:
                raise missing(self.names[side], side)
            found[f"{side} table"] = f"{about['TableArn']} made {about['CreationDateTime']}"
        embedder = self.parts.embedder
        found["embedding model"] = f"{embedder.model}, {embedder.dimensions} numbers"
        found["inline vectors"] = "made anew" if self.options.remake else "used"
        return found

    def _stream_arn(self, side: str) -> str:
        about = self.about(side)
        if about is None:
            raise missing(self.names[side], side)
        spec = about.get("StreamSpecification") or {}
        arn = about.get("LatestStreamArn")
        if not arn or not spec.get("StreamEnabled"):
            raise UsageError(
                f"The stream of '{self.names[side]}' is off: what changes there is not seen.", _ANEW
            )
        return str(arn)

    def _wait_for_stream(self, name: str) -> None:
        client = self.session.client("dynamodb")
        until = self.clock.monotonic() + _READY_S
        while self.clock.monotonic() < until:
            about = client.describe_table(TableName=name)["Table"]
            if about["TableStatus"] == "ACTIVE" and about.get("LatestStreamArn"):
                return
            self.clock.sleep(_POLL_S)
        raise UsageError(
            f"The stream of '{name}' did not come on within {_READY_S / 60:.0f} minutes.",
            "Run the same command again.",
        )

    def _page(self, segment: int, segments: int, start: WireItem | None) -> LegacyPage:
        page = next(iter(self.scanner.pages(segment, segments, start)))
        self.reading.spend(page.read_units)
        return LegacyPage(page.items, page.after)


def missing(name: str, side: str) -> IalError:
    """There is no such table."""
    cures = {
        "legacy": "There is nothing to migrate, or IAL_PROJECT names another project.",
        "optimized": "Deploy it: `ialctl start`.",
    }
    return NotFoundError(f"There is no table '{name}'.", cures.get(side), code="", status=0)
