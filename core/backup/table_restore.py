"""One table's restore: made or marked, written, compared, given its settings, marked as done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from core.aws.codec import WireItem
from core.aws.session import AwsSession
from core.backup.comparing import Comparer, Comparison, Target, add_digest
from core.backup.final_items import CHANGED, FinalItems
from core.backup.importing import Importer
from core.backup.place import Place
from core.backup.progress import Observer, Progress
from core.backup.restore_marks import RESTORING, Marks, Note, restoring_tag
from core.backup.restore_plans import RestoreWish, TablePlan
from core.backup.selection import Selector, selector
from core.backup.table_settings import (
    TableSettings,
    create_table,
    put_back,
    read_settings,
    wait_until_ready,
)
from core.clock import Clock, Ids
from core.errors import AlreadyExistsError, DifferenceError, InterruptedRunError, UsageError
from core.transfer.budget import Budget
from core.transfer.digests import Digests
from core.transfer.patience import Stop
from core.transfer.writing import Amount, Writer

_KEEP_EVERY_S = 1.0


@dataclass(frozen=True)
class Folders:
    """Where notes of restores lie, and what does not fit into memory."""

    notes: Path
    temporary: Path


@dataclass(frozen=True)
class Tools:
    """What every table's restore works with."""

    session: AwsSession
    place: Place
    marks: Marks
    folders: Folders
    clock: Clock
    ids: Ids
    stop: Stop


@dataclass(frozen=True)
class RestoredTable:
    """A table that was restored, or found to be: what was written, and what it holds now.

    `unchanged`: it had been restored before, and is equal still. `comparison` is None where
    nothing of the table was selected. `notes` say what a person should know besides.
    """

    table: str
    target: str
    written: Amount
    comparison: Comparison | None
    throttles: int = 0
    unchanged: bool = False
    notes: tuple[str, ...] = ()


