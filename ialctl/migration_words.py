"""How a migration's state and its verification are shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.errors import DifferenceError
from ialctl.output import Column, plain, table
from ialctl.words import counted, duration_words

if TYPE_CHECKING:
    from rich.console import Group

    from core.migration.journal import Control, Going, State
    from core.migration.migrator import Status
    from core.migration.verifying import Verification

STEPS = ("plan", "copy", "verify", "cut over", "soak", "clean up")
STALE_S = 10.0
"""A run says how it goes every two seconds: this old, and nobody runs it."""
_DAY_S = 86_400.0
_SHOWN = 20
_MISMATCHES = (
    Column("KIND", "kind"),
    Column("USER", "user"),
    Column("KEY", "key"),
    Column("WHY", "why"),
)
_DAYS = (
    Column("USER", "user"),
    Column("DAY", "day"),
    Column("LEGACY", "legacy", right=True),
    Column("OPTIMIZED", "optimized", right=True),
)


def step_of(state: State | None, now_s: float) -> str:
    """Which step comes now; `over` once all are done."""
    from core.migration.migrator import SOAK_S

    if state is None:
        return "plan"
    if state.status in ("copying", "rolled_back"):
        return "copy"
    if state.status == "copied":
        return "cut over" if is_verified(state, now_s) else "verify"
    if state.status == "cleaned":
        return "over"
    return "soak" if now_s - (state.cut_over_s or now_s) < SOAK_S else "clean up"


def is_verified(state: State, now_s: float) -> bool:
    """Whether it was found equal, and lately enough to cut over."""
    from core.migration.migrator import VERIFIED_S

    return state.verified_s is not None and now_s - state.verified_s <= VERIFIED_S


def drawn(step: str) -> str:
    """All steps in one line, the one that comes now in brackets."""
    return " ─ ".join(f"[{name}]" if name == step else name for name in STEPS)


_NEXT = {
    "plan": "Look first: `ialctl migrate plan`; `ialctl migrate` guides through all.",
    "copy": "Go on: `ialctl migrate run --execute`.",
    "verify": "Compare both sides: `ialctl migrate verify`.",
    "cut over": "Switch: `ialctl migrate cutover --execute`.",
    "soak": "Keep following: `ialctl migrate follow --execute`; at least every 20 hours.",
    "clean up": "Delete the legacy table: `ialctl migrate cleanup`; meanwhile follow on.",
    "over": "Nothing is left to do.",
}


def next_words(state: State | None, now_s: float) -> str:
    """What comes next, in a sentence."""
    if state is not None and state.status == "rolled_back":
        return "Copy what is missing, then verify: `ialctl migrate run --execute`."
    return _NEXT[step_of(state, now_s)]


def short_words(state: State, now_s: float) -> str:
    """Where it stands, in a few words; for `ialctl status`."""
    return {
        "copying": "copying",
        "copied": "copied, not cut over",
        "cut_over": f"cut over, {soak_words(state, now_s)}",
        "rolled_back": "rolled back to the legacy engine",
        "cleaned": "over, the legacy table is deleted",
    }.get(state.status, state.status)


def soak_words(state: State, now_s: float) -> str:
    """How long it has soaked, and of how many days."""
    from core.migration.migrator import SOAK_S

    days = (now_s - (state.cut_over_s or now_s)) / _DAY_S
    return f"{days:.1f} of {SOAK_S / _DAY_S:.0f} days of soak"


def status_data(status: Status, total: int | None, now_s: float) -> dict[str, Any]:
    """A migration's state as plain data."""
    state, going = status.state, status.going
    return {
        "state": dataclasses.asdict(state) if state else None,
        "step": step_of(state, now_s),
        "next": next_words(state, now_s),
        "engine": status.engine,
        "total": total,
        "copied": sum(mark.copied for mark in status.marks),
        "seen": sum(mark.seen for mark in status.marks),
        "expired": sum(mark.expired for mark in status.marks),
        "segments_done": sum(mark.done for mark in status.marks),
        "segments": len(status.marks),
        "failed": status.failed,
        "control": dataclasses.asdict(status.control),
        "going": dataclasses.asdict(going) if going else None,
        "running": is_running(going, now_s),
    }


def is_running(going: Going | None, now_s: float) -> bool:
    """Whether somebody runs it at this moment."""
    return going is not None and now_s - going.at_s <= STALE_S


def status_lines(status: Status, total: int | None, now_s: float) -> list[str]:
    """A migration's state for a person to read."""
    state = status.state
    lines = [drawn(step_of(state, now_s)), f"engine    {status.engine or 'none is noted'}"]
    if state is None:
        return ["There is no migration.", *lines, next_words(state, now_s)]
    lines += [f"state     {short_words(state, now_s)}", f"copied    {_copied(status, total)}"]
    lines += _verified_line(state, now_s)
    lines += [f"now       {_now(status, total, now_s)}"]
    control = status.control
    budget = control_words(control)
    lines += [f"budget    {budget.removeprefix('Budget: ')}"] if budget else []
    if control.paused:
        lines.append("paused    go on: `ialctl migrate resume`")
    if status.failed:
        lines.append(
            f"failed    {counted(status.failed, 'item')} can't be moved: `ialctl migrate retry`"
        )
    return [*lines, next_words(state, now_s)]


def control_words(control: Control) -> str:
    """The budgets that hold, in words."""
    told = [
        f"{units:g} {what} units/s"
        for units, what in ((control.max_rcu, "read"), (control.max_wcu, "write"))
        if units
    ]
    return f"Budget: {', '.join(told)}." if told else ""


