"""Restores a backup into tables: everything is checked before the first write, and after the last.

A restore may be killed at any point and run again: tables that it began are known by their marks,
data files that are done are not written twice, and an item that is written twice is the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.aws.session import AwsSession
from core.backup.importing import check_importable
from core.backup.lock import Reading
from core.backup.opening import Backup
from core.backup.progress import Observer, Progress, no_observer
from core.backup.restore_marks import Marks
from core.backup.restore_plans import RestorePlan, RestorePlanner, RestoreWish, TablePlan
from core.backup.table_restore import Folders, RestoredTable, TableRestore, Tools
from core.backup.verifying import Checker
from core.clock import Clock, Ids
from core.errors import DamagedError, InterruptedRunError, UsageError
from core.transfer.patience import Stop

__all__ = ["Folders", "Restored", "RestoredTable", "Restorer"]


@dataclass(frozen=True)
class Restored:
    """A restore that is done; every table is as the backup has it."""

    backup: str
    tables: tuple[RestoredTable, ...]


class Restorer:
    """Restores one backup. For one thread, with threads of its own."""

    def __init__(
        self,
        session: AwsSession,
        backup: Backup,
        folders: Folders,
        clock: Clock,
        ids: Ids,
        *,
        observe: Observer = no_observer,
        stop: Stop = lambda: False,
    ) -> None:
        self._backup, self._observe = backup, observe
        marks = Marks(session, folders.notes)
        self._tools = Tools(session, backup.place, marks, folders, clock, ids, stop)

    def plan(self, wish: RestoreWish) -> RestorePlan:
        """What a restore would do; changes nothing.

        Raises:
            UsageError: a table is not in the backup, its target is in use, or it can't be imported.
            NotConfirmedError: a table that holds items would be written over.
            DamagedError: a table's settings are damaged.
        """
        tools = self._tools
        made = RestorePlanner(tools.session, self._backup, tools.marks).plan(wish)
        for table in made.tables:
            if table.method != "import":
                continue
            if not wish.selection.everything:
                raise UsageError(
                    "An import takes all of a backup, not a selection.",
                    "Leave `--method import` out.",
                )
            state, note = table.state, tools.marks.note(table.target, table.mark)
            if state == "begun" and note.import_token is None:
                state = "in use"  # by a restore that writes
            check_importable(tools.session, tools.place, table.source, table.settings, state)
        return made

    def run(self, wish: RestoreWish) -> Restored:
        """Restores, or goes on with the same restore that was killed.

        Raises:
            DamagedError: the backup is damaged; nothing was written.
            DifferenceError: a table is not as the backup has it afterwards, or not any more.
            UsageError, NotConfirmedError: as `plan`; nothing was written.
            InterruptedRunError: somebody asked to stop; the same call goes on from there.
        """
        plan = self.plan(wish)
        tools = self._tools
        with Reading(tools.place, self._sets(), "A restore", tools.clock, tools.ids) as reading:

            def observe(progress: Progress) -> None:
                reading.keep()
                self._observe(progress)

            try:
                for table in plan.tables:
                    self._check(table, observe)
                done = [
                    TableRestore(tools, wish, t, observe, reading.keep).run() for t in plan.tables
                ]
            except InterruptedRunError as error:
                raise InterruptedRunError(
                    "Interrupted; what is restored so far stays.",
                    "The same command goes on from there.",
                ) from error
            return Restored(plan.backup, tuple(done))

    def _sets(self) -> tuple[str, ...]:
        """Every set that is read: the backup's own, and those that it builds on."""
        if self._backup.manifest is None:
            return ()
        folders = (layer.export.folder for t in self._backup.tables for layer in t.layers)
        names = (folder.split("/")[0] for folder in folders)
        return tuple(dict.fromkeys((self._backup.manifest.id, *names)))

    def _check(self, plan: TablePlan, observe: Observer) -> None:
        tools = self._tools
        checker = Checker(tools.place, tools.folders.temporary, observe, tools.stop)
        problem = next(checker.problems(replace(plan.source, keys=plan.keys)), None)
        if problem:
            raise DamagedError(
                f"The backup '{self._backup.name}' is damaged; nothing was restored. {problem}",
                "`ialctl backup verify` tells all that is wrong; take another backup.",
            )
