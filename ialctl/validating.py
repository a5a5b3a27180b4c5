"""What `ialctl validate` is made of: structure and data looked at, repaired, and shown."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from core.errors import (
    AccessDeniedError,
    AwsError,
    DifferenceError,
    EndpointAnswerError,
    NotFoundError,
    UsageError,
)
from ialctl.context import AppContext
from ialctl.output import Column, plain, table
from ialctl.progress import LiveProgress
from ialctl.words import counted, duration_words

if TYPE_CHECKING:
    from rich.console import Group

    from core.deploy.tables import Difference
    from core.memory.parts import Parts
    from core.validation.results import Finding, Progress, Repaired, Validation
    from core.validation.validator import Validator

T = TypeVar("T")

_STRUCTURE = "tables are as the templates say"
_COLUMNS = (
    Column("INVARIANT", "invariant"),
    Column("CHECKED", "checked", right=True),
    Column("VIOLATED", "violated", right=True),
    Column("EXAMPLE", "example"),
)
_EXAMPLE_CHARS = 25
_START = "`ialctl start` deploys what is missing; what was changed by hand, change back."


@dataclass(frozen=True)
class Wish:
    """What was asked for."""

    user: str | None
    max_rcu: float | None
    repair: bool
    dry_run: bool


@dataclass(frozen=True)
class Outcome:
    """What was found. `structure` is None where it was not looked at; `repaired` where nothing
    was. After a repair the rest is what a second look found."""

    validation: Validation
    structure: tuple[Difference, ...] | None
    repaired: Repaired | None = None

    @property
    def clean(self) -> bool:
        """Whether nothing is violated."""
        return self.validation.clean and not self.structure


def run_validation(context: AppContext, wish: Wish) -> Outcome:
    """Looks at everything, and repairs if that was asked for.

    Raises:
        NotFoundError: there are no tables of the optimized memory.
        UsageError: options that make no sense.
        NotConfirmedError: the repair was not confirmed.
    """
    _check(wish)
    total = _items(context)
    structure = None if wish.user is not None else _structure(context)
    watch = Watch(context, None if wish.user is not None else total)
    with watch.validator(wish) as validator:
        found = watch.during(validator.run)
        outcome = Outcome(found, structure)
        if not (wish.repair and found.repairable):
            return outcome
        _show_plan(context, found)
        if wish.dry_run:
            return outcome
        context.output.confirm(f"Put these {counted(found.repairable, 'finding')} right?")
        with _opened_parts(context) as parts:
            repaired = watch.during(lambda: validator.repair(parts))
    with watch.validator(wish) as again:
        return Outcome(watch.during(again.run), structure, repaired)


def show(context: AppContext, wish: Wish, outcome: Outcome) -> None:
    """The one answer of the command."""
    structure = outcome.structure
    data = {
        "project": context.settings.project,
        "user": wish.user,
        "clean": outcome.clean,
        "dry_run": wish.dry_run,
        "structure": None if structure is None else [dataclasses.asdict(d) for d in structure],
        "data": _data(outcome.validation),
        "repaired": dataclasses.asdict(outcome.repaired) if outcome.repaired else None,
    }
    context.output.result("validate", data, lambda: _shown(outcome))


def check_differences(wish: Wish, outcome: Outcome) -> None:
    """Ends with exit code 3 where something is violated.

    Raises:
        DifferenceError: something is.
    """
    if outcome.clean:
        return
    found, structure = outcome.validation, outcome.structure or ()
    parts = [counted(found.violated, "violation")] if found.violated else []
    parts += [counted(len(structure), "difference") + " from the templates"] if structure else []
    raise DifferenceError(" and ".join(parts) + ".", _cure(wish, outcome))


def _cure(wish: Wish, outcome: Outcome) -> str:
    cures = []
    if outcome.validation.repairable and (outcome.repaired is None or wish.dry_run):
        cures.append("`ialctl validate --repair` puts right what it can; the rest is told above.")
    elif outcome.validation.violated:
        cures.append("What is left can't be put right without guessing; each says what to do.")
    if outcome.structure:
        cures.append(_START)
    return " ".join(cures)


def _check(wish: Wish) -> None:
    if wish.dry_run and not wish.repair:
        raise UsageError(
            "`--dry-run` says what a repair would do, and none was asked for.",
            "Leave it out (nothing is changed without `--repair`), or add `--repair`.",
        )
    if wish.max_rcu is not None and not 1 <= wish.max_rcu < float("inf"):
        raise UsageError(f"{wish.max_rcu:g} read units a second is no budget.", "Write 1 or more.")


class Watch:
    """Shows where a validator stands, and heeds Ctrl-C, while one of its calls runs."""

    def __init__(self, context: AppContext, total: int | None) -> None:
        self._context, self._total = context, total
        self._stop: Callable[[], bool] = lambda: False
        self._progress: ItemProgress | None = None

    def during(self, call: Callable[[], T]) -> T:
        """Makes a call, watched."""
        from ialctl.interrupts import stop_wish

        with stop_wish() as wish, ItemProgress(self._context, self._total) as progress:
            self._stop, self._progress = wish, progress
            return call()

    def stop(self) -> bool:
        """Whether somebody asked to stop."""
        return self._stop()

    def show(self, told: Progress) -> None:
        """Shows where things stand."""
        if self._progress is not None:
            self._progress.show(told)

    def validator(self, wish: Wish) -> Validator:
        """A validator of the context's project that is watched."""
        from core.validation.validator import Validator

        return Validator(
            self._context.session,
            self._context.settings.project,
            self._context.clock,
            user=wish.user,
            max_rcu=wish.max_rcu,
            observe=self.show,
            stop=self.stop,
            generation=self._context.settings.index_generation,
        )


