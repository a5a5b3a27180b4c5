"""A run: segments copied side by side while the streams are followed."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from core.aws.lease import Lease
from core.errors import InterruptedRunError
from core.migration.copying import HOLDING, Copier
from core.migration.crossing import Crossing
from core.migration.failures import DeadLetters
from core.migration.following import Feed, Follower
from core.migration.gate import Gate
from core.migration.journal import Going, Journal, State
from core.migration.merging import Engine
from core.migration.wiring import Wiring
from core.transfer.streams import StreamPosition

CLOSE_S = 5.0
"""Following has caught up once it lies no further behind than this, beside a stream's own lag."""
_TELL_S = 2.0
_BUSY_S = 0.05

Observe = Callable[[Going], None]


@dataclass(frozen=True)
class Tools:
    """What a run works with."""

    wiring: Wiring
    journal: Journal
    lease: Lease
    failures: DeadLetters
    stop: Callable[[], bool]
    observe: Observe


class Run:
    """Copies and follows. For one thread, which follows; the copy has its own."""

    def __init__(
        self,
        tools: Tools,
        state: State,
        positions: dict[str, StreamPosition],
        *,
        leading: Engine,
        both: bool,
    ) -> None:
        """With `both` what changes in the optimized tables goes back to the legacy one too."""
        self._tools = tools
        self._state, self._both = state, both
        wiring = tools.wiring
        self._clock = wiring.clock
        sides = ("legacy", "optimized") if both else ("legacy",)
        feeds: Mapping[str, Feed] = {side: wiring.stream(side) for side in sides}
        wiring.ask_while_waiting = self._stopped
        self._crossing = Crossing()
        self.follower = Follower(
            wiring.legacy,
            wiring.followed,
            self._crossing,
            tools.journal,
            tools.failures,
            wiring.clock,
            feeds,
            positions,
            leading,
            wiring.each,
        )
        self._gate = Gate(
            wiring.options.limits,
            lambda: wiring.legacy.get_many([("ialctl", "probe")]),
            lambda: self.follower.lag_s,
            wiring.clock,
            tools.stop,
        )
        self._told_s = wiring.clock.monotonic() - _TELL_S
        self._begun_s = wiring.clock.monotonic()
        self._begun_seen = sum(mark.seen for mark in tools.journal.marks(state.segments))
        self._what = "following"

    def beside(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Runs tasks side by side, following meanwhile; raises what one of them raised."""
        self._what = "verifying"
        with ThreadPoolExecutor(self._tools.wiring.options.workers) as pool:
            self._follow_during([pool.submit(self._guarded, task) for task in tasks])

    def copy(self) -> None:
        """Copies every segment that is left, following meanwhile.

        Raises:
            DifferenceError: more items could not be moved than are allowed.
            InterruptedRunError: somebody asked to stop.
        """
        self._what = "copying"
        todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        for mark in self._tools.journal.marks(self._state.segments):
            if not mark.done:
                todo.put(mark.number)
        workers = self._tools.wiring.options.workers
        with ThreadPoolExecutor(workers, thread_name_prefix="copy") as pool:
            self._follow_during(
                [pool.submit(self._guarded, partial(self._copy, todo)) for _ in range(workers)]
            )

    def catch_up(self) -> None:
        """Follows until all that changed before this call is applied."""
        self._what = "following"
        second = self.follower.next_second()
        while not self.follower.has_read(second):
            self._follow_once()

    def follow(self, seconds: float | None) -> None:
        """Follows for so long, or until somebody asks to stop."""
        self._what = "following"
        until = None if seconds is None else self._clock.monotonic() + seconds
        while until is None or self._clock.monotonic() < until:
            self._follow_once()

    def _copy(self, todo: queue.SimpleQueue[int]) -> None:
        tools = self._tools
        copier = Copier(
            tools.wiring.legacy,
            tools.wiring.optimized,
            self._crossing,
            tools.journal,
            tools.failures,
            self._clock,
            self._state.segments,
            live=self._both,
        )
        while True:
            try:
                number = todo.get_nowait()
            except queue.Empty:
                return
            for step in copier.steps(number):
                if step in HOLDING:
                    self._gate.check()
                else:
                    self._gate.pass_through()

    def _guarded(self, task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:
            self._gate.fail(error)
            raise

    def _follow_during(self, running: Sequence[Future[None]]) -> None:
        try:
            while not all(future.done() for future in running):
                self._follow_once()
        except BaseException as error:
            self._gate.fail(error)
            self._raise_first(running)
            raise
        self._raise_first(running)

    def _raise_first(self, running: Sequence[Future[None]]) -> None:
        """Raises what went wrong by itself, and not that others were ended by it."""
        failed = [error for future in running if (error := future.exception()) is not None]
        for error in failed:
            if not isinstance(error, InterruptedRunError):
                raise error

    def _follow_once(self) -> None:
        for step in self.follower.steps():
            self.keep()
            if step == "busy":
                self._crossing.wait(_BUSY_S)

    def _stopped(self) -> bool:
        # A stream that waits for its next second asks this: time to tell, and to keep the lease.
        self.keep()
        return False

    def check(self) -> None:
        """Ends who was asked to stop, from whichever thread it is asked."""
        self._gate.check()

    def keep(self) -> None:
        """Keeps the lease, tells how it goes, and ends who was asked to stop."""
        self._gate.check()
        self._tools.lease.keep()
        now = self._clock.monotonic()
        if now - self._told_s < _TELL_S:
            return
        self._told_s = now
        control = self._tools.journal.control()
        self._gate.tell(control)
        self._tools.wiring.reading.limit(control.max_rcu)
        self._tools.wiring.writing.limit(control.max_wcu)
        going = self.going()
        self._tools.journal.save_going(going)
        self._tools.observe(going)

    def going(self) -> Going:
        """How it goes at this moment."""
        marks = self._tools.journal.marks(self._state.segments)
        seen = sum(mark.seen for mark in marks)
        elapsed = max(self._clock.monotonic() - self._begun_s, 0.001)
        wiring, done = self._tools.wiring, self.follower.done
        numbers = {
            "seen": seen,
            "copied": sum(mark.copied for mark in marks),
            "expired": sum(mark.expired for mark in marks),
            "failed": len(self._tools.failures),
            "segments_done": sum(mark.done for mark in marks),
            "segments": len(marks),
            "records": done.records,
            "forward": done.forward,
            "back": done.back,
            "read_units": round(wiring.reading.spent, 1),
            "write_units": round(wiring.writing.spent, 1),
            "throttles": wiring.reading.throttles + wiring.writing.throttles,
        }
        return Going(
            self._what,
            self._clock.time(),
            round((seen - self._begun_seen) / elapsed, 1),
            round(self.follower.lag_s, 1),
            self._gate.waiting or self._held(),
            numbers,
        )

    def _held(self) -> str:
        held = []
        for budget, what in (
            (self._tools.wiring.reading, "read"),
            (self._tools.wiring.writing, "write"),
        ):
            rate = budget.rate
            if rate is not None:
                why = "throttled" if budget.throttles else "as told"
                held.append(f"{rate:.0f} {what} units/s, {why}")
        return "; ".join(held)
