"""Runs a data set through the memory, each conversation under a user of its own."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from core.aws.capacity import Consumed
from core.benchmark.evaluation.baselines import Bm25, Exact
from core.benchmark.evaluation.dataset import Conversation, Dataset, Question
from core.benchmark.evaluation.engine import Engine, OpenEngine
from core.benchmark.evaluation.measures import EXACT_DEPTH, recall_against_exact, recalls
from core.clock import Clock
from core.errors import InterruptedRunError
from core.llm.embedder import Embedder
from core.memory.model import Message

LIMIT = 50
BATCH_MESSAGES = 400
_USER_DIGITS = 16

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """How to evaluate: for which project, with what seed and budget; `keep`: forget no user.

    `cold` asks each question of an engine that knows nothing, as if a process served only one.
    """

    project: str
    seed: int = 0
    budget_tokens: int = 2000
    keep: bool = False
    cold: bool = False


@dataclass(frozen=True)
class Asked:
    """What one question found and cost. `cold`: the first one that a process is asked.

    Recalls are 0 to 1; `exact` is that of the search by vector alone against exact cosines, None
    where there was no vector. `consumed`, `tokens` and `embeddings_made` are the context's.
    """

    conversation: str
    category: str
    cold: bool
    engine: Mapping[int, float]
    bm25: Mapping[int, float]
    exact: float | None
    consumed: Consumed
    tokens: int
    embeddings_made: int
    missing: tuple[str, ...]
    context_ms: float
    search_ms: float


@dataclass(frozen=True)
class Run:
    """All questions' outcomes, in the order of the file; `import_s` is what storing took.

    `missing` says in sentences what could not be done when messages were stored.
    """

    asked: tuple[Asked, ...]
    import_s: float
    seconds: float
    kept_users: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """How far a run is: questions done of all, and in words what goes on."""

    done: int
    total: int
    words: str


@dataclass(frozen=True)
class _Stored:
    row_of: Mapping[str, int]
    missing: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class _Subject:
    """A conversation that stands in the memory, and what its answers are held against."""

    conversation: Conversation
    user_id: str
    row_of: Mapping[str, int]
    bm25: Bm25
    exact: Exact


def user_of(plan: Plan, dataset: Dataset, number: int) -> str:
    """The user that a conversation is stored under: the same at every run, and nobody's else.

    All are of one length, so that no count of bytes depends on the project's name.
    """
    named = "\0".join((plan.project, dataset.digest, str(plan.seed)))
    return f"eval-{hashlib.sha256(named.encode()).hexdigest()[:_USER_DIGITS]}-{number:06d}"


class Evaluator:
    """Evaluates data sets. Stops between two questions where `stopped` says so."""

    def __init__(
        self,
        open_engine: OpenEngine,
        embedder: Embedder,
        clock: Clock,
        *,
        on_progress: Callable[[State], None] = lambda _: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """An evaluator; `embedder` is the engine's, for the exact cosines."""
        self._open_engine = open_engine
        self._embedder = embedder
        self._clock = clock
        self._on_progress = on_progress
        self._stopped = stopped

    def run(self, dataset: Dataset, plan: Plan) -> Run:
        """Stores each conversation, asks its questions, and forgets it again.

        What an earlier run left behind under the same name, because it was killed, goes first.

        Raises:
            InterruptedRunError: `stopped` said so; nothing is left behind, unless `plan.keep`.
            EmbedderUnavailableError: the embedder is down.
            NotFoundError: no memory is deployed.
        """
        begin_s = self._clock.monotonic()
        asked: list[Asked] = []
        import_s = 0.0
        users: list[str] = []
        missing: list[str] = []
        for number, conversation in enumerate(dataset.conversations):
            user = user_of(plan, dataset, number)
            state = State(len(asked), dataset.questions, f"{conversation.name}: importing")
            self._on_progress(state)
            exact = Exact(self._embedder, conversation, lambda: self._check_stopped(plan))
            with self._stored(conversation, user, plan) as stored:
                subject = _Subject(conversation, user, stored.row_of, Bm25(conversation), exact)
                asked += self._ask_all(subject, plan, state)
            import_s += stored.seconds
            missing += stored.missing
            users.append(user)
        seconds = self._clock.monotonic() - begin_s
        kept = tuple(users) if plan.keep else ()
        return Run(tuple(asked), import_s, seconds, kept, tuple(missing))

    @contextmanager
    def _stored(self, conversation: Conversation, user: str, plan: Plan) -> Iterator[_Stored]:
        with self._open_engine() as engine:
            engine.forget_user(user, wait=False)
        begin_s = self._clock.monotonic()
        try:
            # An engine of its own: the one that is asked must not know what this one wrote.
            with self._open_engine() as engine:
                row_of, missing = self._import(engine, conversation, user, plan)
            yield _Stored(row_of, missing, self._clock.monotonic() - begin_s)
        finally:
            if not plan.keep:
                # Without waiting for other processes: no other one knows this user.
                with self._open_engine() as engine:
                    engine.forget_user(user, wait=False)

    def _import(
        self, engine: Engine, conversation: Conversation, user: str, plan: Plan
    ) -> tuple[Mapping[str, int], tuple[str, ...]]:
        messages = [dataclasses.replace(m, user_id=user) for m in conversation.messages]
        rows = {_identity(message): row for row, message in enumerate(messages)}
        row_of: dict[str, int] = {}
        missing: list[str] = []
        for first in range(0, len(messages), BATCH_MESSAGES):
            self._check_stopped(plan)
            done = engine.import_messages(user, messages[first : first + BATCH_MESSAGES])
            row_of.update((a.place, rows[_identity(a.message)]) for a in done.appended)
            missing += done.missing
        return row_of, tuple(missing)

    def _ask_all(self, subject: _Subject, plan: Plan, state: State) -> Iterator[Asked]:
        questions = subject.conversation.questions
        done = state.done
        for asked_together in [[q] for q in questions] if plan.cold else [questions]:
            with self._open_engine() as engine:
                for number, question in enumerate(asked_together):
                    self._check_stopped(plan)
                    yield self._ask(engine, subject, question, plan, cold=number == 0)
                    done += 1
                    words = f"{subject.conversation.name}: asking"
                    self._on_progress(State(done, state.total, words))

    def _ask(
        self, engine: Engine, subject: _Subject, question: Question, plan: Plan, *, cold: bool
    ) -> Asked:
        # The context first: it is what a new process is asked for, and what must not be warm.
        context, context_ms = self._timed(
            lambda: engine.build_context(
                question.text, subject.user_id, budget_tokens=plan.budget_tokens
            )
        )
        found, search_ms = self._timed(lambda: engine.find(question.text, subject.user_id, LIMIT))
        rows = [subject.row_of.get(match.place, -1) for match in found.items]
        return Asked(
            conversation=subject.conversation.name,
            category=question.category,
            cold=cold,
            engine=recalls(question.evidence, rows),
            bm25=recalls(question.evidence, subject.bm25.ranked(question.text, LIMIT)),
            exact=_against_exact(engine, subject, question),
            consumed=context.consumed,
            tokens=context.tokens,
            embeddings_made=context.embeddings_made,
            missing=context.missing,
            context_ms=context_ms,
            search_ms=search_ms,
        )

    def _timed(self, call: Callable[[], T]) -> tuple[T, float]:
        begin_s = self._clock.monotonic()
        answer = call()
        return answer, (self._clock.monotonic() - begin_s) * 1000

    def _check_stopped(self, plan: Plan) -> None:
        if self._stopped():
            left = "kept" if plan.keep else "removed"
            raise InterruptedRunError(
                f"The evaluation was stopped; what it had stored is {left}.",
                "Run the same command again: it begins anew.",
            )


def _against_exact(engine: Engine, subject: _Subject, question: Question) -> float | None:
    asked = subject.exact.question(question.text)
    if asked is None:
        return None
    found = engine.embeddings.find_similar_conversations_optimized(
        asked.text, subject.user_id, EXACT_DEPTH
    )
    rows = [asked.position(subject.row_of.get(match.place, -1)) for match in found.items]
    return recall_against_exact(asked.cosines, rows)


def _identity(message: Message) -> tuple[str, int, str]:
    return message.message_id, message.timestamp_us, message.role
