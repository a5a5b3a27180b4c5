"""Decides how each table is backed up."""

from __future__ import annotations

from dataclasses import replace

from core.aws.session import AwsSession
from core.backup.manifest import (
    KEYS_FILE,
    PLAN_FILE,
    REMOVED_FILE,
    SET_FILE,
    Kind,
    Method,
    SetManifest,
    TableBackup,
    export_id,
    seconds_of,
)
from core.backup.opening import read_manifest
from core.backup.place import Place
from core.backup.plans import (
    NO_STREAM,
    Described,
    TablePlan,
    Wish,
    describe,
)
from core.clock import Clock, Ids
from core.errors import AwsError, UsageError
from core.transfer.patience import Stop
from core.transfer.streams import KEPT_S, Stream

# AWS exports increments of a quarter of an hour to a day.
_SHORTEST_INCREMENT_S = 15 * 60
_LONGEST_INCREMENT_S = 24 * 3600
# Files that lie in a set's folder, where each table has a folder of its name.
RESERVED = frozenset({SET_FILE, PLAN_FILE, KEYS_FILE, REMOVED_FILE})


def plan_tables(
    session: AwsSession, place: Place, wish: Wish, clock: Clock, ids: Ids, *, sealed: bool
) -> tuple[TablePlan, ...]:
    """How the tables of a wish would be read; nothing is written."""
    planner = TablePlanner(session, place, wish, clock, ids, sealed=sealed, stop=lambda: False)
    base = read_manifest(place, wish.base) if wish.base else None
    return tuple(planner.plan(table, base) for table in wish.tables)


class TablePlanner:
    """Plans tables at one instant: streams are noted where they stand. For one thread."""

    def __init__(
        self,
        session: AwsSession,
        place: Place,
        wish: Wish,
        clock: Clock,
        ids: Ids,
        *,
        sealed: bool,
        stop: Stop,
    ) -> None:
        """`sealed`: what is written is to be encrypted here."""
        self._session, self._place, self._wish = session, place, wish
        self._clock, self._ids, self._sealed, self._stop = clock, ids, sealed, stop
        self.streams: dict[str, Stream] = {}

    def plan(self, table: str, base: SetManifest | None) -> TablePlan:
        """How a table is read; `base` is the set that this one builds on.

        Raises:
            NotFoundError: it does not stand.
            UsageError: an export is wished for that can't be made, or the table has the name of
                a file that a backup holds.
        """
        if table in RESERVED:
            raise UsageError(
                f"A table called '{table}' can't be backed up: a file of the backup has that name.",
                "Leave it out, and name the others: `--table NAME`.",
            )
        about = describe(self._session, table)
        before = next((t for t in base.tables if t.table == table), None) if base else None
        if before is not None and before.table_id == about.id:
            found = self._increment(about, before)
            if found is not None:
                return found
        if self._wish.method == "export" or (self._wish.method == "auto" and self._on_aws(about)):
            self._check_exportable(about)
            return self._made(about, "full", "export")
        return self._scanned(about)

    def _scanned(self, about: Described) -> TablePlan:
        if about.stream_arn is None:
            return self._made(about, "full", "scan", NO_STREAM)
        stream = self.streams[about.name] = Stream(
            self._session, about.stream_arn, self._clock, self._stop
        )
        plan = self._made(about, "full", "scan", "")
        return replace(plan, position=stream.position())

    def _increment(self, about: Described, before: TableBackup) -> TablePlan | None:
        position, now_s = before.position, self._clock.time()
        if position is not None and self._wish.method != "export":
            young = now_s - position.since_s < KEPT_S
            if about.stream_arn != position.arn or not young:
                return None
            plan = self._made(about, "incremental", "stream")
            return replace(plan, position=position, since=before.at)
        age_s = now_s - seconds_of(before.at)
        fits = _SHORTEST_INCREMENT_S < age_s < _LONGEST_INCREMENT_S
        exported = before.method == "export" and self._wish.method != "scan"
        if exported and fits and self._on_aws(about):
            return replace(self._made(about, "incremental", "export"), since=before.at)
        return None

    def _made(self, about: Described, kind: Kind, method: Method, why_not: str = "") -> TablePlan:
        return TablePlan(
            about.name,
            about.arn,
            about.id,
            about.keys.attributes,
            export_id(self._clock.time(), self._ids()),
            kind,
            method,
            about.segments,
            about.items,
            about.bytes,
            why_not,
        )

    def _on_aws(self, about: Described) -> bool:
        """Whether an export is there to be had, without being asked for by name."""
        usable = self._session.endpoint_url is None and self._place.bucket is not None
        plain = self._wish.compression == "gzip" and not self._sealed
        return usable and plain and self._recoverable(about)

    def _check_exportable(self, about: Described) -> None:
        if self._place.bucket is None:
            raise UsageError(
                "An export of AWS's is written to a bucket, and this place is a folder.",
                "Name a bucket: `--to s3://`; or scan: `--method scan`.",
            )
        if self._sealed or self._wish.compression != "gzip":
            raise UsageError(
                "AWS writes its exports itself: as gzip, and not encrypted by us.",
                "Leave the compression and the keys out, or scan: `--method scan`.",
            )
        if not self._recoverable(about):
            raise UsageError(
                f"The table '{about.name}' has no point-in-time recovery, which exports need.",
                "Turn it on (`ialctl start` does), or scan: `--method scan`.",
            )

    def _recoverable(self, about: Described) -> bool:
        try:
            answer = self._session.client("dynamodb").describe_continuous_backups(
                TableName=about.name
            )
        except AwsError:
            return False  # an endpoint without the operation has no recovery either
        found = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription") or {}
        return found.get("PointInTimeRecoveryStatus") == "ENABLED"
