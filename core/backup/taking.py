"""Takes a backup: plan first, then the tables, then the one file that makes it a backup."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from core import __version__
from core.aws.session import AwsSession
from core.backup import manifest
from core.backup.lock import PlaceLock, is_removed
from core.backup.manifest import FileSum, SetManifest, StackVersion, TableBackup
from core.backup.opening import read_manifest
from core.backup.place import Place
from core.backup.planning import TablePlanner
from core.backup.plans import SetPlan, TablePlan, Wish, describe
from core.backup.progress import Observer, Progress, no_observer
from core.backup.reading import joined, open_export
from core.backup.sealing import KeySource, SetKeys, make_keys, unlock
from core.backup.table_export import TableExport
from core.backup.table_files import TableFiles
from core.backup.table_increment import read_increment
from core.backup.table_results import of_scan, summary_of
from core.backup.table_scan import SegmentNote, TableScan
from core.backup.table_settings import read_settings
from core.clock import Clock, Ids
from core.errors import (
    DamagedError,
    InterruptedRunError,
    LockHeldError,
    NotFoundError,
    UsageError,
)
from core.transfer.budget import Budget
from core.transfer.patience import Stop
from core.transfer.scanning import Scanner
from core.transfer.streams import Stream

RESUME_S = 20 * 3600
"""A killed run older than this is not gone on with: streams keep a day."""


@dataclass(frozen=True)
class About:
    """What of the deployment is kept besides its tables."""

    engine: str | None = None
    stacks: tuple[StackVersion, ...] = field(default=())


@dataclass(frozen=True)
class Taken:
    """A backup that was taken; `resumed` where it goes on with a killed run. `throttles` counts
    the requests that tables refused for being too many."""

    manifest: SetManifest
    resumed: bool
    throttles: int = 0


@dataclass(frozen=True)
class _Run:
    """One run: what it is to do, with which keys, and what is known of streams."""

    plan: SetPlan
    keys: SetKeys | None
    streams: dict[str, Stream]
    resumed: bool


@dataclass
class _Reading:
    """A table that is being read: its segments' notes, once it was scanned."""

    table: TablePlan
    files: TableFiles
    scan: TableScan
    stream: Stream | None
    notes: tuple[SegmentNote, ...] = ()


