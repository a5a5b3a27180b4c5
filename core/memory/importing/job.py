"""An import as the user asked for it, checked before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.errors import UsageError
from core.memory import keys
from core.memory.importing.checkpoint import Checkpoint
from core.memory.importing.drafts import Defaults
from core.memory.importing.importer import Importer, ImportPlan, Indexing
from core.memory.importing.legacy import Destination
from core.memory.importing.source import Source
from core.settings import Settings

NEVER = "never"
LAYOUTS = ("optimized", "legacy")
MAX_DAYS = 36_500
_DAY_S = 86_400


@dataclass(frozen=True)
class ImportJob:
    """Which file, read how, what to do with it, and the layout of the tables it goes to."""

    file: str
    file_format: str
    sample: str | None
    plan: ImportPlan
    layout: str = "optimized"

    def importer(
        self,
        store: Destination | None,
        checkpoint: Checkpoint | None,
        indexing: Indexing | None,
        **hooks: Any,
    ) -> Importer:
        """The importer that does the job."""
        return Importer(store, checkpoint, indexing, **hooks)

    def checkpoint(
        self, source: Source, file_format: str, settings: Settings, where: str
    ) -> Checkpoint | None:
        """Where this job's position is kept; a stream has none: it can't be read again."""
        if not source.resumable:
            return None
        defaults = self.plan.defaults
        apart = () if self.layout == "optimized" else (self.layout,)
        return Checkpoint(
            settings.project_state_dir / "imports",
            source.fingerprint,
            file_format,
            self.sample or "",
            where,
            settings.project,
            defaults.user_id,
            defaults.session_id or "",
            *apart,
        )

    @staticmethod
    def unit(file_format: str) -> str:
        """What the reader's numbers count."""
        return "line" if file_format == "jsonl" else "record"


def import_job(
    *,
    file: str,
    user_id: str,
    session_id: str | None,
    file_format: str,
    sample: str | None,
    on_error: str,
    expire_days: str | None,
    default_days: int,
    now_s: float,
    dry_run: bool,
    layout: str = "optimized",
) -> ImportJob:
    """Checks what the user asked for.

    Raises:
        UsageError: an option's value can't be used.
    """
    keys.check_user(user_id)
    if session_id is not None:
        keys.check_session(session_id)
    if on_error not in ("skip", "stop"):
        raise UsageError(f"--on-error can't be '{on_error}'.", "Choose skip or stop.")
    if layout not in LAYOUTS:
        raise UsageError(f"--layout can't be '{layout}'.", f"Choose {' or '.join(LAYOUTS)}.")
    days = _days(expire_days, default_days)
    expires_at = None if days is None else int(now_s) + days * _DAY_S
    plan = ImportPlan(Defaults(user_id, session_id, expires_at), on_error == "stop", dry_run)
    return ImportJob(file, file_format, sample, plan, layout)


def _days(given: str | None, default_days: int) -> int | None:
    if given is None:
        return min(default_days, MAX_DAYS)
    if given == NEVER:
        return None
    if given.isascii() and given.isdecimal() and 1 <= int(given[:9]) <= MAX_DAYS:
        return int(given)
    raise UsageError(
        f"--expire-days can't be '{given}'.", f"Give 1 to {MAX_DAYS} days, or {NEVER}."
    )
