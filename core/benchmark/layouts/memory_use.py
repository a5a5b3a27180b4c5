"""What an engine takes of memory: held for a user, and at the most while a context is built.

Measured in a process of its own, which has done nothing else: what a process took once it keeps,
and uses again for something else, so that one which has been busy shows nothing.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from core.benchmark.evaluation.dataset import Question
from core.benchmark.layouts.contenders import Contender
from core.benchmark.layouts.plan import History
from core.errors import IalError, TargetError

WARM_USER = "benchmark-warm"
"""A user whose contexts are built first: what is imported for the first one is no user's data."""
_QUESTIONS = 2
_PAGE_FIELD = "VmRSS:"
_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class MemoryUse:
    """Bytes for one user in one engine.

    `held_bytes` stay between contexts; `peak_bytes` is the most at any instant while contexts are
    built, what is held counted in (both Python's and numpy's own allocations, by tracemalloc).
    `resident_bytes` is what the process grew by, as the system sees it (None where it does not
    say): whole pages, and what the allocator keeps for later.
    """

    held_bytes: int
    peak_bytes: int
    resident_bytes: int | None


@dataclass(frozen=True)
class Asked:
    """Whose contexts are built, for which questions, in which session."""

    user_id: str
    session_id: str
    questions: Sequence[Question]


def asked_of(history: History) -> Asked:
    """Some of a history's questions, in its last session."""
    conversation = history.conversation
    session = conversation.messages[-1].session_id
    return Asked(history.user_id, session, conversation.questions[:_QUESTIONS])


def memory_use(make: Callable[[], Contender], asked: Asked) -> MemoryUse:
    """Measures in a process of its own: first the system's view, then Python's of a new engine.

    Args:
        make: opens the contender; it must be picklable.
        asked: what is asked of it.

    Raises:
        TargetError: the process ended without an answer.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(theirs, make, asked), daemon=True)
    # A Ctrl-C reaches every process of a terminal; this one is ended by us, without a word.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    child.start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    try:
        answer = ours.recv() if ours.poll(_TIMEOUT_S) else None
    except EOFError:
        answer = None
    finally:
        child.terminate()
        child.join()
    if not isinstance(answer, MemoryUse):
        raise TargetError(
            "The process that measures memory ended without an answer.", "Run it again."
        )
    return answer


def _answer(to: Connection, make: Callable[[], Contender], asked: Asked) -> None:
    try:
        with ExitStack() as closing:
            first = _warmed(make(), asked, closing)
            resident = _resident_growth(first, asked)
            held, peak = _traced(_warmed(first.fresh(), asked, closing), asked)
        to.send(MemoryUse(held, peak, resident))
    except IalError:
        to.close()  # whoever asked says so: what can't be read here can't be read there


def _warmed(contender: Contender, asked: Asked, closing: ExitStack) -> Contender:
    """Threads, connections and modules are there before it counts."""
    closing.callback(contender.close)
    contender.context(WARM_USER, asked.questions[0], asked.session_id)
    gc.collect()
    return contender


def _traced(contender: Contender, asked: Asked) -> tuple[int, int]:
    tracemalloc.start()
    for question in asked.questions:
        contender.context(asked.user_id, question, asked.session_id)
    gc.collect()
    return tracemalloc.get_traced_memory()


def _resident_growth(contender: Contender, asked: Asked) -> int | None:
    before = _resident()
    for question in asked.questions:
        contender.context(asked.user_id, question, asked.session_id)
    gc.collect()
    after = _resident()
    return None if before is None or after is None else max(0, after - before)


def _resident() -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None  # a system without /proc
    kib = (int(line.split()[1]) for line in lines if line.startswith(_PAGE_FIELD))
    return next((one * 1024 for one in kib), None)
