"""The circuit breaker: opens, probes with care, comes back; no permit is ever lost."""

from __future__ import annotations

import threading

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core.resilience.breaker import Breaker, BreakerPolicy, Permit, State
from core.testing.clock import FakeClock

POLICY = BreakerPolicy(
    failures=3, window_s=10, open_s=1, max_open_s=4, probes=2, successes=2, half_open_s=5
)


def _call(breaker: Breaker, works: bool | None) -> bool:
    permit = breaker.permit()
    if permit is None:
        return False
    with permit:
        if works:
            permit.succeeded()
        elif works is False:
            permit.failed()
    return True


def _opened(clock: FakeClock) -> Breaker:
    breaker = Breaker(POLICY, clock)
    for _ in range(3):
        _call(breaker, False)
    assert breaker.state() is State.OPEN
    return breaker


def test_failures_within_the_window_open_it_however_many_succeed() -> None:
    """Successes in between don't hide failures; failures far apart don't add up."""
    clock = FakeClock()
    breaker = Breaker(POLICY, clock)
    for _ in range(3):
        assert breaker.state() is State.CLOSED
        _call(breaker, False)
        for _ in range(100):
            _call(breaker, True)
    assert breaker.state() is State.OPEN
    slow = Breaker(POLICY, clock)
    for _ in range(10):
        _call(slow, False)
        clock.advance(6)
    assert slow.state() is State.CLOSED


def test_it_comes_back_by_probes() -> None:
    """After its time it lets probes through, and as many successes as asked close it."""
    clock = FakeClock()
    breaker = _opened(clock)
    assert not _call(breaker, True)
    clock.advance(1)
    assert _call(breaker, True)
    assert breaker.state() is State.HALF_OPEN
    assert _call(breaker, True)
    assert breaker.state() is State.CLOSED


def test_a_failed_probe_opens_it_for_twice_as_long() -> None:
    """Each failed probing doubles the time, up to its limit; closing resets it."""
    clock = FakeClock()
    breaker = _opened(clock)
    for open_s in (1, 2, 4, 4):
        clock.advance(open_s - 0.01)
        assert breaker.permit() is None
        clock.advance(0.01)
        assert _call(breaker, False)
    assert breaker.opened == 5
    clock.advance(4)
    _call(breaker, True)
    _call(breaker, True)
    for _ in range(3):
        _call(breaker, False)
    clock.advance(1)
    assert breaker.state() is State.HALF_OPEN


def test_it_probes_at_once_when_told_that_the_other_side_is_back() -> None:
    """Woken, an open breaker lets a probe through; a closed or half-open one takes no notice."""
    clock = FakeClock()
    breaker = _opened(clock)
    breaker.wake()
    assert _call(breaker, True)
    breaker.wake()
    assert _call(breaker, True)
    assert breaker.state() is State.CLOSED
    breaker.wake()
    assert breaker.state() is State.CLOSED


def test_of_twenty_concurrent_probes_only_two_pass() -> None:
    """Twenty threads at the door of a half-open breaker: as many get in as there are probes."""
    clock = FakeClock()
    breaker = _opened(clock)
    clock.advance(1)
    barrier = threading.Barrier(20)
    passed: list[Permit] = []

    def ask() -> None:
        barrier.wait(5)
        permit = breaker.permit()
        if permit is not None:
            passed.append(permit)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(passed) == 2
    assert breaker.permit() is None


def test_a_cancelled_call_counts_as_neither_and_gives_its_permit_back() -> None:
    """An exception that says nothing of the other side changes no state, and frees the probe."""
    clock = FakeClock()
    breaker = _opened(clock)
    clock.advance(1)
    for _ in range(10):
        permit = breaker.permit()
        assert permit is not None
        with pytest.raises(KeyboardInterrupt), permit:
            raise KeyboardInterrupt
    assert breaker.state() is State.HALF_OPEN
    assert _call(breaker, True)
    assert _call(breaker, True)
    assert breaker.state() is State.CLOSED


def test_probes_that_hang_are_as_good_as_failed() -> None:
    """Half-open ends after its longest time; what the hanging probes say later is not heard."""
    clock = FakeClock()
    breaker = _opened(clock)
    clock.advance(1)
    hanging = [breaker.permit(), breaker.permit()]
    clock.advance(5)
    assert breaker.permit() is None
    assert breaker.state() is State.OPEN
    clock.advance(2)
    fresh = breaker.permit()
    assert fresh is not None
    for permit in hanging:
        assert permit is not None
        with permit:
            permit.failed()
    assert breaker.state() is State.HALF_OPEN
    with fresh:
        fresh.succeeded()


def test_a_verdict_from_before_it_opened_is_not_heard() -> None:
    """A slow success of a call begun while it was closed does not close an open breaker."""
    clock = FakeClock()
    breaker = Breaker(POLICY, clock)
    early = breaker.permit()
    assert early is not None
    for _ in range(3):
        _call(breaker, False)
    with early:
        early.succeeded()
    assert breaker.state() is State.OPEN


class BreakerMachine(RuleBasedStateMachine):
    """Any order of calls, verdicts and time: the rules of the states always hold."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.breaker = Breaker(POLICY, self.clock)
        self.out: list[tuple[Permit, State]] = []

    @rule()
    def ask(self) -> None:
        """Takes a permit: always there when closed, never when open."""
        state = self.breaker.state()
        permit = self.breaker.permit()
        if state is State.CLOSED:
            assert permit is not None
        if state is State.OPEN:
            assert permit is None
        if permit is not None:
            self.out.append((permit, state))

    @precondition(lambda self: self.out)
    @rule(which=st.integers(0, 100), verdict=st.sampled_from([True, False, None]))
    def end(self, which: int, verdict: bool | None) -> None:
        """Gives one back, with or without a verdict."""
        permit, _ = self.out.pop(which % len(self.out))
        with permit:
            if verdict is not None:
                (permit.succeeded if verdict else permit.failed)()

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 11.0]))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.clock.advance(seconds)

    @rule()
    def wake(self) -> None:
        """Somebody says the other side is back."""
        self.breaker.wake()

    @rule()
    def always_comes_back(self) -> None:
        """With nobody hanging, the longest open time and good answers close it from any state."""
        while self.out:
            self.end(0, None)
        for _ in range(6):
            _call(self.breaker, True)
            _call(self.breaker, True)
            self.clock.advance(POLICY.max_open_s)
        assert self.breaker.state() is State.CLOSED

    @invariant()
    def no_more_probes_than_allowed(self) -> None:
        """Half open, no more permits are out than there are probes."""
        asked: list[Permit] = []
        if self.breaker.state() is State.HALF_OPEN:
            while (permit := self.breaker.permit()) is not None:
                asked.append(permit)
            assert len(asked) <= POLICY.probes
        for permit in asked:
            with permit:
                pass


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.__doc__ = BreakerMachine.__doc__
