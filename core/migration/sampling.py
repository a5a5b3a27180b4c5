"""What an engine would be told of some users: both indexes, the vectors, and the same context."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from core.aws.requests import Key, KeyRange, Query, equals
from core.aws.table import query_pages
from core.clock import Clock
from core.errors import DamagedError, IalError
from core.memory.chunks import user_chunk
from core.memory.context_engine import ContextEngine
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.index.known import Text
from core.memory.keys import day_of, user_date
from core.memory.orphans import Differences
from core.memory.parts import Parts
from core.memory.schema import SESSION_INDEX, USER_TIME_INDEX

SETTLE_S = 10.0
"""So long an index may lag behind what was written a moment ago."""
SHADOWS = 10
_WORKERS = 4
_SESSIONS = 5
_RECENT = 10
_POLL_S = 0.5
_QUESTION_WORDS = 8


@dataclass(frozen=True)
class Mismatch:
    """A message that differs, and how; `where` is its key in the optimized history, if it has one.

    `kind` is `missing` (only the legacy table has it), `extra` (only the optimized one), `changed`,
    `misplaced`, `twice`, `damaged`, `vector` (one without a message, or the other way round) or
    `index` (then `sort_key` is empty: it is of all of the user). `born`: it was written in the
    optimized tables, and never was in the legacy one.
    """

    kind: str
    user_id: str
    sort_key: str
    why: str
    where: tuple[str, str] | None = None
    born: bool = False


@dataclass(frozen=True)
class Shadow:
    """A question put to both engines: how much of the legacy context the other one has too.

    `recent_alike`: both tell the same newest messages. `only_legacy` are beginnings of lines.
    """

    user_id: str
    question: str
    recent_alike: bool
    legacy_lines: int
    shared_lines: int
    only_legacy: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sampled:
    """What was looked at of how many users, and what differs."""

    users: int
    messages: int
    without_vector: int
    mismatches: tuple[Mismatch, ...]
    shadows: tuple[Shadow, ...]


class Sampler:
    """Asks of users' messages as engines do. Thread-safe."""

    def __init__(
        self,
        parts: Parts,
        legacy: ContextEngine,
        clock: Clock,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`check` is called between users, and raises where nobody wants to go on."""
        self._parts = parts
        self._legacy = legacy
        self._optimized = OptimizedContextEngine(parts)
        self._clock = clock
        self._check = check

    def look(self, users: Iterable[str], sample: int | None) -> Sampled:
        """Looks at `sample` users, evenly spread among them; None: at all."""
        known = list(users)
        every = 1 if sample is None else max(1, -(-len(known) // max(1, sample)))
        chosen = known[::every] if sample != 0 else []
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="sample") as pool:
            looked = list(pool.map(self._one, chosen))
            shadows = list(pool.map(self._shadow, chosen[:SHADOWS]))
        found = [one for one, _ in looked if one is not None]
        return Sampled(
            len(chosen),
            sum(one.messages for one in found),
            sum(one.without_vector for one in found),
            tuple(mismatch for _, some in looked for mismatch in some),
            tuple(shadow for some in shadows for shadow in some),
        )

    def _one(self, user_id: str) -> tuple[Differences | None, list[Mismatch]]:
        self._check()
        try:
            found = self._parts.auditor.check(user_id)
        except DamagedError as error:
            # A message that is named by itself; the rest of this user's can't be told.
            return None, [Mismatch("index", user_id, "", error.what)]
        counts = {k: n for k, n in found.counts().items() if n and k != "without_vector"}
        differs = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in counts.items())
        said = (differs, self._lagging(user_id))
        return found, [Mismatch("index", user_id, "", why) for why in said if why]

    def repair(self, user_id: str) -> None:
        """Puts a user's vectors and index right."""
        self._parts.auditor.repair(user_id)

    def fault(self, user_id: str, place: str) -> str:
        """What is wrong about the text and vector of the message at a sort key; empty: nothing."""
        head, item = self._head(user_id, place), self._item(user_id, place)
        if item is None:
            return "" if head is None else "its message has no text and vector"
        if head is None:
            return "it has no message"
        text = self._text(user_id, place)
        same = text is None or item.get("content") == text.content
        return "" if same else "its message has another text"

    def put_text_right(self, user_id: str, place: str) -> None:
        """Lays the message's own text beside its vector again; does nothing where either is gone.

        Raises:
            ConditionFailedError: somebody else does it this moment.
        """
        item, text = self._item(user_id, place), self._text(user_id, place)
        if item is None or text is None or item.get("content") == text.content:
            return
        own = {**item, "content": text.content, "characters": text.characters}
        as_it_was = equals("content", item["content"]) if "content" in item else None
        self._parts.tables.embeddings.put(own, as_it_was)
        self._parts.invalidate(user_id)

    def _head(self, user_id: str, place: str) -> Key | None:
        key = {"user_date": user_date(user_id, int(place[:16])), "timestamp_type": place}
        found = self._parts.tables.history.get(key, consistent=True).item
        return found if self._living(found) else None

    def _item(self, user_id: str, place: str) -> Key | None:
        key = {"user_chunk": user_chunk(user_id, place), "embedding_id": place}
        found = self._parts.tables.embeddings.get(key, consistent=True).item
        return found if self._living(found) else None

    def _text(self, user_id: str, place: str) -> Text | None:
        """What of a message's text is kept beside its vector; None: it is gone, or damaged."""
        try:
            read = self._parts.store.read_places(user_id, [place])
        except DamagedError:
            return None
        return next((Text.of(message) for _, message in read.items), None)

    def _living(self, item: Key | None) -> bool:
        ttl = (item or {}).get("ttl")
        return item is not None and (ttl is None or int(ttl) > self._clock.time())

    def _lagging(self, user_id: str) -> str:
        """Which index does not show what the table holds, once it had time to."""
        until = self._clock.monotonic() + SETTLE_S
        while True:
            said = self._lacks(user_id)
            if not said or self._clock.monotonic() > until:
                return said
            self._check()
            self._clock.sleep(_POLL_S)

    def _lacks(self, user_id: str) -> str:
        listed = {(str(e["user_date"]), str(e["timestamp_type"])) for e in self._listed(user_id)}
        days = {day for day, _ in listed}
        known = self._known_times(user_id)
        days |= {user_date(user_id, time) for time in known}
        heads = [head for day in sorted(days) for head in self._heads(day)]
        lacking = sum((str(h["user_date"]), str(h["timestamp_type"])) not in listed for h in heads)
        if lacking:
            return f"{USER_TIME_INDEX} lacks {lacking} messages"
        for session in sorted({str(head["session_id"]) for head in heads})[:_SESSIONS]:
            shown = self._session(session)
            own = {
                (str(h["user_date"]), str(h["timestamp_type"]))
                for h in heads
                if h["session_id"] == session
            }
            if own - shown:
                return f"{SESSION_INDEX} lacks {len(own - shown)} messages of '{session:.60}'"
        return ""

    def _listed(self, user_id: str) -> list[dict[str, object]]:
        query = Query(user_id, index=USER_TIME_INDEX, attributes=("user_date", "timestamp_type"))
        pages = query_pages(self._parts.tables.history, query)
        return [entry for page in pages for entry in page.items]

    def _known_times(self, user_id: str) -> set[int]:
        """The times of a user's messages as the packed index has them, one of each day."""
        index = self._parts.copies.of(user_id)
        with index.lock:
            times = [int(time) for time in index.column("times")]
        return {time for _, time in {day_of(time): time for time in times}.items()}

    def _heads(self, day: str) -> list[dict[str, object]]:
        names = ("user_date", "timestamp_type", "session_id", "ttl")
        query = Query(day, KeyRange(), attributes=names, consistent=True)
        pages = query_pages(self._parts.tables.history, query)
        return [h for page in pages for h in page.items if "session_id" in h and self._living(h)]

    def _session(self, session_id: str) -> set[tuple[str, str]]:
        query = Query(session_id, index=SESSION_INDEX, attributes=("user_date", "timestamp_type"))
        pages = query_pages(self._parts.tables.history, query)
        entries = [entry for page in pages for entry in page.items]
        return {(str(e["user_date"]), str(e["timestamp_type"])) for e in entries}

    def _shadow(self, user_id: str) -> list[Shadow]:
        window = self._legacy.memory.get_recent_context(user_id, _RECENT)
        told = [m.message for m in window if m.message.content.strip()]
        if not told:
            return []
        question = " ".join(told[0].content.split()[:_QUESTION_WORDS])
        try:
            old = self._legacy.build_context(question, user_id, told[0].session_id or None)
            new = self._optimized.build_context(question, user_id)
        except IalError as error:
            return [Shadow(user_id, question, False, 0, 0, (error.what,))]
        recent = self._parts.store.read_recent(user_id, _RECENT).items
        alike = _texts(m.content for m in recent) == _texts(m.content for m in told)
        lines = [line.message.content for line in old.lines]
        gone = [line for line in lines if _first_words(line) not in new.text]
        return [
            Shadow(
                user_id,
                question,
                alike,
                len(lines),
                len(lines) - len(gone),
                tuple(line[:60] for line in gone[:3]),
            )
        ]


def _texts(contents: Iterable[str]) -> Sequence[str]:
    return sorted(content for content in contents if content.strip())


def _first_words(content: str) -> str:
    return " ".join(content.split()[:4])