class Taker:
    """Takes backups of one project's tables to one place."""

    def __init__(
        self,
        session: AwsSession,
        place: Place,
        project: str,
        clock: Clock,
        ids: Ids,
        *,
        observe: Observer = no_observer,
        stop: Stop = lambda: False,
    ) -> None:
        self._session, self._place, self._project = session, place, project
        self._clock, self._ids = clock, ids
        self._observe, self._stop = observe, stop

    def take(self, wish: Wish, about: About, source: KeySource | None = None) -> Taken:
        """Takes a backup, or goes on with the one of the same wish that was killed.

        Args:
            wish: what to back up; its tables are named.
            about: what is kept besides.
            source: whose keys the data files are sealed for; None leaves them open.

        Raises:
            LockHeldError: another backup or prune of the place is going on.
            NotFoundError: a table, or the base of an increment, is not there.
            InterruptedRunError: somebody asked to stop; the same wish goes on from there.
            StorageError, TargetError, ThrottledError: likewise.
        """
        with PlaceLock(self._place, "A backup", self._clock, self._ids) as lock:

            def stop() -> bool:
                # Asked everywhere that time is spent, also where there is nothing to tell.
                lock.keep()
                return self._stop()

            run = self._begin(wish, source, stop)
            lock.note(run.plan.id)
            try:
                budget = Budget(wish.max_rcu, self._clock)
                tables = self._tables(run, budget, stop)
            except InterruptedRunError as error:
                raise InterruptedRunError(
                    f"Interrupted; what is done of the backup '{run.plan.id}' is kept.",
                    "The same command goes on from there.",
                ) from error
            lock.keep()
            return Taken(self._commit(run, about, tables), run.resumed, budget.throttles)

    def _begin(self, wish: Wish, source: KeySource | None, stop: Stop) -> _Run:
        base = read_manifest(self._place, wish.base) if wish.base else None
        planner = TablePlanner(
            self._session,
            self._place,
            wish,
            self._clock,
            self._ids,
            sealed=source is not None,
            stop=stop,
        )
        started = self._clock.time()
        plan = SetPlan(
            id=manifest.set_id(started, self._ids()),
            project=self._project,
            where=self._session.where,
            started_at=manifest.instant(started),
            compression=wish.compression,
            method=wish.method,
            keys=repr(source),
            tables=tuple(planner.plan(table, base) for table in wish.tables),
            base=wish.base,
        )
        found = None if wish.fresh else self._resumable(plan, source)
        if found is not None:
            return found
        keys = make_keys(source, self._session) if source else None
        if keys:
            self._place.put(joined(plan.id, manifest.KEYS_FILE), keys.wrapped)
        for table in plan.tables:
            settings = read_settings(self._session, table.table)
            name = f"{plan.id}/{table.table}/{manifest.TABLE_FILE}"
            self._place.put(name, manifest.dump(settings.to_json()))
        self._place.put(joined(plan.id, manifest.PLAN_FILE), manifest.dump(plan))
        return _Run(plan, keys, planner.streams, resumed=False)

    def _resumable(self, wished: SetPlan, source: KeySource | None) -> _Run | None:
        """The newest killed run of the same wish, where it can be gone on with."""
        for plan in self._unfinished():
            age_s = self._clock.time() - manifest.seconds_of(plan.started_at)
            if age_s > RESUME_S or not plan.same_wish(wished):
                continue
            if source is None:
                return _Run(plan, None, {}, resumed=True)
            path = joined(plan.id, manifest.KEYS_FILE)
            try:
                wrapped = self._place.get(path, manifest.MANIFEST_BYTES)
                keys = unlock(wrapped, [source], self._session)
            except (NotFoundError, UsageError, DamagedError):
                continue
            if keys.can_open:  # else what was sealed can't be read again: begin anew
                return _Run(plan, keys, {}, resumed=True)
        return None

    def _unfinished(self) -> Iterator[SetPlan]:
        names = [name for name in self._place.folders() if manifest.SET_ID.fullmatch(name)]
        for name in sorted(names, reverse=True):
            if self._exists(joined(name, manifest.SET_FILE)) or is_removed(self._place, name):
                continue
            path = joined(name, manifest.PLAN_FILE)
            try:
                plan = manifest.load(self._place.get(path, manifest.MANIFEST_BYTES), SetPlan, path)
                is_own = plan.id == name and manifest.seconds_of(plan.started_at) > 0
            except (NotFoundError, DamagedError, ValueError):
                continue  # killed before it had a plan; or damaged
            if is_own:
                yield plan

    def _exists(self, name: str) -> bool:
        try:
            self._place.get(name, manifest.MANIFEST_BYTES)
        except NotFoundError:
            return False
        return True

    def _tables(self, run: _Run, budget: Budget, stop: Stop) -> tuple[TableBackup, ...]:
        """Reads all tables; then brings those with a stream to one and the same instant."""
        made: dict[str, TableBackup] = {}
        readings: list[_Reading] = []
        for table in run.plan.tables:
            if table.method == "export":
                made[table.table] = self._exported(run, table, stop)
                continue
            reading = self._reading(run, table, budget, stop)
            if table.kind == "full":
                reading.notes = reading.scan.scan()
                self._check_same(table)
            readings.append(reading)
        streams = [reading.stream for reading in readings if reading.stream]
        until_s = streams[0].next_second() if streams else 0
        for reading in readings:
            made[reading.table.table] = self._finished(reading, until_s, stop)
        return tuple(made[table.table] for table in run.plan.tables)

    def _check_same(self, table: TablePlan) -> None:
        """A table of the same name would be scanned on as if it were the one that went."""
        if describe(self._session, table.table).id != table.table_id:
            raise NotFoundError(
                f"The table '{table.table}' was deleted and made anew during the backup.",
                "Take the backup again.",
                code="ResourceNotFoundException",
                table=table.table,
            )

    def _reading(self, run: _Run, table: TablePlan, budget: Budget, stop: Stop) -> _Reading:
        files = TableFiles(self._place, run.plan, table, run.keys)
        files.begin()
        stream = self._stream(run, table, stop)
        scanner = Scanner(
            self._session,
            table.table,
            budget,
            self._clock,
            # What was written just before the stream's position must be in the scan.
            consistent=stream is not None,
            stop=stop,
        )
        scan = TableScan(files, table, scanner, stream, self._clock, self._observe, stop)
        return _Reading(table, files, scan, stream)

    def _finished(self, reading: _Reading, until_s: int, stop: Stop) -> TableBackup:
        table, files, stream = reading.table, reading.files, reading.stream
        if table.kind == "incremental" and stream is not None and table.position is not None:
            self._observe(Progress(table.table, "replaying", 0, 0, 0.0))
            result = read_increment(files, stream, table.position, until_s, self._clock, stop)
        else:
            result = reading.scan.brought_to(until_s, reading.notes)
        made = of_scan(table, result)
        kept = (packed.file for packed in result.totals.files)
        files.finish(kept, partial(summary_of, table, made))
        units, items, size = made.read_units, made.items, made.item_bytes
        self._observe(Progress(table.table, "done", items, size, units, items, size))
        return made

    def _stream(self, run: _Run, table: TablePlan, stop: Stop) -> Stream | None:
        if table.position is None:
            return None
        known = run.streams.get(table.table)
        return known or Stream(self._session, table.position.arn, self._clock, stop)

    def _exported(self, run: _Run, table: TablePlan, stop: Stop) -> TableBackup:
        if self._place.bucket is None:
            raise UsageError("An export of AWS's needs a bucket.", "Name one: `--to s3://`.")
        bucket, root = self._place.bucket
        inside = joined(run.plan.id, table.table)
        prefix = joined(root, inside)
        export = TableExport(self._session, bucket, prefix, self._clock, self._observe, stop)
        folder = f"{manifest.EXPORTS}/{export.run(table, self._increment_end(run.plan))}"
        found = open_export(self._place, joined(inside, folder))
        summary = found.summary
        return TableBackup(
            table=table.table,
            table_id=table.table_id,
            keys=table.keys,
            folder=joined(table.table, folder),
            kind=table.kind,
            method="export",
            consistent=True,
            why_not="",
            started_at=summary.started_at,
            finished_at=summary.finished_at,
            at=summary.at,
            items=summary.items,
            item_bytes=summary.item_bytes,
            files=len(found.files),
            file_bytes=found.file_bytes,
            read_units=0.0,
        )

    def _increment_end(self, plan: SetPlan) -> float:
        # The same instant at a second try: its token stands for the same request.
        return manifest.seconds_of(plan.started_at)

    def _commit(self, run: _Run, about: About, tables: tuple[TableBackup, ...]) -> SetManifest:
        plan = run.plan
        for table in tables:
            export = open_export(self._place, joined(plan.id, table.folder))
            for file in export.files:
                export.entry(file)
        made = SetManifest(
            id=plan.id,
            project=plan.project,
            where=plan.where,
            tool=__version__,
            started_at=plan.started_at,
            finished_at=manifest.instant(self._clock.time()),
            compression=plan.compression,
            encrypted=run.keys is not None,
            tables=tables,
            files=self._sums(plan.id),
            base=plan.base,
            engine=about.engine,
            stacks=about.stacks,
        )
        name = joined(plan.id, manifest.SET_FILE)
        if not self._place.put_new(name, manifest.seal_manifest(made)):
            raise LockHeldError(
                f"Another run has finished the backup '{plan.id}' meanwhile.",
                "`ialctl backup verify` tells whether it is whole.",
            )
        for planned in plan.tables:
            TableFiles(self._place, plan, planned, None).drop_notes()
        return made

    def _sums(self, set_id: str) -> dict[str, FileSum]:
        """Size and checksum of every file of the set but data files, which manifests tell of."""
        return {
            entry.name[len(set_id) + 1 :]: manifest.file_sum(
                self._place.get(entry.name, manifest.MANIFEST_BYTES)
            )
            for entry in self._place.entries(set_id)
            if not _is_data(entry.name[len(set_id) + 1 :])
        }


def _is_data(name: str) -> bool:
    """Whether a file of a set is a data file, or a note; a table may be called `data`, too."""
    _, *inside = name.split("/")
    return inside[:1] == [manifest.NOTES] or (
        inside[:1] == [manifest.EXPORTS] and inside[-2:-1] == [manifest.DATA]
    )
