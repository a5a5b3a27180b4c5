"""What a run is to back up, written before anything else: a killed run goes on by it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from core.aws.session import AwsSession
from core.backup import manifest
from core.backup.manifest import Compression, Kind, Method
from core.errors import NotFoundError, UsageError
from core.transfer.lines import Keys
from core.transfer.streams import VIEWS, StreamPosition

WishedMethod = Literal["auto", "scan", "export"]
METHODS: tuple[WishedMethod, ...] = ("auto", "scan", "export")
SEGMENT_BYTES = 32 * 1024 * 1024
LEAST_SEGMENTS = 4
MOST_SEGMENTS = 2000
NO_STREAM = "the table has no stream of new images: what changed meanwhile may be in it or not"


@dataclass(frozen=True)
class Wish:
    """What a backup is asked to be; no table named: all that `default_tables` are.

    `max_rcu` bounds the read units a second, None where nothing does. `base` is the id of the set
    that this one is to be an increment of.
    """

    tables: tuple[str, ...] = ()
    method: WishedMethod = "auto"
    compression: Compression = "gzip"
    max_rcu: float | None = None
    base: str | None = None
    fresh: bool = False


@dataclass(frozen=True)
class TablePlan:
    """How one table is read; sizes are the service's own, hours old, and 0 where it has none.

    `position` is where the changes begin that are read besides: of a scan its start, of an
    increment the end of what it builds on. `export_arn` is set once AWS has begun an export.
    """

    table: str
    arn: str
    table_id: str
    keys: tuple[tuple[str, str], ...]
    export_id: str
    kind: Kind
    method: Method
    segments: int
    items: int
    bytes: int
    why_not: str = ""
    position: StreamPosition | None = None
    since: str | None = None

    @property
    def folder(self) -> str:
        """The export's folder, relative to the set's."""
        return f"{self.table}/{manifest.EXPORTS}/{self.export_id}"

    @property
    def key_attributes(self) -> Keys:
        """The table's keys."""
        return Keys(self.keys)


@dataclass(frozen=True)
class SetPlan:
    """`plan.json`: a set and its tables, in the order in which they are read."""

    id: str
    project: str
    where: str
    started_at: str
    compression: Compression
    method: WishedMethod
    keys: str
    tables: tuple[TablePlan, ...]
    base: str | None = None

    def same_wish(self, other: SetPlan) -> bool:
        """Whether both are of the same wish and the same tables."""
        return self._wish() == other._wish()

    def _wish(self) -> tuple[object, ...]:
        # Not where it is: a local endpoint that was started again listens at another port.
        tables = tuple((t.arn, t.table_id, t.kind, t.method) for t in self.tables)
        about = (self.project, self.compression, self.method, self.keys)
        return (*about, self.base, tables)


@dataclass(frozen=True)
class Described:
    """A table as DescribeTable tells of it."""

    name: str
    arn: str
    id: str
    keys: Keys
    items: int
    bytes: int
    stream_arn: str | None

    @property
    def segments(self) -> int:
        """Into how many parts a scan divides it: each is kept when the run is killed."""
        wanted = math.ceil(self.bytes / SEGMENT_BYTES)
        return min(max(wanted, LEAST_SEGMENTS), MOST_SEGMENTS)


def describe(session: AwsSession, table: str) -> Described:
    """What stands of a table.

    Raises:
        NotFoundError: it does not.
        UsageError: it is being made or deleted.
    """
    try:
        found = session.client("dynamodb").describe_table(TableName=table)["Table"]
    except NotFoundError as error:
        raise NotFoundError(
            f"There is no table '{table}' at {session.where}.",
            "`ialctl status` shows the tables that stand.",
            code=error.code,
            status=error.status,
            table=table,
        ) from error
    if found.get("TableStatus") not in ("ACTIVE", "UPDATING"):
        raise UsageError(
            f"The table '{table}' is {str(found.get('TableStatus')).lower()}.",
            "Wait until it is active: `ialctl status`.",
        )
    return Described(
        table,
        str(found["TableArn"]),
        str(found.get("TableId", "")),
        _keys(found),
        int(found.get("ItemCount", 0)),
        int(found.get("TableSizeBytes", 0)),
        _stream(found),
    )


def _keys(found: Mapping[str, Any]) -> Keys:
    types = {d["AttributeName"]: d["AttributeType"] for d in found["AttributeDefinitions"]}
    schema = sorted(found["KeySchema"], key=lambda k: str(k["KeyType"]) != "HASH")
    return Keys(tuple((str(k["AttributeName"]), types[k["AttributeName"]]) for k in schema))


def _stream(found: Mapping[str, Any]) -> str | None:
    about = found.get("StreamSpecification") or {}
    usable = about.get("StreamEnabled") and about.get("StreamViewType") in VIEWS
    return str(found["LatestStreamArn"]) if usable else None
