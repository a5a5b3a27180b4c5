"""The end of a migration: the legacy history table is deleted, once nothing needs it any more."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

from core.errors import (
    DifferenceError,
    InterruptedRunError,
    NotConfirmedError,
    NotFoundError,
    ThrottledError,
    UsageError,
)
from core.migration.journal import State
from core.migration.running import Tools
from core.migration.verifying import Verification
from core.migration.wiring import Wiring

_DAY_S = 86_400.0
_GONE_S = 600.0
_POLL_S = 0.5


def check_soak(state: State, now_s: float, soak_s: float) -> None:
    """Whether the optimized engine has been active for long enough.

    Raises:
        NotConfirmedError: it has not.
    """
    soaked_s = now_s - (state.cut_over_s or now_s)
    if soaked_s >= soak_s:
        return
    raise NotConfirmedError(
        f"The cut-over was {soaked_s / _DAY_S:.1f} days ago; the legacy table is kept for "
        f"{soak_s / _DAY_S:.0f}, so that a way back remains.",
        "Wait, and keep following: `ialctl migrate follow`; or overrule it: `--confirm PROJECT`.",
    )


def check_equal(found: Verification) -> None:
    """Whether nothing of the legacy table would be lost.

    Raises:
        DifferenceError: both sides differ.
    """
    if found.equal:
        return
    raise DifferenceError(
        f"{len(found.mismatches)} differences were found; the legacy table is not deleted.",
        "Look at them: `ialctl migrate verify`; put them right: `ialctl migrate verify --repair`.",
        differences=len(found.mismatches),
    )


def delete_legacy(tools: Tools, state: State, keep: Callable[[], None]) -> State:
    """Deletes the legacy history table, and notes that; may be killed and made again.

    Raises:
        UsageError: another engine than the optimized one is active.
        ThrottledError: the table did not go within ten minutes.
        InterruptedRunError: somebody asked to stop; the table may be going already.
    """
    wiring = tools.wiring
    client, name = wiring.session.client("dynamodb"), wiring.names["legacy"]
    about = wiring.about("legacy")
    if about is not None and about["TableStatus"] != "DELETING":
        if about.get("DeletionProtectionEnabled"):
            client.update_table(TableName=name, DeletionProtectionEnabled=False)
            _wait(
                wiring, tools, lambda: (wiring.about("legacy") or {}).get("TableStatus") == "ACTIVE"
            )
        keep()
        # Whoever deleted it in between has done the same.
        with contextlib.suppress(NotFoundError):
            client.delete_table(TableName=name)
    _wait(wiring, tools, lambda: wiring.about("legacy") is None)
    over = dataclasses.replace(state, status="cleaned", cleaned_s=wiring.clock.time())
    tools.journal.save_state(over)
    return over


def check_engine(engine: str | None) -> None:
    """Whether nobody is told to use the legacy table.

    Raises:
        UsageError: somebody is.
    """
    if engine == "optimized":
        return
    raise UsageError(
        f"The active engine is noted as '{engine}': the legacy table is in use.",
        "Cut over first: `ialctl migrate cutover`.",
    )


def _wait(wiring: Wiring, tools: Tools, done: Callable[[], bool]) -> None:
    until = wiring.clock.monotonic() + _GONE_S
    while not done():
        if tools.stop():
            raise InterruptedRunError("Interrupted.", "The same command goes on from there.")
        if wiring.clock.monotonic() > until:
            raise ThrottledError(
                f"The table '{wiring.names['legacy']}' has not gone in {_GONE_S / 60:.0f} minutes.",
                "Run the same command again: it waits on.",
                reasons=(),
            )
        tools.lease.keep()
        wiring.clock.sleep(_POLL_S)
