"""Measures both layouts: in blocks by turns, so that what disturbs one disturbs the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from core.aws.session import AwsSession
from core.benchmark.evaluation.dataset import Question
from core.benchmark.layouts.contenders import Contender, Outcome, Saying
from core.benchmark.layouts.plan import OPERATIONS, Effort, History, Scenario
from core.benchmark.layouts.samples import Sample, measured, summary
from core.clock import Clock, Random
from core.errors import InterruptedRunError

APPENDS = ("append",)
READS = tuple(operation for operation in OPERATIONS if operation not in APPENDS)
_REFERENCE_CALLS = 8
_SITTING = 5
"""Rounds after which engines are opened anew: which core a thread came to lie on is chance."""
_REUSED = 8
_COUNTED_HISTORIES = 10
_REUSED_SHARE = 0.5

Blocks: TypeAlias = dict[tuple[str, str], list[list[Sample]]]
"""Samples by layout and operation, block by block."""


@dataclass
class Measured:
    """What was measured of one scenario.

    `counted` are the same calls in every run, however busy the machine: what counts are taken from.
    `blocks` are as many as there was time for: what times are taken from.
    `reference` holds the reference's times in milliseconds by operation, a block each, measured
    right beside it.
    """

    scenario: Scenario
    counted: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    blocks: Blocks = field(default_factory=dict)
    reference: dict[str, list[list[float]]] = field(default_factory=dict)
    hit_rates: dict[str, float] = field(default_factory=dict)

    def add(self, other: Measured) -> None:
        """Takes over what was measured of other operations."""
        self.counted |= other.counted
        self.blocks |= other.blocks
        self.reference |= other.reference

    def retime(self, other: Measured) -> None:
        """Takes over times of the same operations, and leaves what was counted."""
        self.blocks |= other.blocks
        self.reference |= other.reference

    def summary(self, layout: str, operation: str) -> dict[str, Any]:
        """What the calls of an operation come to (see `samples.summary`)."""
        key = (layout, operation)
        return summary(self.blocks[key], self.counted.get(key, ()))


class Reference:
    """A Query of 20 items through boto3: what times are compared with, whoever's code changes."""

    def __init__(self, session: AwsSession, table: str, user_id: str, clock: Clock) -> None:
        """`table` is a legacy history, `user_id` one who has messages in it."""
        self._client = session.client("dynamodb")
        self._clock = clock
        self._request = {
            "TableName": table,
            "KeyConditionExpression": "#k = :k",
            "ExpressionAttributeNames": {"#k": "user_id"},
            "ExpressionAttributeValues": {":k": {"S": user_id}},
            "Limit": 20,
        }

    def times_ms(self) -> list[float]:
        """Some of its times."""
        found = []
        for _ in range(_REFERENCE_CALLS):
            begin = self._clock.monotonic()
            self._client.query(**self._request)
            found.append((self._clock.monotonic() - begin) * 1000)
        return found


@dataclass(frozen=True)
class _Turn:
    """A block's history, and what is asked and said in it, by both contenders the same."""

    history: History
    questions: Sequence[Question]
    searched: Sequence[Question]
    said: Sequence[tuple[str, str]]

    @property
    def user_id(self) -> str:
        return self.history.user_id

    @property
    def session_id(self) -> str:
        return self.history.conversation.messages[-1].session_id