class ItemProgress(LiveProgress):
    """Items of the tables that were read. Thread-safe."""

    def __init__(self, context: AppContext, total: int | None) -> None:
        super().__init__(context, "validating", total)
        self._lock = threading.Lock()
        self._read: dict[str, int] = {}

    def show(self, told: Progress) -> None:
        """Shows where things stand."""
        with self._lock:
            if told.stage == "reading":
                self._read[told.table] = max(told.items, self._read.get(told.table, 0))
            done = sum(self._read.values())
            if self._total is not None:
                # What a table says of its number of items is some hours old.
                self._total = max(self._total, done)
            self._show(done, f"{told.stage} · {told.read_units:,.0f} read units")

    def _counted(self) -> Any:
        from rich.progress import MofNCompleteColumn

        return MofNCompleteColumn()

    def _share(self, done: int, elapsed_s: float) -> str:
        rate = done / max(elapsed_s, 1e-3)
        if not self._total or not done:
            return f"{counted(done, 'item')}, {rate:,.0f}/s"
        left_s = max(0.0, (self._total - done) / rate)
        return f"{done:,} of {self._total:,} items, {rate:,.0f}/s, about {left_s:.0f} s left"


def _items(context: AppContext) -> int:
    """About how many items there are.

    Raises:
        NotFoundError: the tables of the optimized memory do not stand.
    """
    from core.memory.schema import embeddings_schema, history_schema, legacy_history_schema

    project = context.settings.project
    standing = [_item_count(context, s(project).name) for s in (history_schema, embeddings_schema)]
    if None not in standing:
        return sum(count or 0 for count in standing)
    if _item_count(context, legacy_history_schema(project).name) is not None:
        raise NotFoundError(
            f"Of '{project}' only legacy tables stand at {context.session.where}: there is no "
            "optimized memory to validate.",
            "Deploy it with `ialctl start`, and move the conversations over: `ialctl migrate`.",
        )
    raise NotFoundError(
        f"No conversation memory of '{project}' is deployed at {context.session.where}.",
        "Deploy it: `ialctl start`.",
    )


def _item_count(context: AppContext, name: str) -> int | None:
    try:
        found = context.session.client("dynamodb").describe_table(TableName=name)["Table"]
    except NotFoundError:
        return None
    return int(found.get("ItemCount") or 0)


