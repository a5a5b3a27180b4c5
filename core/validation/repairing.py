"""Puts right what a validation found: messages first, then parts, then users' indexes.

What is derived follows what it is derived from; so whoever is killed is finished by the next run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby

from core.clock import Clock
from core.errors import InterruptedRunError
from core.memory.items import part_prefix
from core.memory.keys import decoded
from core.memory.orphans import YOUNG_S
from core.memory.parts import Parts
from core.transfer.patience import Stop
from core.validation.confirming import kind_of_parts
from core.validation.kinds import EXPIRY, INDEX, KINDS, VECTORS
from core.validation.ledger import Ledger, Mark
from core.validation.looking import Looker
from core.validation.mending import Mender
from core.validation.moving import Mover
from core.validation.reading import hash63, key_user
from core.validation.results import Repaired

_OF_INDEX = (
    "misplaced_vector",
    "foreign_vector",
    *(
        kind.name
        for kind in KINDS.values()
        if kind.invariant in (VECTORS, INDEX, EXPIRY) and kind.repaired
    ),
)


class Repairer:
    """Repairs what a ledger holds as found. For one run."""

    def __init__(
        self,
        ledger: Ledger,
        looker: Looker,
        parts: Parts,
        clock: Clock,
        stop: Stop,
        *,
        all_heads: bool,
        told: Callable[[int], None],
    ) -> None:
        """`told` is called with how many findings were gone through."""
        self._ledger, self._looker, self._clock = ledger, looker, clock
        self._stop, self._told, self._all_heads = stop, told, all_heads
        self._mover = Mover(looker.history, looker, clock)
        self._mender = Mender(looker.embeddings, looker, parts, clock)
        self._units = looker.units
        self._done: Counter[str] = Counter()
        self._left: dict[str, None] = {}

    def repair(self) -> Repaired:
        """Goes through all findings.

        Raises:
            InterruptedRunError: somebody asked to stop.
        """
        consumed = self._parts()
        for mark in self._each("wrong_summary"):
            self._count(mark, done=self._mover.rewrite(mark))
        for mark in self._each("misplaced_message"):
            self._move(mark)
        for user, marks in groupby(self._each(*_OF_INDEX), key=lambda m: user_of(m.partition)):
            held = list(marks)
            self._mender.mend(user, held)
            for mark in held:
                self._count(mark, done=True)
        spent = consumed + self._mover.consumed.write_units + self._mender.consumed.write_units
        return Repaired(
            dict(self._done),
            (*self._left, *self._mender.left),
            self._looker.units - self._units + self._mender.consumed.read_units,
            spent,
        )

    def _move(self, mark: Mark) -> None:
        moved = self._mover.move(mark)
        if moved is None:
            return
        if moved.after is None:
            what = f"The message at {mark.partition} / {mark.sort} was left: {moved.why_not}."
            self._left[what] = None
            return
        self._mender.mend(moved.user, (), {moved.before, moved.after})
        self._count(mark, done=True)

    def _parts(self) -> float:
        """Deletes parts that nobody needs, then the notes of them; answers the write units."""
        units = 0.0
        history = self._looker.history
        for mark in self._each("orphaned_parts"):
            user, _, rest = mark.partition.partition("#parts#")
            names = (decoded(user), decoded(rest), mark.sort.rstrip("#"))
            if not self._are_orphaned(names):
                continue
            prefix = part_prefix({"content_hash": names[2]})
            parts = self._looker.query(mark.partition, prefix)
            found = [{n: p[n] for n in ("user_date", "timestamp_type")} for p in parts]
            units += history.batch_write((), found).write_units
            old_s = self._clock.time() - YOUNG_S
            for note, item in self._looker.notes(*names):
                if note.noted_at <= old_s:
                    key = {n: item[n] for n in ("user_date", "timestamp_type")}
                    units += history.delete(key).consumed.write_units
            self._count(mark, done=True)
        return units

    def _are_orphaned(self, names: tuple[str, str, str]) -> bool:
        places = self._ledger.places_of(names[0], hash63(names[1]))
        now_s = self._clock.time()
        kind = kind_of_parts(self._looker, names, places, now_s, all_heads=self._all_heads)
        return kind == "orphaned_parts"

    def _each(self, *kinds: str) -> Iterator[Mark]:
        for mark in self._ledger.found(*kinds):
            if self._stop():
                raise InterruptedRunError(
                    "Interrupted; what was put right so far stays so.", "Run it again."
                )
            yield mark

    def _count(self, mark: Mark, *, done: bool) -> None:
        if done:
            self._done[mark.kind] += 1
            self._told(sum(self._done.values()))


def user_of(partition: str) -> str:
    """Whose a partition is."""
    return key_user(partition.partition("#")[0]) or ""
