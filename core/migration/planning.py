"""What a migration would do, cost and leave out: read from the legacy table, changing nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.aws.capacity import READ_UNIT_BYTES
from core.cost.prices import US_EAST_1
from core.errors import IalError, InterruptedRunError, NotFoundError
from core.memory.active import active_engine
from core.memory.schema import (
    embeddings_schema,
    history_schema,
    legacy_cache_schema,
    legacy_schemas,
)
from core.migration.surveying import Counts, SideBySide, Survey, Unmapped
from core.migration.wiring import Wiring, missing
from core.transfer.patience import Stop
from core.transfer.scanning import Scanner, ScanPage

SAMPLE_ITEMS = 20_000
_SEGMENTS = 8
NEW_TABLE_RCU = 4_000.0
NEW_TABLE_WCU = 2_000.0
"""What a new on-demand table takes a second from the start (AWS's own figures)."""
SEAL_UNITS = 0.05
"""Write units a message that putting 128 of them into a segment of the index costs, measured."""
_LEFT = {
    "user-sessions": "not needed: sessions are found by the index SessionIndex",
    "context-windows": "not needed: a context is built anew at every question",
    "token-usage": "not needed: accounting, which no context reads",
    "conversation-cache": "not needed: a cache, and what it holds is made again",
}


@dataclass(frozen=True)
class LeftTable:
    """A legacy table that is not copied: its items by DynamoDB's own count (None: it does not
    stand), and why."""

    name: str
    items: int | None
    why: str


@dataclass(frozen=True)
class Ground:
    """What stands, and what protects it. `engine` is the active one."""

    table: str
    items: int
    bytes: int
    has_stream: bool
    deletion_protection: bool
    point_in_time_recovery: bool
    deployed: bool
    engine: str


@dataclass(frozen=True)
class Cost:
    """What the copy and a verification take: units, dollars in us-east-1, seconds at the rates."""

    read_units: float
    write_units: float
    dollars: float
    stored_dollars_month: float
    seconds: float
    read_rate: float
    write_rate: float


@dataclass(frozen=True)
class Plan:
    """What a migration would do.

    All numbers are exact where `exact`; otherwise `counts` are of `read` items, and `factor` is how
    many times as many there are.
    """

    ground: Ground
    exact: bool
    read: int
    factor: float
    users: int
    counts: Counts
    collisions: int
    unmapped: tuple[Unmapped, ...]
    samples: tuple[SideBySide, ...]
    left: tuple[LeftTable, ...]
    cost: Cost
    model: str
    dimensions: int

    def about(self, count: float) -> int:
        """So many of what was read, of all that there is."""
        return round(count * self.factor)

    @property
    def usable_vectors(self) -> int:
        """Inline vectors as long as the configured model's, of those read."""
        return self.counts.vectors.get(self.dimensions, 0)

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        counts = vars(self.counts) | {
            "vectors": {str(size): n for size, n in self.counts.vectors.items()},
            "unknown": dict(self.counts.unknown),
        }
        # `asdict` would make counters of counters' pairs.
        data = dataclasses.asdict(dataclasses.replace(self, counts=Counts()))
        data |= {"counts": counts}
        return data | {"about": {n: self.about(v) for n, v in counts.items() if type(v) is int}}


def plan(
    wiring: Wiring,
    project: str,
    sample: int | None = SAMPLE_ITEMS,
    stop: Stop = lambda: False,
) -> Plan:
    """Reads about `sample` items (None: all) and says what a migration of them all would be.

    Raises:
        NotFoundError: there is no legacy table.
        InterruptedRunError: `stop` says so.
    """
    ground = _ground(wiring, project)
    survey = Survey(
        wiring.parts.items,
        history_schema(project),
        embeddings_schema(project),
        wiring.parts.embedder.dimensions,
    )
    exact = _read(wiring, survey, sample, stop)
    counts = survey.counts
    total = counts.items if exact else max(ground.items, counts.items)
    factor = total / counts.items if counts.items else 1.0
    embedder = wiring.parts.embedder
    return Plan(
        ground=ground,
        exact=exact,
        read=counts.items,
        factor=factor,
        users=survey.users.count,
        counts=counts,
        collisions=survey.collisions,
        unmapped=survey.unmapped,
        samples=tuple(survey.samples),
        left=tuple(_left(wiring, project)),
        cost=_cost(wiring, counts, factor),
        model=embedder.model,
        dimensions=embedder.dimensions,
    )


def _read(wiring: Wiring, survey: Survey, sample: int | None, stop: Stop) -> bool:
    """Reads the segments in turns; answers whether that was all."""
    scanner = Scanner(
        wiring.session, wiring.names["legacy"], wiring.reading, wiring.clock, stop=stop
    )
    going: list[Iterator[ScanPage]] = [scanner.pages(n, _SEGMENTS) for n in range(_SEGMENTS)]
    now_s = wiring.clock.time()
    while going:
        for pages in list(going):
            page = next(pages, None)
            if page is None:
                going.remove(pages)
                continue
            for item in page.items:
                survey.add(item, now_s)
            if stop():
                raise InterruptedRunError("Interrupted; nothing was changed.")
            if page.after is None:
                going.remove(pages)
        if sample is not None and survey.counts.items >= sample and going:
            return False
    return True


def _ground(wiring: Wiring, project: str) -> Ground:
    about = wiring.about("legacy")
    if about is None:
        raise missing(wiring.names["legacy"], "legacy")
    return Ground(
        table=wiring.names["legacy"],
        items=int(about.get("ItemCount") or 0),
        bytes=int(about.get("TableSizeBytes") or 0),
        has_stream=bool((about.get("StreamSpecification") or {}).get("StreamEnabled")),
        deletion_protection=bool(about.get("DeletionProtectionEnabled")),
        point_in_time_recovery=_is_recoverable(wiring),
        deployed=all(wiring.about(n) for n in ("optimized", "embeddings", "operations")),
        engine=active_engine(wiring.session.client("dynamodb"), project),
    )


def _is_recoverable(wiring: Wiring) -> bool:
    client = wiring.session.client("dynamodb")
    try:
        found = client.describe_continuous_backups(TableName=wiring.names["legacy"])
    except IalError:  # an endpoint that knows nothing of them, or a role that may not ask
        return False
    held = (found.get("ContinuousBackupsDescription") or {}).get("PointInTimeRecoveryDescription")
    return (held or {}).get("PointInTimeRecoveryStatus") == "ENABLED"


def _left(wiring: Wiring, project: str) -> Iterator[LeftTable]:
    client = wiring.session.client("dynamodb")
    for schema in (*legacy_schemas(project)[1:], legacy_cache_schema(project)):
        try:
            about: Mapping[str, Any] = client.describe_table(TableName=schema.name)["Table"]
            items = int(about.get("ItemCount") or 0)
        except NotFoundError:
            items = None
        yield LeftTable(schema.name, items, _LEFT[schema.name.removeprefix(f"{project}-")])


def _cost(wiring: Wiring, counts: Counts, factor: float) -> Cost:
    each = counts.messages / counts.priced if counts.priced else 0.0
    heads, index = counts.head_bytes * each, counts.index_bytes * each
    copied = counts.bytes / READ_UNIT_BYTES
    reads = factor * (copied + (counts.bytes + heads + index) / READ_UNIT_BYTES)
    writes = factor * (
        (counts.head_units + counts.index_units) * each + SEAL_UNITS * counts.messages
    )
    read_rate = wiring.options.max_rcu or NEW_TABLE_RCU
    write_rate = wiring.options.max_wcu or NEW_TABLE_WCU
    prices = US_EAST_1
    return Cost(
        read_units=reads,
        write_units=writes,
        dollars=prices.reads(reads) + prices.writes(writes),
        stored_dollars_month=prices.stored(int(factor * (heads + index))),
        seconds=max(reads / read_rate, writes / write_rate),
        read_rate=read_rate,
        write_rate=write_rate,
    )