def _structure(context: AppContext) -> tuple[Difference, ...] | None:
    """What differs from the templates; None at an endpoint that has no stacks."""
    from ialctl.deploying import deployment, read_all_phases

    try:
        return deployment(context, phases=read_all_phases(context)).drift()
    except (AwsError, AccessDeniedError, EndpointAnswerError) as error:
        context.output.warn(f"The structure was not looked at: {error.what}")
        return None


def _opened_parts(context: AppContext) -> Parts:
    from core.memory.parts import open_parts

    return open_parts(context.settings, context.session, context.clock)


def _show_plan(context: AppContext, found: Validation) -> None:
    from core.validation.kinds import REPAIR

    context.output.note("A repair does this:")
    for finding in found.violations:
        if finding.about.repaired:
            cure = finding.about.cure.removeprefix(f"{REPAIR} ")
            context.output.note(f"  {finding.count:,} {finding.kind.replace('_', ' ')}: {cure}")


def _data(found: Validation) -> dict[str, Any]:
    return {
        **{k: v for k, v in dataclasses.asdict(found).items() if k != "findings"},
        "clean": found.clean,
        "findings": [
            {
                **dataclasses.asdict(finding),
                "violation": finding.about.violation,
                "repaired": finding.about.repaired,
                "sentence": finding.about.sentence,
                "cure": finding.about.cure,
            }
            for finding in found.findings
        ],
    }


def _shown(outcome: Outcome) -> Group:
    from rich.console import Group

    lines = [*_structure_lines(outcome.structure or ())]
    for finding in outcome.validation.findings:
        lines += _finding_lines(finding)
    lines += _summary(outcome)
    return Group(table(_rows(outcome), _COLUMNS), plain("\n".join(lines)))


def _rows(outcome: Outcome) -> Iterator[dict[str, Any]]:
    if outcome.structure is not None:
        first = [d.resource or d.stack for d in outcome.structure]
        yield _row(_STRUCTURE, None, len(first), first)
    for check in outcome.validation.checks:
        yield _row(check.invariant, check.checked, check.violated, check.examples)


def _row(
    invariant: str, checked: int | None, violated: int, examples: Sequence[str]
) -> dict[str, Any]:
    example = _shortened(examples[0]) if examples else ""
    return {
        "invariant": invariant,
        "checked": checked,
        "violated": violated,
        "example": example,
    }


def _shortened(key: str) -> str:
    """A key that fits into a column; its end is what differs from other keys."""
    if len(key) <= _EXAMPLE_CHARS:
        return key
    return f"{key[:8]}…{key[-(_EXAMPLE_CHARS - 9) :]}"


def _structure_lines(structure: Sequence[Difference]) -> Iterator[str]:
    for d in structure:
        what = f"{d.stack} {d.resource} {d.aspect}".replace("  ", " ")
        yield f"{what}: should be {d.expected}, is {d.found}"
    if structure:
        yield f"  → {_START}"


def _finding_lines(finding: Finding) -> Iterator[str]:
    kind = finding.about
    head = "" if kind.violation else "note: "
    yield f"{head}{finding.count:,} {finding.kind.replace('_', ' ')}: {kind.sentence}"
    yield from (f"  {example}" for example in finding.examples)
    yield f"  → {kind.cure}"


def _summary(outcome: Outcome) -> Iterator[str]:
    found, repaired = outcome.validation, outcome.repaired
    if repaired is not None:
        done = ", ".join(f"{n:,} {k.replace('_', ' ')}" for k, n in repaired.done.items())
        yield f"Put right: {done or 'nothing'} ({repaired.write_units:,.0f} write units)."
        yield from (f"  {sentence}" for sentence in repaired.left)
    if outcome.clean:
        yield "Everything holds." if not found.notes else "Everything holds; see the notes."
    yield (
        f"{counted(found.messages, 'message')} of {counted(found.users, 'user')}, "
        f"{counted(found.items, 'item')}; {found.read_units:,.1f} read units, "
        f"{duration_words(found.seconds)}"
    )