class TableRestore:
    """The restore of one table. For one run."""

    def __init__(
        self,
        tools: Tools,
        wish: RestoreWish,
        plan: TablePlan,
        observe: Observer,
        keep: Callable[[], None],
    ) -> None:
        """`keep` makes the note last that the backup is being read."""
        self._tools, self._wish, self._plan, self._observe = tools, wish, plan, observe
        self._keep = keep
        self._budget = Budget(wish.max_wcu, tools.clock)
        self._lock = threading.Lock()
        self._written = Amount()

    def run(self) -> RestoredTable:
        """Restores the table, or goes on with it, or finds it restored.

        Raises:
            DifferenceError: it is not as the backup has it.
            UsageError: somebody else made the table, or wrote to it, since it was planned.
            InterruptedRunError: somebody asked to stop.
        """
        plan = self._plan
        chosen, _ = selector(self._wish.selection, plan.table, plan.keys)
        if chosen is None:
            return RestoredTable(plan.table, plan.target, Amount(), None, notes=plan.notes)
        with self._items() as final:
            selected = _Selected(final, chosen)
            if not self._wish.selection.everything:
                selected.look()
            found = self._found(selected) if plan.state == "restored" else None
            if found is not None:
                return found
            note = self._begun()
            comparison = self._filled(selected, note)
        notes = self._settled(note)
        self._tools.marks.end(plan.target, note)
        held, total = comparison.found, self._written
        self._observe(Progress(plan.target, "done", held, total.bytes, total.units, held))
        if comparison.extra:
            notes = (*notes, self._staying(comparison.extra))
        return RestoredTable(
            plan.table,
            plan.target,
            total,
            comparison,
            self._budget.throttles,
            notes=(*plan.notes, *notes),
        )

    def _items(self) -> FinalItems:
        def each_file() -> None:
            # Some reading tells nobody of its progress: looking for parts, folding increments.
            self._keep()
            if self._tools.stop():
                raise InterruptedRunError("Interrupted.")

        return FinalItems(self._tools.place, self._plan.source, self._plan.keys, each_file)

    def _staying(self, count: int) -> str:
        items = "1 item stays" if count == 1 else f"{count:,} items stay"
        if self._wish.selection.everything:
            return f"{items} that the backup does not hold."
        return f"{items} that {'was' if count == 1 else 'were'} not to be restored."

    def _found(self, selected: _Selected) -> RestoredTable | None:
        """The table of an earlier restore, if it still is as the backup has it.

        None where it is not, and may be written over once more.
        """
        plan = self._plan
        comparison = self._compared(selected)
        if self._fits(comparison):
            return RestoredTable(
                plan.table, plan.target, Amount(), comparison, unchanged=True, notes=plan.notes
            )
        if self._wish.in_place and plan.table in self._wish.confirm:
            return None
        cure = "Restore under another name: `--suffix -again`."
        if self._wish.in_place:
            cure = f"To put the backup's items over it once more: `--confirm {plan.target}`."
        raise _differs(
            f"The table '{plan.target}' was restored from this backup, and has changed since: "
            f"{comparison}.",
            cure,
            comparison,
        )

    def _begun(self) -> Note:
        """Makes the table, or marks the one that stands, as being restored."""
        plan, tools = self._plan, self._tools
        note = tools.marks.note(plan.target, plan.mark)
        if note.done or plan.state != "begun":
            note = Note(plan.mark, made=note.made)
        if plan.method == "import":
            return self._imported(note)
        if plan.state == "new" and plan.settings is not None:
            note = Note(plan.mark, made=True)
            tags = {RESTORING: restoring_tag(note)}
            # Another run of the same restore may have been quicker.
            with suppress(AlreadyExistsError):
                create_table(tools.session, plan.settings, plan.target, tags, tools.clock)
        wait_until_ready(tools.session, plan.target, tools.clock)
        self._check_unused()
        return note if note.begun else tools.marks.begin(plan.target, note)

    def _check_unused(self) -> None:
        """Refuses a table that somebody made or filled since the plan was: reading takes long."""
        plan, wish = self._plan, self._wish
        if wish.in_place and plan.table in wish.confirm:
            return
        if self._tools.marks.state(plan.target, plan.mark) == "in use":
            raise UsageError(
                f"The table '{plan.target}' has been made or written to by somebody else since "
                "the restore began; it is left as it is.",
                "Run the same command again: it says what can be done.",
            )

    def _imported(self, note: Note) -> Note:
        plan, tools = self._plan, self._tools
        importer = Importer(tools.session, tools.place, tools.clock, self._observe, tools.stop)
        if plan.state == "new":
            note = Note(plan.mark, begun=True, made=True, import_token=tools.ids())
            tools.marks.keep(plan.target, note)
        if plan.settings is not None and note.import_token is not None:
            arn = importer.begin(plan.source, plan.settings, plan.target, note.import_token)
            note = tools.marks.seen(plan.target, note)
            done = importer.wait(arn, plan.source, plan.target)
            self._written = Amount(done.imported, done.bytes)
        wait_until_ready(tools.session, plan.target, tools.clock)
        return tools.marks.begin(plan.target, note)

    def _filled(self, selected: _Selected, note: Note) -> Comparison:
        """Writes what is not written yet; the table is as the backup has it when this returns."""
        known = note.files
        writes = self._plan.method != "import"
        with Digests(self._tools.folders.temporary) as written:
            if writes:
                note = self._write(selected, note, written)
            # Where all was written now, the backup need not be read again.
            whole = writes and not known
            comparison = self._compared(selected, written if whole else None)
        if not self._fits(comparison) and (whole or known):
            # Items may have expired since; or what the note says was written is not there.
            if known:
                note = self._write(selected, replace(note, files=frozenset()))
            comparison = self._compared(selected)
        if not self._fits(comparison):
            self._tools.marks.keep(self._plan.target, replace(note, files=frozenset()))
            raise _differs(
                f"The restored table '{self._plan.target}' is not as the backup has it: "
                f"{comparison}.",
                "Does something else write to it? Restore again, under another name.",
                comparison,
            )
        return comparison

    def _write(self, selected: _Selected, note: Note, written: Digests | None = None) -> Note:
        """Writes what the note does not say is written; notes its digests, where asked to."""
        plan, tools = self._plan, self._tools
        target, now_s = self._target(), tools.clock.time()
        like = plan.settings or read_settings(tools.session, plan.target)
        kept_s = tools.clock.monotonic()
        with Writer(
            tools.session,
            like.schema(plan.target),
            self._budget,
            tools.clock,
            stop=tools.stop,
            observe=self._tell,
        ) as writer:
            for part in selected.final.parts():
                if part.name in note.files:
                    continue
                for item in part.items:
                    if selected.selector.wants(item) and target.counts(item):
                        writer.put(item)
                        if written is not None:
                            add_digest(written, item, target, now_s)
                writer.flush()
                if part.name != CHANGED:
                    note = replace(note, files=note.files | {part.name})
                if tools.clock.monotonic() - kept_s >= _KEEP_EVERY_S:
                    tools.marks.keep(plan.target, note)
                    kept_s = tools.clock.monotonic()
        tools.marks.keep(plan.target, note)
        return note

    def _tell(self, amount: Amount) -> None:
        plan = self._plan
        with self._lock:
            self._written += amount
            now = self._written
        whole = self._wish.selection.everything
        self._observe(
            Progress(
                plan.target,
                "writing",
                now.items,
                now.bytes,
                now.units,
                plan.items if whole else None,
                plan.item_bytes if whole else None,
            )
        )

    def _target(self) -> Target:
        # Only what its own time to live may have deleted is excused.
        ttl = read_settings(self._tools.session, self._plan.target).ttl
        return Target(self._plan.target, self._plan.keys, ttl, with_leases=not self._wish.in_place)

    def _compared(self, selected: _Selected, written: Digests | None = None) -> Comparison:
        tools = self._tools
        comparer = Comparer(
            tools.session,
            tools.folders.temporary,
            tools.clock,
            max_rcu=self._wish.max_rcu,
            observe=self._observe,
            stop=tools.stop,
        )
        return comparer.compare(self._target(), selected.items, written)

    def _fits(self, comparison: Comparison) -> bool:
        return comparison.holds_all if self._wish.in_place else comparison.equal

    def _settled(self, note: Note) -> tuple[str, ...]:
        """Puts the settings back on a table of our own; says what differs all the same."""
        plan, tools = self._plan, self._tools
        settings: TableSettings | None = plan.settings
        if settings is None:
            return ()
        notes: tuple[str, ...] = ()
        if note.made:
            notes = put_back(tools.session, settings, plan.target, tools.clock)
        standing = read_settings(tools.session, plan.target)
        differing = settings.differences(standing)
        return (*notes, *(f"The table '{plan.target}' differs: {text}." for text in differing))


@dataclass(frozen=True)
class _Selected:
    """The items of a table that are wanted."""

    final: FinalItems
    selector: Selector

    def look(self) -> None:
        """Shows the selector all items."""
        for item in self.final:
            self.selector.look(item)

    def items(self) -> Iterable[WireItem]:
        """The wanted items, anew."""
        return (item for item in self.final if self.selector.wants(item))


def _differs(what: str, cure: str, comparison: Comparison) -> DifferenceError:
    return DifferenceError(
        what,
        cure,
        table=comparison.table,
        missing=comparison.missing_keys,
        different=comparison.different_keys,
        extra=comparison.extra_keys,
    )
