"""Cut-over, rollback and retry, as the command line does them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from core.errors import DifferenceError
from ialctl.context import AppContext
from ialctl.migrating import Given, current_state, make_options, migrating, standing_migrator
from ialctl.output import plain

if TYPE_CHECKING:
    from core.migration.migrator import Outcome

SOAK_WORDS = (
    "Let it soak for 7 days, and keep what is written flowing back meanwhile:\n"
    "  ialctl migrate follow --execute     always, or at least every 20 hours\n"
    "  ialctl migrate verify               whenever you like\n"
    "  ialctl migrate rollback --execute   the way back; nothing written is lost\n"
    "  ialctl migrate cleanup --execute    after 7 days: deletes the legacy table"
)


def check_cut_over(context: AppContext) -> None:
    """Ends where a cut-over is still to come, and may not.

    Raises:
        DifferenceError: it was not verified.
    """
    state = current_state(context)
    if state is not None and state.status == "copied":
        standing_migrator(context).check_verified(state)


def cut_over(context: AppContext) -> Outcome:
    """Switches to the optimized engine."""
    with migrating(context) as migrator:
        outcome = migrator.cut_over()
    said = (
        "Nothing to do: the optimized engine is active already."
        if outcome == "nothing to do"
        else "Cut over: the optimized engine is active, and every engine has noticed."
    )
    _tell(context, "migrate-cutover", {"outcome": outcome, "engine": "optimized"}, said)
    context.output.note(SOAK_WORDS)
    return outcome


def roll_back(context: AppContext) -> Outcome:
    """Switches to the legacy engine."""
    with migrating(context) as migrator:
        outcome = migrator.roll_back()
    said = (
        "Nothing to do: the legacy engine is active already."
        if outcome == "nothing to do"
        else "Rolled back: the legacy engine is active, with all that was written since."
    )
    _tell(context, "migrate-rollback", {"outcome": outcome, "engine": "legacy"}, said)
    context.output.note("To migrate again: `ialctl migrate run --execute`, then verify.")
    return outcome


def retry_failed(context: AppContext, given: Given) -> None:
    """Tries again what could not be moved.

    Raises:
        DifferenceError: more could not be moved than are allowed.
    """
    with migrating(context, make_options(context, given)) as migrator:
        done = migrator.retry()
    words = [
        f"{done.moved:,} moved",
        f"{done.gone:,} gone meanwhile",
        f"{done.failed:,} failed again",
    ]
    words += [f"{done.kept:,} too large for the legacy table"] if done.kept else []
    _tell(context, "migrate-retry", dataclasses.asdict(done), ", ".join(words) + ".")
    if done.failed > given.max_failed:
        raise DifferenceError(
            f"{done.failed} items still can't be moved.",
            "Put them right in the legacy table, or allow so many: `--max-failed`.",
            failed=done.failed,
        )


def _tell(context: AppContext, schema: str, data: dict[str, Any], said: str) -> None:
    context.output.result(schema, data, lambda: plain(said))
