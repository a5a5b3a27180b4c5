"""The checks that ask the target, wired; what several of them look at is read once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Generic, TypeVar

from core.aws.boto_table import open_table
from core.aws.capacity import TableSchema
from core.aws.session import AwsSession
from core.backup.catalog import list_sets
from core.backup.lock import LOCK, Holder
from core.backup.place import Place, open_place
from core.clock import Clock, Ids, Random
from core.deploy.phases import phases_folder, read_phases
from core.doctor import sampling, structure, upkeep, vectors, watching
from core.doctor.finding import Finding
from core.doctor.permissions import dry_calls, permission_finding
from core.doctor.running import Check
from core.doctor.sampling import Sample
from core.doctor.shell import aws_cli
from core.doctor.standing import Structure, describe, look
from core.doctor.templates import templates_finding
from core.errors import NotFoundError
from core.memory.active import active_engine, operations_table
from core.memory.generations import open_generations
from core.memory.schema import history_schema, legacy_history_schema
from core.migration.journal import Journal, State
from core.settings import Settings

_LOCK_BYTES = 64 * 1024
T = TypeVar("T")


class Shared(Generic[T]):
    """Something that several checks look at, got when the first one asks. Thread-safe."""

    def __init__(self, get: Callable[[], T]) -> None:
        self._get, self._lock = get, threading.Lock()
        self._held: list[T] = []

    def __call__(self) -> T:
        """It; raises what getting it raises, to each who asks."""
        with self._lock:
            if not self._held:
                self._held.append(self._get())
            return self._held[0]


class Target:
    """The checks of one project at one target. They only read, but for calls without effect."""

    def __init__(
        self, settings: Settings, session: AwsSession, clock: Clock, ids: Ids, rng: Random
    ) -> None:
        self._settings, self._session = settings, session
        self._clock, self._ids, self._rng = clock, ids, rng
        self._project = settings.project
        self._structure: Shared[Structure] = Shared(self._look)
        self._sample: Shared[Sample] = Shared(
            lambda: sampling.take_sample(session, settings.project, rng)
        )
        self._aws_itself = session.endpoint_url is None

    def checks(self) -> Sequence[Check]:
        """All of them, in the order in which they are shown."""
        return (
            Check(("permissions",), self._permissions),
            Check(structure.NAMES, self._structures),
            Check(("templates",), self._templates),
            Check(("engine",), self._engine),
            Check(("backup",), self._backup),
            Check(("locks",), self._locks),
            Check(("alarms",), self._alarms),
            Check(("throttling", "scans"), self._last_day),
            Check(("hot partitions",), self._partitions),
            Check(("embedder",), self._embedder),
            Check(("vectors",), self._vectors),
            Check(("agreement",), self._agreement),
        )

    def _look(self) -> Structure:
        phases = read_phases(phases_folder(self._settings))
        described = describe(self._session, self._project, phases)
        return look(self._session, described)

    def _permissions(self) -> Iterator[Finding]:
        calls = dry_calls(self._session, self._project, self._clock, self._ids)
        yield permission_finding(calls, self._project)

    def _structures(self) -> Iterator[Finding]:
        native = self._settings.vector_search == "native"
        aws = aws_cli(self._settings, self._session)
        return structure.structure_findings(self._structure(), aws, native=native)

    def _templates(self) -> Iterator[Finding]:
        yield templates_finding(self._session, self._structure().described)

    def _engine(self) -> Iterator[Finding]:
        engine = active_engine(self._session.client("dynamodb"), self._project)
        legacy = legacy_history_schema(self._project).name
        yield upkeep.engine_finding(engine, self._migration(), legacy=self._stands(legacy))

    def _migration(self) -> State | None:
        schema = TableSchema(operations_table(self._project), "pk", "sk")
        try:
            return Journal(open_table(self._session, schema, self._clock)).state()
        except NotFoundError:
            return None

    def _stands(self, table: str) -> bool:
        try:
            self._session.client("dynamodb").describe_table(TableName=table)
        except NotFoundError:
            return False
        return True

    def _place(self) -> Place:
        return open_place(self._settings.backup_to, self._session, self._project)

    def _backup(self) -> Iterator[Finding]:
        place, now_s = self._place(), self._clock.time()
        sets = list_sets(place, self._clock)
        items = self._structure().items
        yield upkeep.backup_finding(sets, self._project, place.url, items, now_s)

    def _locks(self) -> Iterator[Finding]:
        now_s = self._clock.time()
        held = [*upkeep.leases(self._session.client("dynamodb"), self._project, now_s)]
        try:
            holder = Holder.from_json(self._place().get(LOCK, _LOCK_BYTES))
        except NotFoundError:
            holder = None
        yield upkeep.locks_finding([*held, *upkeep.lock_of_backups(holder, now_s)])

    def _alarms(self) -> Iterator[Finding]:
        described = self._structure().described
        alarms = watching.look_at_alarms(self._session.client("cloudwatch"), described)
        local = self._settings.target == "local"
        yield watching.alarms_finding(alarms, self._project, local=local)

    def _last_day(self) -> Iterator[Finding]:
        if not self._aws_itself:
            yield from watching.of_aws_only("throttling", "scans")
            return
        tables = [seen.wanted.name for seen in self._structure().standing]
        cloudwatch = self._session.client("cloudwatch")
        days = watching.last_day(cloudwatch, tables, self._clock.time())
        yield watching.throttling_finding(days)
        yield watching.scans_finding(days)

    def _partitions(self) -> Iterator[Finding]:
        dynamodb = self._session.dynamodb()
        engine = active_engine(self._session.client("dynamodb"), self._project)
        if engine == "legacy":
            schema = legacy_history_schema(self._project)
            items = sampling.legacy_sample(self._session, self._project, self._rng)
            yield sampling.partitions_finding(dynamodb, schema, items, legacy=True)
            return
        schema = history_schema(self._project)
        yield sampling.partitions_finding(dynamodb, schema, self._sample().history)

    def _embedder(self) -> Iterator[Finding]:
        yield vectors.embedder_finding(self._settings, self._session, self._clock)

    def _vectors(self) -> Iterator[Finding]:
        generation = self._settings.index_generation
        noted = open_generations(self._session, self._project, self._clock).noted
        return vectors.stored_findings(
            partial(vectors.chosen_model, self._settings, self._session, self._clock),
            generation,
            lambda: self._sample().vectors(generation),
            noted,
        )

    def _agreement(self) -> Iterator[Finding]:
        generation = self._settings.index_generation
        yield sampling.agreement_finding(
            self._session, self._project, generation, self._sample(), self._clock
        )
