"""Threads that say so when they are ended: a call on what was closed is the caller's mistake."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from core.errors import UsageError

P = ParamSpec("P")
T = TypeVar("T")


class Workers(ThreadPoolExecutor):
    """A pool of threads whose `submit` raises UsageError once it was shut down."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Has `fn` run by one of the threads.

        Raises:
            UsageError: they were ended.
        """
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError as error:
            raise UsageError("The memory is closed.", "Open another engine.") from error
