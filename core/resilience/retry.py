"""Retries: what is retryable is named, attempts and total time are bounded, jitter is full."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from core.clock import SYSTEM_CLOCK, Clock, Random, system_random

Result = TypeVar("Result")


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long to try.

    Delays are drawn uniformly from 0 to `base_delay_s * 2**n`, at most `max_delay_s` ("full
    jitter": AWS Architecture Blog, "Exponential Backoff And Jitter"). No delay is begun that
    would end after `total_s`.
    """

    attempts: int = 8
    base_delay_s: float = 0.05
    max_delay_s: float = 3.0
    total_s: float = 20.0


class Retrier:
    """Calls again what failed in a retryable way; raises the last error otherwise. Thread-safe."""

    def __init__(
        self,
        policy: RetryPolicy,
        retryable: Callable[[BaseException], bool],
        clock: Clock = SYSTEM_CLOCK,
        rng: Random | None = None,
    ) -> None:
        self._policy = policy
        self._retryable = retryable
        self._clock = clock
        self._rng = rng or system_random()

    def __call__(self, call: Callable[[], Result]) -> Result:
        """Runs `call` until it answers, fails for good, or the policy ends."""
        start = self._clock.monotonic()
        try:
            # Nearly every call ends here: the machinery below costs 30 µs.
            return call()
        except Exception as error:  # of any kind, and raised again unless `retryable` knows better
            if not self._retryable(error):
                raise
            failed: list[BaseException] = [error]

        def first_failure_then_calls() -> Result:
            if failed:
                raise failed.pop()
            return call()

        def ended(state: tenacity.RetryCallState) -> bool:
            elapsed = self._clock.monotonic() - start
            return (
                state.attempt_number >= self._policy.attempts
                or elapsed + state.upcoming_sleep >= self._policy.total_s
            )

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._retryable),
            stop=ended,
            wait=self._delay,
            sleep=self._clock.sleep,
            reraise=True,
        )
        return retrying(first_failure_then_calls)

    def _delay(self, state: tenacity.RetryCallState) -> float:
        ceiling = self._policy.base_delay_s * 2.0 ** (state.attempt_number - 1)
        return self._rng.uniform(0.0, min(ceiling, self._policy.max_delay_s))
