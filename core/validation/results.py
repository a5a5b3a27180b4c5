"""What a validation found, and what a repair did, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.validation.kinds import INVARIANTS, KINDS, Kind

EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """How often an invariant is broken in one way.

    `examples` are keys, at most EXAMPLES of them: `partition / sort key`.
    """

    kind: str
    count: int
    examples: tuple[str, ...]

    @property
    def about(self) -> Kind:
        """The kind's sentence and cure."""
        return KINDS[self.kind]


@dataclass(frozen=True)
class Checked:
    """An invariant: how many items were held against it, and how often it is broken."""

    invariant: str
    checked: int
    violated: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Validation:
    """The data of a project's memory against its invariants.

    `items` were read, at a cost of `read_units`, of which `again_units` were for looking again
    at what seemed wrong; `messages` of them are messages. `users` is how many have anything.
    """

    items: int
    messages: int
    vectors: int
    entries: int
    users: int
    checks: tuple[Checked, ...]
    findings: tuple[Finding, ...]
    read_units: float
    again_units: float
    seconds: float

    @property
    def violations(self) -> tuple[Finding, ...]:
        """What breaks an invariant."""
        return tuple(f for f in self.findings if f.about.violation)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """What is worth a word and harms nothing."""
        return tuple(f for f in self.findings if not f.about.violation)

    @property
    def violated(self) -> int:
        """How many violations there are, of all kinds."""
        return sum(f.count for f in self.violations)

    @property
    def repairable(self) -> int:
        """How many of them a repair puts right."""
        return sum(f.count for f in self.violations if f.about.repaired)

    @property
    def clean(self) -> bool:
        """Whether every invariant holds."""
        return not self.violations


@dataclass(frozen=True)
class Repaired:
    """What a repair did: how many findings of each kind were put right, and what they cost.

    `left` says in sentences what could not be.
    """

    done: Mapping[str, int]
    left: tuple[str, ...]
    read_units: float
    write_units: float


@dataclass(frozen=True)
class Progress:
    """Where a run stands: `reading` a table, `looking again`, or `repairing`."""

    stage: str
    table: str
    items: int
    read_units: float


Observer = Callable[[Progress], None]


def no_observer(_: Progress) -> None:
    """Tells nobody."""


def checks_of(seen: Mapping[str, int], findings: tuple[Finding, ...]) -> tuple[Checked, ...]:
    """The invariants in their order; `seen` tells how many items each was held against."""
    made = []
    for invariant in INVARIANTS:
        mine = [f for f in findings if f.about.invariant == invariant and f.about.violation]
        examples = tuple(example for f in mine for example in f.examples)[:EXAMPLES]
        count = sum(f.count for f in mine)
        made.append(Checked(invariant, seen.get(invariant, 0), count, examples))
    return tuple(made)