def copied_data(outcome: str, status: Status) -> dict[str, Any]:
    """What a run has done, in all, as plain data."""
    names = ("seen", "copied", "expired", "failed", "vectors", "bytes")
    sums = {name: sum(getattr(mark, name) for mark in status.marks) for name in names}
    going = status.going
    return {
        "outcome": outcome,
        "status": status.state.status if status.state else None,
        **sums,
        "failed": status.failed,
        "without_vector": sums["copied"] - sums["vectors"],
        "numbers": dict(going.numbers) if going else {},
    }


def copied_lines(data: Mapping[str, Any]) -> list[str]:
    """The same for a person to read."""
    numbers = data["numbers"]
    done = data["outcome"] == "done"
    lines = [
        f"Copied, and level with what changed: {data['copied']:,} messages."
        if done
        else f"Nothing to do: all {data['copied']:,} messages are copied."
    ]
    if data["expired"]:
        lines.append(f"  {data['expired']:,} expired items were left behind")
    if data["failed"]:
        lines.append(f"  {counted(data['failed'], 'item')} can't be mapped: `ialctl migrate retry`")
    if done and numbers:
        lines.append(
            f"  {numbers.get('read_units', 0):,.0f} read and {numbers.get('write_units', 0):,.0f} "
            f"write units; {numbers.get('throttles', 0):,.0f} requests throttled"
        )
    return [*lines, _NEXT["verify"]] if data["status"] == "copied" else lines


def raise_mismatches(found: Verification) -> None:
    """Ends where both sides differ.

    Raises:
        DifferenceError: they do.
    """
    if found.equal:
        return
    first = found.mismatches[0]
    raise DifferenceError(
        f"{counted(len(found.mismatches), 'difference')} found; the first: {first.kind}, user "
        f"'{first.user_id:.60}', key '{first.sort_key:.80}': {first.why}.",
        "Put them right: `ialctl migrate verify --repair --execute`; until then no cut-over.",
        differences=len(found.mismatches),
    )


def _copied(status: Status, total: int | None) -> str:
    done = sum(mark.done for mark in status.marks)
    copied = sum(mark.copied for mark in status.marks)
    seen, expired = (sum(getattr(m, n) for m in status.marks) for n in ("seen", "expired"))
    of = f" of about {total:,}" if total and total >= seen and done < len(status.marks) else ""
    parts = [f"{copied:,} messages", f"{seen:,}{of} items read"]
    parts += [f"{expired:,} expired"] if expired else []
    parts.append(f"{done} of {len(status.marks)} segments")
    return ", ".join(parts)


def _verified_line(state: State, now_s: float) -> list[str]:
    if state.verified_s is None:
        return []
    return [f"verified  equal, {duration_words(max(0.0, now_s - state.verified_s))} ago"]


def _now(status: Status, total: int | None, now_s: float) -> str:
    from ialctl.migration_progress import words

    going = status.going
    if going is None:
        return "nobody runs it"
    told = words(going, total)
    if is_running(going, now_s):
        return f"{going.what}: {told}" if told else going.what
    return f"nobody runs it; {going.what} ended {duration_words(now_s - going.at_s)} ago"


def verification_data(found: Verification) -> dict[str, Any]:
    """A verification as plain data."""
    return {"equal": found.equal, **dataclasses.asdict(found)}


def show_verification(found: Verification) -> Group:
    """A verification for a person to read."""
    from rich.console import Group

    totals = found.totals
    head = [
        ("Equal: " if found.equal else "They differ: ")
        + f"{totals.legacy:,} messages in the legacy table, {totals.optimized:,} in the optimized "
        f"ones, of {counted(totals.users, 'user')}."
    ]
    if found.expired:
        head.append(f"{found.expired:,} expired items were left behind.")
    if found.born:
        head.append(f"{found.born:,} messages were written in the optimized tables alone.")
    if found.repaired:
        head.append(f"{found.repaired:,} differences were put right.")
    sampled = found.sampled
    head.append(
        f"Looked at as an engine does: {counted(sampled.users, 'user')}, "
        f"{counted(sampled.messages, 'message')}"
        + (
            f"; {sampled.without_vector:,} without a vector: `ialctl reindex`"
            * bool(sampled.without_vector)
        )
        + "."
    )
    parts: list[Any] = [plain("\n".join(head))]
    if found.mismatches:
        parts += [plain(""), _mismatches(found), *_days(found)]
    shadows = _shadow_lines(found)
    return Group(*parts, *([plain("\n".join(shadows))] if shadows else []))


def _mismatches(found: Verification) -> Any:
    rows = [
        {"kind": m.kind, "user": _cut(m.user_id), "key": _cut(m.sort_key), "why": m.why}
        for m in found.mismatches[:_SHOWN]
    ]
    left = len(found.mismatches) - _SHOWN
    if left > 0:
        rows.append({"kind": "…", "user": f"{left:,} more", "key": "", "why": "see `--json`"})
    return table(rows, _MISMATCHES)


def _days(found: Verification) -> Sequence[Any]:
    if not found.days:
        return ()
    rows = [dataclasses.asdict(day) | {"user": _cut(day.user_id)} for day in found.days]
    return (plain("\nDays whose messages differ:"), table(rows, _DAYS))


def _shadow_lines(found: Verification) -> list[str]:
    shadows = found.sampled.shadows
    if not shadows:
        return []
    legacy = sum(s.legacy_lines for s in shadows)
    shared = sum(s.shared_lines for s in shadows)
    alike = sum(s.recent_alike for s in shadows)
    return [
        f"\nFor information, {counted(len(shadows), 'question')} put to both engines: "
        f"{alike} with the same newest",
        f"messages; {shared} of {counted(legacy, 'line')} of the legacy contexts stand in the "
        "others too.",
    ]


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
