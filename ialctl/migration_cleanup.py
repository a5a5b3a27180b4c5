"""`ialctl migrate cleanup`: the legacy history table goes, once nothing needs it any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import NotConfirmedError, UsageError
from ialctl.context import AppContext
from ialctl.migrating import current_state, may_change, migrating
from ialctl.migration_stack import give_up_stack
from ialctl.output import plain

if TYPE_CHECKING:
    from core.backup.catalog import BackupSet
    from core.migration.journal import State

_KEPT = (
    "The other legacy tables stay: user-sessions, context-windows, token-usage and\n"
    "conversation-cache. The memory does not read them; what else does, only you know."
)


class Cleanup:
    """Checks that the table may go, and deletes it."""

    def __init__(
        self, context: AppContext, confirm: str | None, place: str | None, sample: int
    ) -> None:
        """`confirm` overrules the checks of soak and backup; `place` is where the backup lies."""
        self._context, self._confirm = context, confirm
        self._place, self._sample = place, sample

    def go(self, *, execute: bool, dry_run: bool) -> None:
        """Deletes the legacy history table.

        Raises:
            NotConfirmedError: the soak is not over, or no backup holds the table.
            DifferenceError: both sides differ.
            UsageError: there was no cut-over.
        """
        overruled = self._overruled()
        state = current_state(self._context)
        if state is not None and state.status == "cleaned":
            gave_up = give_up_stack(self._context) if execute else ""
            outcome = "done" if gave_up else "nothing to do"
            self._result(outcome, gave_up or "Nothing to do: the legacy table is deleted already.")
            return
        if state is None or state.status != "cut_over":
            raise UsageError(
                "There was no cut-over; the legacy table is in use.",
                "See where it stands: `ialctl migrate status`.",
            )
        if not overruled:
            self._check(state)
        would = f"verify once more, and delete the table '{self._table}' for good."
        if not may_change(self._context, would, execute=execute, dry_run=dry_run):
            return
        self._delete(overrule=overruled)

    @property
    def _table(self) -> str:
        from core.memory.schema import legacy_history_schema

        return legacy_history_schema(self._context.settings.project).name

    def _overruled(self) -> bool:
        project = self._context.settings.project
        if self._confirm is None or self._confirm == project:
            return self._confirm is not None
        raise NotConfirmedError(
            f"'{self._confirm}' is not the project's name, '{project}'; nothing was deleted.",
            f"To overrule the soak and the backup: `--confirm {project}`.",
        )

    def _check(self, state: State) -> None:
        from core.migration.cleaning import check_soak
        from core.migration.migrator import SOAK_S
        from ialctl.migration_backup import fitting_backup

        check_soak(state, self._context.clock.time(), SOAK_S)
        found = fitting_backup(self._context, self._place, state.started_s)
        if found is None:
            raise NotConfirmedError(
                f"No whole backup holds '{self._table}' as it was when the migration began.",
                "Take one: `ialctl backup`; name its place: `--from PLACE`; or overrule it: "
                f"`--confirm {self._context.settings.project}`.",
            )
        self._check_backup(found)

    def _check_backup(self, found: BackupSet) -> None:
        from core.backup.opening import open_backup
        from core.backup.verifying import verify
        from core.clock import system_random
        from core.errors import DamagedError
        from ialctl.backing_up import KeyOptions, opening_sources, place_of, temporary_folder
        from ialctl.interrupts import stop_wish
        from ialctl.table_progress import TableProgress

        context = self._context
        sources = tuple(opening_sources(context, KeyOptions()))
        place = place_of(context, self._place)
        opened = open_backup(place, found.id, sources, lambda: context.session)
        with stop_wish() as stop, TableProgress(context) as progress:
            checked = verify(
                opened, temporary_folder(context), system_random(), observe=progress, stop=stop
            )
        if checked.problems:
            raise DamagedError(
                f"The backup {found.id} is damaged: {checked.problems[0]}",
                "Take another: `ialctl backup`; nothing was deleted.",
            )
        context.output.note(f"backup    {found.id}: verified")

    def _delete(self, *, overrule: bool) -> None:
        from ialctl.backing_up import temporary_folder

        folder = temporary_folder(self._context)
        with migrating(self._context) as migrator:
            outcome = migrator.clean_up(overrule=overrule, sample=self._sample, folder=folder)
        gave_up = give_up_stack(self._context)
        said = f"Deleted: the table '{self._table}', found equal once more.\n{_KEPT}"
        self._result(outcome, "\n".join(filter(None, (said, gave_up))))

    def _result(self, outcome: str, said: str) -> None:
        data = {"outcome": outcome, "table": self._table}
        self._context.output.result("migrate-cleanup", data, lambda: plain(said))
