"""Which way a message goes that differs between the two tables. Pure.

Each side tells what it holds now, and what its stream showed of others' changes: the migration's
own are told apart before. Where one side was changed, that goes across, once it is sure that the
other side holds nothing whose change is still to come. Where both were, the later change wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Way = Literal["none", "to_optimized", "to_legacy", "wait"]
Engine = Literal["legacy", "optimized"]
_SECOND_US = 1_000_000


@dataclass(frozen=True)
class Side:
    """What a side holds of a message: digests, None where there is nothing.

    `past` is what others' changes found, as its stream showed them, and `stamp_us` the time of the
    last of these; both are empty where there were none. `news` is what the last change left, be it
    the migration's own.
    """

    now: bytes | None
    past: frozenset[bytes | None] = frozenset()
    news: frozenset[bytes | None] = frozenset()
    stamp_us: int = 0

    @property
    def changed(self) -> bool:
        """Whether others changed it."""
        return bool(self.past)


def decide(legacy: Side, optimized: Side, leading: Engine, *, patient: bool) -> Way:
    """The way that a message goes.

    Of two changes in one second that of the side that leads wins: times are told in seconds. What
    a side holds that no change explains is waited for, if `patient`: the stream will show it.
    """
    if legacy.now == optimized.now:
        return "none"
    if legacy.changed and optimized.changed:
        known = legacy.now in legacy.news and optimized.now in optimized.news
        return _later(legacy, optimized, leading) if known or not patient else "wait"
    if legacy.changed:
        return "to_optimized" if _explained(optimized, legacy) or not patient else "wait"
    if optimized.changed:
        return "to_legacy" if _explained(legacy, optimized) or not patient else "wait"
    return "none"


def _explained(quiet: Side, changed: Side) -> bool:
    """Whether the quiet side holds what the migration wrote there, or else what the other had."""
    return quiet.now in (quiet.news or changed.past)


def _later(legacy: Side, optimized: Side, leading: Engine) -> Way:
    at_legacy, at_optimized = legacy.stamp_us // _SECOND_US, optimized.stamp_us // _SECOND_US
    if at_legacy == at_optimized:
        return "to_optimized" if leading == "legacy" else "to_legacy"
    return "to_optimized" if at_legacy > at_optimized else "to_legacy"
