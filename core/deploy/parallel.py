"""Work done side by side, ended in an orderly way when the main thread is interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from core.deploy.progress import Pacer

Key = TypeVar("Key")
Result = TypeVar("Result")
MOST_THREADS = 8
_TICK_S = 0.2


def side_by_side(tasks: Mapping[Key, Callable[[], Result]], pacer: Pacer) -> dict[Key, Result]:
    """Runs all tasks, each in a thread; returns when all have ended.

    An exception in the main thread (Ctrl-C) stops the pacer, so that the tasks end at their next
    safe point, and goes on once they have. Tasks return their failures; what they raise is raised
    here after all have ended.
    """
    executor = ThreadPoolExecutor(min(MOST_THREADS, max(1, len(tasks))), "deploy")
    futures: dict[Key, Future[Result]] = {}
    try:
        futures = {key: executor.submit(task) for key, task in tasks.items()}
        pending = set(futures.values())
        while pending:
            # A short tick: a signal is handled between two of them, on every platform.
            _, pending = wait(pending, _TICK_S, FIRST_COMPLETED)
    finally:
        if any(not future.done() for future in futures.values()):
            pacer.stop()
        executor.shutdown(wait=True, cancel_futures=True)
    return {key: future.result() for key, future in futures.items()}
