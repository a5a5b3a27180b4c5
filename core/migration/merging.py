"""Which way a message goes that differs between the two tables. Pure.

Each side tells what it holds now, and, if its stream showed changes, what it held before them.
Where one side still holds what the other had before its change, that change goes across. So what
this migration itself wrote, and reads in a stream afterwards, goes nowhere: both sides are equal
by then, or one has moved on from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Way = Literal["none", "to_optimized", "to_legacy", "wait"]
Engine = Literal["legacy", "optimized"]


@dataclass(frozen=True)
class Side:
    """What a side holds of a message: digests, None where there is nothing.

    `base` is what it held before the changes that its stream showed; `stamp_us` is the time of
    the last of them. `touched`: there were any.
    """

    now: bytes | None
    touched: bool = False
    base: bytes | None = None
    stamp_us: int = 0


def decide(legacy: Side, optimized: Side, leading: Engine, *, patient: bool) -> Way:
    """The way that a message goes.

    Where both sides changed, the later change wins, and of two of one second that of the side
    that leads. Where a change was made to something else than what the other side holds, that
    one's own change is still to come; with `patient` it is waited for.
    """
    if legacy.now == optimized.now:
        return "none"
    forward = legacy.touched and optimized.now == legacy.base
    back = optimized.touched and legacy.now == optimized.base
    if forward != back:
        return "to_optimized" if forward else "to_legacy"
    if legacy.touched and optimized.touched:
        return _later(legacy, optimized, leading)
    if not (legacy.touched or optimized.touched):
        return "none"
    if patient:
        return "wait"
    return "to_optimized" if legacy.touched else "to_legacy"


def _later(legacy: Side, optimized: Side, leading: Engine) -> Way:
    second = 1_000_000
    at_legacy, at_optimized = legacy.stamp_us // second, optimized.stamp_us // second
    if at_legacy == at_optimized:
        return "to_optimized" if leading == "legacy" else "to_legacy"
    return "to_optimized" if at_legacy > at_optimized else "to_legacy"
