"""Which histories a benchmark runs over: made ones of stated sizes, or those of a file."""

from __future__ import annotations

from collections.abc import Sequence

from core.benchmark.layouts.conversations import USER, made_conversation
from core.benchmark.layouts.plan import History, Scenario
from core.clock import Clock
from core.memory.keys import MICROSECONDS

_HOUR_S = 3600


def made_scenarios(sizes: Sequence[int], seed: int, clock: Clock) -> tuple[Scenario, ...]:
    """A history of each size; it ended an hour ago."""
    last_us = round((clock.time() - _HOUR_S) * MICROSECONDS)
    return tuple(_made(size, seed, last_us) for size in sorted(set(sizes)))


def _made(size: int, seed: int, last_us: int) -> Scenario:
    user = f"{USER}-{size}"
    conversation = made_conversation(size, seed, user_id=user, last_us=last_us)
    return Scenario(f"{size:,}", (History(user, conversation),))