class Measurer:
    """Measures a scenario's histories, which all contenders have stored."""

    def __init__(
        self,
        contenders: Sequence[Contender],
        reference: Reference,
        clock: Clock,
        seed: int,
        *,
        stopped: Callable[[], bool],
        on_block: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_block` is told of each block that is done."""
        self._contenders = contenders
        self._reference = reference
        self._clock = clock
        self._seed = seed
        self._rng = Random(seed)
        self._stopped = stopped
        self._on_block = on_block

    def measure(
        self, scenario: Scenario, effort: Effort, operations: Sequence[str] = OPERATIONS
    ) -> Measured:
        """Operations of all contenders, each first counted and then timed.

        Raises:
            InterruptedRunError: `stopped` said so.
        """
        found = Measured(scenario)
        self._count(found, effort, operations)
        turns = self._turns(scenario, effort.calls)
        deadline = None
        if effort.scenario_s is not None:
            deadline = self._clock.monotonic() + effort.scenario_s
        for left in range(effort.blocks, 0, -_SITTING):
            sitting = itertools.islice(turns, min(left, _SITTING))
            self._sitting(found, sitting, effort, operations)
            if deadline is not None and self._clock.monotonic() > deadline:
                break
        return found

    def _count(self, found: Measured, effort: Effort, operations: Sequence[str]) -> None:
        histories = found.scenario.histories[:_COUNTED_HISTORIES]
        each = effort.counting(len(histories))
        if not each.calls:
            return
        for made in self._contenders:
            contender = made.fresh()
            try:
                self._warm_up([contender], found.scenario)
                turns = self._turns(found.scenario, each.append_calls, Random(self._seed))
                for turn in itertools.islice(turns, len(histories)):
                    for operation in operations:
                        samples = self._samples(contender, operation, turn, each)
                        found.counted.setdefault((made.name, operation), []).extend(samples)
            finally:
                contender.close()

    def _sitting(
        self, found: Measured, turns: Iterator[_Turn], effort: Effort, operations: Sequence[str]
    ) -> None:
        warm = [contender.fresh() for contender in self._contenders]
        try:
            self._warm_up(warm, found.scenario)
            for turn in turns:
                self._block(found, warm, turn, effort, operations)
                warm.reverse()
            if "context_warm" in operations:
                found.hit_rates = {c.name: c.hit_rate() for c in warm}
        finally:
            for contender in warm:
                contender.close()

    def _warm_up(self, warm: Sequence[Contender], scenario: Scenario) -> None:
        # Connections, imports and the copies of the users' indexes are made before it counts.
        for contender in warm:
            for history in scenario.histories:
                question = history.conversation.questions[0]
                session = history.conversation.messages[-1].session_id
                contender.context(history.user_id, question, session)
                contender.search(history.user_id, question)
                contender.recent(history.user_id)
        self._reference.times_ms()

    def _turns(self, scenario: Scenario, calls: int, rng: Random | None = None) -> Iterator[_Turn]:
        chance = rng or self._rng
        asks = {h.user_id: _questions(h, chance) for h in scenario.histories}
        searches = {h.user_id: _questions(h, chance) for h in scenario.histories}
        says = {h.user_id: Saying(h.conversation) for h in scenario.histories}
        for history in itertools.cycle(scenario.histories):
            asked = tuple(itertools.islice(asks[history.user_id], calls))
            said = tuple(says[history.user_id].next() for _ in range(calls))
            # Of its own: what a context has just asked would be in the cache of vectors.
            searched = tuple(itertools.islice(searches[history.user_id], calls))
            yield _Turn(history, asked, searched, said)

    def _block(
        self,
        found: Measured,
        contenders: Sequence[Contender],
        turn: _Turn,
        effort: Effort,
        operations: Sequence[str],
    ) -> None:
        for operation in operations:
            for contender in contenders:
                samples = self._samples(contender, operation, turn, effort)
                found.blocks.setdefault((contender.name, operation), []).append(samples)
            found.reference.setdefault(operation, []).append(self._reference.times_ms())
        self._on_block()

    def _samples(
        self, contender: Contender, operation: str, turn: _Turn, effort: Effort
    ) -> list[Sample]:
        calls = effort.calls_of(operation)
        samples: list[Sample] = []
        deadline = self._clock.monotonic() + effort.block_s
        while len(samples) < calls and (not samples or self._clock.monotonic() < deadline):
            check_stopped(self._stopped)
            samples.append(self._sample(contender, operation, turn, len(samples)))
        return samples

    def _sample(self, contender: Contender, operation: str, turn: _Turn, number: int) -> Sample:
        asked = turn.searched if operation == "search" else turn.questions
        question = asked[number % len(asked)]
        if operation == "context_cold":
            made = contender.fresh()
            try:
                return measured(made, _context(made, turn, question), self._clock, question)
            finally:
                made.close()
        call = _CALLS[operation](contender, turn, number)
        return measured(contender, call, self._clock, question)


def check_stopped(stopped: Callable[[], bool]) -> None:
    """Ends a run that is to end.

    Raises:
        InterruptedRunError: `stopped` said so.
    """
    if stopped():
        raise InterruptedRunError(
            "The benchmark was stopped; its tables are removed.", "Run it again for figures."
        )


def _context(contender: Contender, turn: _Turn, question: Question) -> Callable[[], Outcome]:
    return lambda: contender.context(turn.user_id, question, turn.session_id)


_CALLS: Mapping[str, Callable[[Contender, _Turn, int], Callable[[], Outcome]]] = {
    "append": lambda c, t, n: lambda: c.append(t.user_id, t.session_id, *t.said[n]),
    "recent": lambda c, t, _: lambda: c.recent(t.user_id),
    "session": lambda c, t, _: lambda: c.session(t.user_id, t.session_id),
    "context_warm": lambda c, t, n: _context(c, t, t.questions[n]),
    "search": lambda c, t, n: lambda: c.search(t.user_id, t.searched[n]),
}


def _questions(history: History, rng: Random) -> Iterator[Question]:
    """Questions without end; every second one is one of a few that are asked again and again."""
    known = list(history.conversation.questions)
    rng.shuffle(known)
    again, rest = known[:_REUSED], itertools.cycle(known[_REUSED:] or known)
    while True:
        yield rng.choice(again) if rng.random() < _REUSED_SHARE else next(rest)
