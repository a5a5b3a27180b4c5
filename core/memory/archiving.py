"""Old sessions out of the tables, into the bucket: written, read back, and only then removed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from core.aws.capacity import NOTHING, Consumed
from core.aws.requests import KeyRange, Query
from core.aws.table import Table, query_pages
from core.clock import Clock
from core.errors import DamagedError
from core.memory import keys
from core.memory.archives import Archive, Archives, key_of
from core.memory.forgetting import Forgetter
from core.memory.model import Message
from core.memory.orphans import Auditor
from core.memory.schema import USER_TIME_INDEX
from core.memory.scope import Scope, older_than, time_of_place
from core.memory.store import ConversationStore

_AT_ONCE = 2000
"""Messages that are removed together: each removal looks at the whole index."""
_HEAD = ("timestamp_type", "session_id")


@dataclass(frozen=True)
class Archived:
    """What was archived, and how many messages were removed from the tables.

    `left` says in sentences which sessions were left where they are, and why.
    """

    user_id: str
    before_us: int
    archives: tuple[Archive, ...]
    messages: int
    removed: int
    left: tuple[str, ...]
    consumed: Consumed
    dry_run: bool = False


@dataclass(frozen=True)
class Wish:
    """Which sessions: all whose messages are older than so many days, or one of them.

    `keep` leaves the messages in the tables too; `dry_run` only says what would be archived.
    """

    user_id: str
    older_than_days: float
    session_id: str | None = None
    keep: bool = False
    dry_run: bool = False


def _quiet(_: Archive) -> None:
    pass


class Archiver:
    """Archives old sessions. Killed at any point, the same call again completes it.

    Raises what `Table` and `Objects` raise.
    """

    def __init__(
        self,
        history: Table,
        store: ConversationStore,
        forgetter: Forgetter,
        auditor: Auditor,
        clock: Clock,
    ) -> None:
        self._history = history
        self._store = store
        self._forgetter = forgetter
        self._auditor = auditor
        self._clock = clock

    def run(
        self, archives: Archives, wish: Wish, *, each: Callable[[Archive], None] = _quiet
    ) -> Archived:
        """Archives what is wished; `each` is told of every archive that is written.

        Raises:
            UsageError: an id that no message can have, or an age that is none.
        """
        scope = older_than(wish.user_id, wish.older_than_days, self._clock.time())
        dataclasses.replace(scope, session_id=wish.session_id).check()
        sessions, consumed = self._old_sessions(scope, wish.session_id)
        done = Archived(
            wish.user_id, scope.before_us or 0, (), 0, 0, (), consumed, dry_run=wish.dry_run
        )
        batch: list[str] = []
        for session_id in sorted(sessions, key=lambda s: sessions[s][0]):
            done, places = self._session(archives, wish, session_id, sessions[session_id], done)
            if done.archives and places:
                each(done.archives[-1])
            batch += places
            if len(batch) >= _AT_ONCE:
                done, batch = self._remove(wish, batch, done), []
        done = self._remove(wish, batch, done)
        return done if wish.keep or wish.dry_run else self._left_over(done)

    def _session(
        self,
        archives: Archives,
        wish: Wish,
        session_id: str,
        places: Sequence[str],
        done: Archived,
    ) -> tuple[Archived, list[str]]:
        read = self._store.read_places(wish.user_id, places)
        pairs = sorted(read.items, key=lambda pair: (pair[1].timestamp_us, pair[1].message_id))
        messages = [message for _, message in pairs]
        done = dataclasses.replace(done, consumed=done.consumed + read.consumed)
        if not messages:
            return done, []  # all have expired
        try:
            archive = _planned(messages) if wish.dry_run else archives.write(messages)
        except DamagedError as error:
            note = f"Session '{session_id:.60}' was not archived: {error.what}"
            return dataclasses.replace(done, left=(*done.left, note)), []
        found = dataclasses.replace(
            done, archives=(*done.archives, archive), messages=done.messages + len(messages)
        )
        return found, [place for place, _ in pairs]

    def _remove(self, wish: Wish, places: Sequence[str], done: Archived) -> Archived:
        if wish.keep or wish.dry_run or not places:
            return done
        receipt = self._forgetter.forget(Scope(wish.user_id, places=frozenset(places)), wait=False)
        return dataclasses.replace(
            done,
            removed=done.removed + receipt.removed.get("messages", 0),
            consumed=done.consumed + receipt.consumed,
        )

    def _left_over(self, done: Archived) -> Archived:
        """Removes what a run before may have left, killed between a message and its vector."""
        consumed = self._auditor.remove_orphans(done.user_id)
        return dataclasses.replace(done, consumed=done.consumed + consumed)

    def _old_sessions(
        self, scope: Scope, only: str | None
    ) -> tuple[dict[str, list[str]], Consumed]:
        """The sort keys of the sessions all of whose messages are old, by session."""
        found: dict[str, list[str]] = {}
        young: set[str] = set()
        consumed = NOTHING
        days, cost = self._days(scope.user_id)
        for day in days:
            for entries, read in self._day(day):
                cost += read
                for place, session in entries:
                    if only not in (None, session):
                        continue
                    if time_of_place(place) < (scope.before_us or 0):
                        found.setdefault(session, []).append(place)
                    else:
                        young.add(session)
        for session in young & found.keys():
            del found[session]
        return found, consumed + cost

    def _days(self, user_id: str) -> tuple[list[str], Consumed]:
        own = (place for _, place in self._store.own_places(user_id))
        days = {keys.user_date(user_id, time_of_place(place)) for place in own}
        consumed = NOTHING
        query = Query(user_id, KeyRange(), index=USER_TIME_INDEX, attributes=("user_date",))
        prefix = keys.user_prefix(user_id)
        for page in query_pages(self._history, query):
            consumed += page.consumed
            days |= {d for e in page.items if (d := str(e["user_date"])).startswith(prefix)}
        return sorted(days), consumed

    def _day(self, day: str) -> Iterator[tuple[list[tuple[str, str]], Consumed]]:
        query = Query(day, attributes=_HEAD, consistent=True)
        for page in query_pages(self._history, query):
            yield (
                [(str(i["timestamp_type"]), str(i.get("session_id", ""))) for i in page.items],
                page.consumed,
            )


def _planned(messages: Sequence[Message]) -> Archive:
    first, last = messages[0].timestamp_us, messages[-1].timestamp_us
    return Archive(key_of(messages), messages[0].session_id, len(messages), first, last, 0)
