"""An import: drafts read, messages stored side by side, progress kept, bad records told."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.aws.capacity import NOTHING, Consumed
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import InterruptedRunError, RecordError, UsageError
from core.memory.importing.checkpoint import Checkpoint, Position
from core.memory.importing.drafts import Defaults, MessageMaker
from core.memory.importing.legacy import Destination
from core.memory.importing.records import Bad, Draft
from core.memory.model import Appended, Message

BATCH_RECORDS = 400
BATCH_CHARACTERS = 16 * 1024 * 1024
KEPT_FAILURES = 1000


@dataclass(frozen=True)
class ImportPlan:
    """What to do with a file's records."""

    defaults: Defaults
    stop_on_error: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class ImportResult:
    """What an import did, or has done so far.

    `already` messages were in the table before, `resumed` of them known from an earlier run's
    checkpoint. `undated` are those stored that came without a time. `failures` holds the first
    of the `failed` records that could not be used. `indexing` is what the index cost, besides;
    `missing` says in sentences what of it could not be done.
    """

    records: int = 0
    imported: int = 0
    already: int = 0
    resumed: int = 0
    undated: int = 0
    failed: int = 0
    failures: tuple[Bad, ...] = ()
    consumed: Consumed = NOTHING
    indexing: Consumed = NOTHING
    missing: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass
class _Tally:
    records: int = 0
    imported: int = 0
    already: int = 0
    resumed: int = 0
    undated: int = 0
    failed: int = 0
    failures: list[Bad] = field(default_factory=list)
    consumed: Consumed = NOTHING
    indexing: Consumed = NOTHING
    missing: dict[str, None] = field(default_factory=dict)


_Step = tuple[int, Message | Bad]
"""A record's number in its file, and what came of it."""
_Outcome = Appended | Bad | None


class Indexing(Protocol):
    """What puts stored messages into the index; answers what that cost, and what is missing."""

    def index_stored(
        self, user_id: str, appended: Sequence[Appended]
    ) -> tuple[Consumed, tuple[str, ...]]:
        """Indexes messages that were just stored."""

    def make_up(self, user_id: str) -> tuple[Consumed, tuple[str, ...]]:
        """Indexes whatever of the user's messages is not."""


