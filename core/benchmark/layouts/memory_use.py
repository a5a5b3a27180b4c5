"""What an engine takes of memory: held for a user, and at the most while a context is built."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

from core.benchmark.evaluation.dataset import Question
from core.benchmark.layouts.contenders import Contender
from core.benchmark.layouts.plan import History

_QUESTIONS = 5
_ENGINES = 4
_PAGE_FIELD = "VmRSS:"


@dataclass(frozen=True)
class MemoryUse:
    """Bytes of Python's and numpy's allocations for one user in one engine (tracemalloc).

    `held_bytes` stay between contexts; `peak_bytes` is the most at any instant while contexts are
    built, what is held counted in. `resident_bytes` is what the process grew by, as the system
    sees it (None where it does not say): noisy, and never less than a page.
    """

    held_bytes: int
    peak_bytes: int
    resident_bytes: int | None


def memory_use(contender: Contender, history: History) -> MemoryUse:
    """Measures with new engines, alone in the process; tracing slows it, so no times are taken."""
    session = history.conversation.messages[-1].session_id
    questions = history.conversation.questions[:_QUESTIONS]
    resident = _resident_growth(contender, history.user_id, questions[0], session)
    made = contender.fresh()
    try:
        made.context("nobody", questions[0], session)  # threads, connections and modules
        gc.collect()
        tracemalloc.start()
        for question in questions:
            made.context(history.user_id, question, session)
        gc.collect()
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        made.close()
    return MemoryUse(held, peak, resident)


def _resident_growth(
    contender: Contender, user_id: str, question: Question, session: str
) -> int | None:
    before = _resident()
    engines = [contender.fresh() for _ in range(_ENGINES)]
    try:
        for engine in engines:
            engine.context(user_id, question, session)
        gc.collect()
        after = _resident()
    finally:
        for engine in engines:
            engine.close()
    if before is None or after is None:
        return None
    return max(0, after - before) // _ENGINES


def _resident() -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None  # a system without /proc
    kib = (int(line.split()[1]) for line in lines if line.startswith(_PAGE_FIELD))
    return next((one * 1024 for one in kib), None)
