"""Holds the data of a project's memory against its invariants, while writers go on.

    with Validator(session, "ial") as validator:
        found = validator.run()
        if found.repairable:
            with open_parts(settings, session) as parts:
                validator.repair(parts)

Both tables are read once, by parallel scans; what seems wrong is looked at again by strong reads,
and counts only then. Memory does not grow with the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from core.aws.boto_table import open_table
from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK, Clock
from core.memory.chunks import user_chunk
from core.memory.generations import table_of
from core.memory.parts import Parts
from core.memory.schema import embeddings_schema, history_schema
from core.transfer.budget import Budget
from core.transfer.patience import Stop
from core.validation.collecting import EMBEDDINGS, Collector
from core.validation.confirming import SETTLE_S, Confirmer, batched
from core.validation.kinds import KINDS
from core.validation.ledger import Ledger, Mark
from core.validation.looking import Looker
from core.validation.repairing import Repairer
from core.validation.results import (
    EXAMPLES,
    Finding,
    Observer,
    Progress,
    Repaired,
    Validation,
    checks_of,
    no_observer,
)
from core.validation.sources import OfUser, Scan, Source


class Validator:
    """Validates one project's memory, once. For one thread; close it, or use `with`."""

    def __init__(
        self,
        session: AwsSession,
        project: str,
        clock: Clock = SYSTEM_CLOCK,
        *,
        user: str | None = None,
        max_rcu: float | None = None,
        observe: Observer = no_observer,
        stop: Stop = lambda: False,
        settle_s: float = SETTLE_S,
        generation: str = "",
    ) -> None:
        """Sends nothing yet.

        Args:
            session: where the tables are.
            project: whose tables.
            clock: the time, which tells what has expired.
            user: only what stands of this user, read by keys in place of the whole tables.
            max_rcu: read units a second at most.
            observe: told where it stands, from several threads.
            stop: asked between pages whether to stop.
            settle_s: seconds between two looks at what seems wrong.
            generation: which of the index; the items of others are left alone.

        Raises:
            UsageError: a user id that no message can have.
        """
        self._budget = Budget(max_rcu, clock)
        self._clock, self._observe, self._stop = clock, observe, stop
        self._settle_s, self._user = settle_s, user
        self._history = open_table(session, history_schema(project), clock)
        embeddings = open_table(session, embeddings_schema(project), clock)
        self._embeddings = table_of(embeddings, generation)
        self._source: Source = (
            Scan(session, self._budget, clock, generation)
            if user is None
            else OfUser(user, self._budget)
        )
        self._looker = Looker(self._history, self._embeddings, self._budget)
        self._ledger = Ledger()
        self._read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forgets what was read."""
        self._ledger.__exit__()

    def run(self) -> Validation:
        """Reads, compares, looks again. Call it once; it changes nothing.

        Raises:
            NotFoundError: the tables are not deployed.
            ThrottledError: they throttled for ten minutes.
            InterruptedRunError: somebody asked to stop.
            StorageError: there is no room for temporary files.
        """
        begun_s = self._clock.monotonic()
        collector = Collector(self._ledger, self._source, self._budget, self._observe, self._stop)
        collector.collect(self._history, self._embeddings, self._clock.time())
        self._read = collector.counts["items"]
        now_s = int(self._clock.time())
        self._ledger.order(now_s)
        confirmer = Confirmer(self._ledger, self._looker, self._clock, self._stop)
        confirmer.confirm(
            settle_s=self._settle_s, all_heads=self._user is None, told=self._tell_again
        )
        self._note_bare(now_s)
        findings = tuple(self._findings())
        seen = collector.seen
        return Validation(
            items=self._read,
            messages=seen["messages"],
            vectors=seen["vectors"],
            entries=seen["entries"],
            users=self._ledger.users(),
            checks=checks_of(seen, findings),
            findings=findings,
            read_units=self._budget.spent,
            again_units=self._looker.units,
            seconds=self._clock.monotonic() - begun_s,
        )

    def repair(self, parts: Parts) -> Repaired:
        """Puts right what `run` found and what can be put right without guessing.

        Each item is looked at again before it is changed, and changed only if it still is what
        it was. Killed at any point, it is finished by the next run.

        Raises:
            InterruptedRunError: somebody asked to stop.
        """
        repairer = Repairer(
            self._ledger,
            self._looker,
            parts,
            self._clock,
            self._stop,
            all_heads=self._user is None,
            told=lambda done: self._tell("repairing", done),
        )
        return repairer.repair()

    def _note_bare(self, now_s: int) -> None:
        for some in batched(self._ledger.bare(now_s), 500):
            marks = [
                Mark("without_vector", EMBEDDINGS, user_chunk(user, place), place)
                for user, place in some
            ]
            self._ledger.add("found", marks)

    def _findings(self) -> Iterator[Finding]:
        for kind in KINDS:
            count = self._ledger.count(kind)
            if count:
                marks = self._ledger.examples(kind, EXAMPLES)
                yield Finding(kind, count, tuple(f"{m.partition} / {m.sort}" for m in marks))

    def _tell_again(self) -> None:
        self._tell("looking again", self._read)

    def _tell(self, stage: str, items: int) -> None:
        self._observe(Progress(stage, "", items, self._budget.spent))
