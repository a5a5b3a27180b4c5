"""What a benchmark is to do, as values."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from core.benchmark.evaluation.dataset import Conversation
from core.errors import UsageError

OPERATIONS = ("append", "recent", "session", "context_cold", "context_warm", "search")
SIZES = (100, 1_000, 10_000)
PEER_SIZES = (100, 629)
"""Some peers keep a history in one item, which holds no more."""
MOST_MESSAGES = 200_000


@dataclass(frozen=True)
class History:
    """A user's history that is measured with."""

    user_id: str
    conversation: Conversation


@dataclass(frozen=True)
class Scenario:
    """Histories of one size; `messages` is their mean length, `label` what they are called."""

    label: str
    histories: tuple[History, ...]

    @property
    def messages(self) -> int:
        """The mean length of a history."""
        return sum(len(h.conversation.messages) for h in self.histories) // len(self.histories)


@dataclass(frozen=True)
class Effort:
    """How much is measured: `blocks` rounds of up to `calls` calls of each operation in each.

    A block of an operation ends after `block_s` seconds, so that a slow one does not take all the
    time. Cold contexts, which need an engine each, come `cold_calls` to a block; appends, which
    make the history longer, `append_calls`. Counts are taken from `counted` calls apart, which are
    the same however busy the machine is (0: from the calls that are timed). Rounds end after
    `scenario_s` seconds for a scenario (None: never), once there are some. `mixed_s` seconds of
    mixed load by `workers` threads close the run.
    """

    blocks: int = 20
    calls: int = 24
    append_calls: int = 8
    cold_calls: int = 2
    block_s: float = 0.1
    counted: int = 40
    scenario_s: float | None = None
    mixed_s: float = 3.0
    workers: int = 4

    def calls_of(self, operation: str) -> int:
        """The most calls of an operation in a block."""
        few = {"context_cold": self.cold_calls, "append": self.append_calls}
        return few.get(operation, self.calls)

    def counting(self, histories: int) -> Effort:
        """The calls that counts are taken from, in each of so many histories: no time ends them.

        Of appends there are more: the index is packed once in so many, which counts in.
        """
        each = math.ceil(self.counted / histories)
        return replace(
            self,
            calls=each,
            append_calls=2 * each,
            cold_calls=math.ceil(each / 2),
            block_s=math.inf,
        )

    def __post_init__(self) -> None:
        if self.blocks < 2:
            raise UsageError(
                f"{self.blocks} rounds show no noise.", "Ask for 2 or more with --rounds."
            )


@dataclass(frozen=True)
class Plan:
    """What is measured, under which conditions.

    `rtt_ms` is waited before each request, `embedding_ms` at each call of the model. `tolerance`
    is the share by which a time may grow against a saved result's. `peers` are other libraries,
    measured beside it.
    """

    scenarios: tuple[Scenario, ...]
    effort: Effort
    seed: int = 1
    rtt_ms: float = 0.0
    embedding_ms: float = 0.0
    dataset: str | None = None
    digest: str | None = None
    tolerance: float = 0.08
    peers: bool = False