class Importer:
    """Imports one file. Every write is idempotent: a second run finds what the first one wrote.

    `on_failure` is told of each bad record, `on_progress` of the state after each batch;
    `stopped` is asked before each message whether to stop at this safe point.
    """

    def __init__(
        self,
        store: Destination | None,
        checkpoint: Checkpoint | None = None,
        indexing: Indexing | None = None,
        *,
        on_failure: Callable[[Bad], None] = lambda _: None,
        on_progress: Callable[[ImportResult], None] = lambda _: None,
        stopped: Callable[[], bool] = lambda: False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """An importer into `store`; None is enough for a dry run. `indexing` None: none is done."""
        self._store = store
        self._indexing = indexing
        self._checkpoint = checkpoint
        self._on_failure = on_failure
        self._on_progress = on_progress
        self._stopped = stopped
        self._clock = clock
        self._begin_s = clock.monotonic()
        self._tally = _Tally()

    def run(self, drafts: Iterable[Draft | Bad], plan: ImportPlan) -> ImportResult:
        """Stores every message that can be made of `drafts`.

        Raises:
            RecordError: a record can't be used and the plan says stop; or none could be used.
            InterruptedRunError: `stopped` said so; what was stored is acknowledged.
        """
        maker = MessageMaker(plan.defaults)
        steps = ((d.number, d if isinstance(d, Bad) else maker.make(d)) for d in drafts)
        known = 0 if plan.dry_run else self._known_records(plan.defaults)
        self._skip(itertools.islice(steps, known), plan)
        for batch in _batches(steps, plan):
            self._take(batch, plan)
            self._on_progress(self.so_far())
        if self._tally.records == self._tally.failed:
            raise self._nothing_usable()
        if self._tally.already or self._tally.missing:
            self._catch_up(plan)
        if self._checkpoint and not plan.dry_run:
            self._checkpoint.clear()
        return self.so_far()

    def so_far(self) -> ImportResult:
        """What has been done up to now."""
        tally = self._tally
        return ImportResult(
            tally.records,
            tally.imported,
            tally.already,
            tally.resumed,
            tally.undated,
            tally.failed,
            tuple(tally.failures),
            tally.consumed,
            tally.indexing,
            tuple(tally.missing),
            self._clock.monotonic() - self._begin_s,
        )

    def _known_records(self, defaults: Defaults) -> int:
        position = self._checkpoint.load() if self._checkpoint else None
        if position is None or self._store is None:
            return 0
        last = Message(
            defaults.user_id,
            position.session_id,
            position.message_id,
            position.timestamp_us,
            position.role,
            "",
        )
        # The table may have been emptied since: then the checkpoint stands for nothing.
        return position.records if self._store.contains(last) else 0

    def _skip(self, steps: Iterator[_Step], plan: ImportPlan) -> None:
        for _, made in steps:
            self._check_stopped()
            self._tally.records += 1
            if isinstance(made, Bad):
                self._refuse(made, plan)
            else:
                self._tally.resumed += 1
                self._tally.already += 1

    def _take(self, batch: list[_Step], plan: ImportPlan) -> None:
        last: Message | None = None
        fresh: list[Appended] = []
        try:
            for outcome in self._outcomes(batch, plan):
                if outcome is None:
                    self._check_stopped()
                    break
                self._count(outcome, plan)
                if isinstance(outcome, Appended) and outcome.new:
                    fresh.append(outcome)
                last = outcome.message if isinstance(outcome, Appended) else last
        finally:
            # Whatever ended the batch: the records before it are acknowledged, and indexed before
            # the checkpoint passes them.
            self._index(fresh, plan)
            self._save(last, plan)

    def _index(self, fresh: list[Appended], plan: ImportPlan) -> None:
        if self._indexing is None or plan.dry_run or not fresh:
            return
        self._indexed(*self._indexing.index_stored(plan.defaults.user_id, fresh))

    def _catch_up(self, plan: ImportPlan) -> None:
        """A run before may have been killed between a message and its place in the index."""
        if self._indexing is None or plan.dry_run:
            return
        self._tally.missing.clear()
        self._indexed(*self._indexing.make_up(plan.defaults.user_id))

    def _indexed(self, consumed: Consumed, missing: Iterable[str]) -> None:
        self._tally.indexing += consumed
        self._tally.missing.update(dict.fromkeys(missing))

    def _outcomes(self, batch: list[_Step], plan: ImportPlan) -> Iterator[_Outcome]:
        if plan.dry_run or self._store is None:
            return (m if isinstance(m, Bad) else Appended(m, True, NOTHING) for _, m in batch)
        return self._store.each(self._store_one, batch)

    def _store_one(self, step: _Step) -> _Outcome:
        number, made = step
        if isinstance(made, Bad):
            return made
        if self._store is None or self._stopped():
            return None
        try:
            return self._store.append(made)
        except UsageError as error:
            return Bad(number, error.what)

    def _count(self, outcome: Appended | Bad, plan: ImportPlan) -> None:
        if isinstance(outcome, Bad):
            self._refuse(outcome, plan)
            self._tally.records += 1
            return
        self._tally.records += 1
        self._tally.imported += outcome.new
        self._tally.undated += "undated" in outcome.message.metadata
        self._tally.already += not outcome.new
        self._tally.consumed = self._tally.consumed.beside(outcome.consumed)

    def _refuse(self, bad: Bad, plan: ImportPlan) -> None:
        if plan.stop_on_error:
            raise RecordError(
                f"Record {bad.number} can't be used: {bad.reason.rstrip('.')}.",
                "Correct it and run the same command again, or pass `--on-error skip`.",
                line=bad.number,
            )
        self._tally.failed += 1
        if len(self._tally.failures) < KEPT_FAILURES:
            self._tally.failures.append(bad)
        self._on_failure(bad)

    def _save(self, last: Message | None, plan: ImportPlan) -> None:
        if last is None or plan.dry_run or self._checkpoint is None:
            return
        self._checkpoint.save(
            Position(
                self._tally.records,
                last.message_id,
                last.timestamp_us,
                last.role,
                last.session_id,
            )
        )

    def _check_stopped(self) -> None:
        if self._stopped():
            tally = self._tally
            raise InterruptedRunError(
                f"Stopped after {tally.records} records: {tally.imported} imported, "
                f"{tally.already} there already, {tally.failed} bad.",
                "Run the same command again: it goes on from there.",
            )

    def _nothing_usable(self) -> RecordError:
        if not self._tally.records:
            return RecordError("There is no message in this file.", "Is `--format` right?")
        first = self._tally.failures[0]
        return RecordError(
            f"None of {self._tally.failed} records can be used; record {first.number}: "
            f"{first.reason.rstrip('.')}.",
            "Is `--format` right? docs/memory.md shows what each format looks like.",
            line=first.number,
        )


def _batches(steps: Iterator[_Step], plan: ImportPlan) -> Iterator[list[_Step]]:
    batch: list[_Step] = []
    size = 0
    for step in steps:
        batch.append(step)
        size += len(step[1].content) if isinstance(step[1], Message) else 0
        # Where a bad record ends the run, nothing after it may be on its way already.
        ends = plan.stop_on_error and isinstance(step[1], Bad)
        if ends or len(batch) >= BATCH_RECORDS or size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
