"""A request of a bulk run, sent again while its table throttles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.clock import Clock
from core.errors import InterruptedRunError, NotFoundError, ThrottledError
from core.transfer.budget import Budget

STALLED_S = 600.0
"""A table that throttles every request for so long is given up."""

Stop = Callable[[], bool]
"""Whether somebody asked to stop."""


@dataclass(frozen=True)
class Patience:
    """Sends requests to one table, ever slower while it throttles. Thread-safe."""

    table: str
    where: str
    budget: Budget
    clock: Clock
    stop: Stop

    def __call__(self, send: Callable[[], dict[str, Any]], begun_s: float) -> dict[str, Any]:
        """The answer; `begun_s` is when the request was first sent, by the monotonic clock.

        Raises:
            NotFoundError: the table is not there (any more).
            ThrottledError: it throttled for ten minutes.
            InterruptedRunError: somebody asked to stop.
        """
        while True:
            if self.stop():
                raise InterruptedRunError("Interrupted.", "Run the same command again.")
            try:
                return send()
            except ThrottledError:
                if self.clock.monotonic() - begun_s > STALLED_S:
                    raise
                self.budget.throttled()
            except NotFoundError as error:
                raise NotFoundError(
                    f"There is no table '{self.table}' at {self.where} (any more).",
                    "`ialctl status` shows the tables that stand.",
                    code=error.code,
                    status=error.status,
                    table=self.table,
                ) from error
