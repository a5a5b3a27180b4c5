"""Forgetting: what is removed, looked for again until nothing is left, and told in a receipt."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from core.aws.capacity import NOTHING, Consumed, in_turn
from core.aws.requests import KeyRange, Query
from core.aws.table import query_pages
from core.clock import Clock, iso
from core.memory.generations import UNNAMED
from core.memory.index.copies import Copies
from core.memory.index.writer import IndexWriter
from core.memory.keys import MICROSECONDS, user_prefix
from core.memory.model import Message
from core.memory.other_indexes import OtherIndexes
from core.memory.recent import MAX_AGE_S
from core.memory.saving import Saver
from core.memory.schema import SESSION_INDEX, USER_TIME_INDEX
from core.memory.scope import Scope, time_of_place
from core.memory.store import ConversationStore
from core.memory.sweeping import Grounds, Sweep, Swept

PASSES = 6
SETTLE_S = 0.5
"""Between two looks: a message that was on its way is in the indexes by then."""
INDEX_TRIES = 40
_LISTED = 100
_PAGES = 20
"""Of an index, looked through for what is gone: about 50,000 messages."""
BACKUPS = (
    "Backups, exports, and point-in-time recovery (35 days) keep copies until they are deleted or "
    "expire."
)
_ARCHIVES = (
    "Archives of this user in the backup bucket, if there are any, were left: `--archives` deletes "
    "them too."
)
_ARCHIVED = (
    "What was archived of it stays in the backup bucket: archives are deleted with the whole user."
)
_REDIS = (
    "Redis does not answer: contexts that it keeps may be shown by processes that reach it, until "
    "their time to live ends. Run the same command again when it answers."
)
_WRITERS = (
    "Somebody goes on writing: messages came while they were being removed. Stop the writers and "
    "run the same command again."
)


@dataclass(frozen=True)
class Receipt:
    """What was removed, and what was looked at afterwards.

    `removed` counts items by kind, over all passes; in a dry run what would be. `verified`: a
    last pass over `checked` found nothing. `left` says in sentences what stands all the same.
    Times are UTC.
    """

    user_id: str
    session_id: str | None
    message_id: str | None
    before_us: int | None
    removed: Mapping[str, int]
    passes: int
    verified: bool
    checked: tuple[str, ...]
    left: tuple[str, ...]
    begun_at: str
    finished_at: str
    consumed: Consumed
    dry_run: bool = False

    @property
    def nothing(self) -> bool:
        """Whether there was nothing to remove."""
        return not any(self.removed.values())

    @property
    def subject(self) -> str:
        """Whose or what it is about, in words."""
        return str(Scope(self.user_id, self.session_id, self.message_id, self.before_us))

    def with_archives(self, deleted: int) -> Receipt:
        """The receipt after so many archives were deleted too."""
        return dataclasses.replace(
            self,
            removed={**self.removed, "archives": deleted},
            left=tuple(sentence for sentence in self.left if sentence != _ARCHIVES),
        )


def _quiet(_: str) -> None:
    pass


class Forgetter:
    """Removes what stands of users. Thread-safe. Raises what `Table` raises.

    Killed at any point, the same call again completes what was begun.
    """

    def __init__(
        self,
        grounds: Grounds,
        store: ConversationStore,
        writer: IndexWriter,
        copies: Copies,
        saver: Saver,
        erase_contexts: Callable[[str], bool],
        clock: Clock,
        others: OtherIndexes,
    ) -> None:
        """`erase_contexts` drops cached contexts of a user everywhere; False where it did not."""
        self._grounds = grounds
        self._store = store
        self._writer = writer
        self._copies = copies
        self._saver = saver
        self._erase_contexts = erase_contexts
        self._clock = clock
        self._others = others

    def look(self, scope: Scope) -> Receipt:
        """What `forget` would remove; removes nothing.

        Raises:
            UsageError: an id that no message can have.
        """
        scope.check()
        begun_at = iso(self._clock.time())
        swept = self._pass(scope, delete=False)
        return self._receipt(scope, begun_at, [swept], swept.consumed, [], dry_run=True)

    def forget(
        self, scope: Scope, *, wait: bool = True, note: Callable[[str], None] = _quiet
    ) -> Receipt:
        """Removes what is meant, and looks until nothing is found.

        Processes lay what they wrote in the last half minute over what they read; so this waits
        until that is over, unless `wait` is False: then the receipt says when. `note` is told.

        Raises:
            UsageError: an id that no message can have, or a session and a message at once.
        """
        scope.check()
        begun_at = iso(self._clock.time())
        passes: list[Swept] = []
        try:
            while len(passes) < PASSES and not (passes and passes[-1].nothing):
                if passes:
                    self._clock.sleep(SETTLE_S)
                passes.append(self._pass(scope, delete=True))
                self._drop(scope, passes)
            listed, cost = (False, NOTHING)
            if len(passes) > 1:
                listed, cost = self._await_indexes(scope, passes)
            left = self._await_memories(passes, wait=wait, note=note)
        finally:
            erased = self._drop(scope, passes)
        if not erased:
            left.append(_REDIS)
        if listed:
            left.append(
                "An index of the history lags: it lists beginnings of removed messages until it "
                "has caught up."
            )
        consumed = in_turn((*(s.consumed for s in passes), cost))
        return self._receipt(scope, begun_at, passes, consumed, left)

    def _pass(self, scope: Scope, *, delete: bool) -> Swept:
        own = [
            place
            for message, place in self._store.own_places(scope.user_id)
            if scope.covers(place, message.session_id, message.message_id)
        ]
        # Before the messages, by which their rows are found.
        others = self._others.sweep(self._grounds, scope, own, delete=delete)
        own += [place for other in others.values() for place in other.places]
        swept = Sweep(self._grounds, self._writer, scope, own, delete=delete).run()
        for other in others.values():
            swept = swept.with_index(other)
        return dataclasses.replace(swept, generations=tuple(others))

    def _drop(self, scope: Scope, passes: list[Swept]) -> bool:
        """Drops what this process holds, and cached contexts everywhere; whether those are."""
        user = scope.user_id
        if scope.whole:
            self._copies.drop(user)
        gone = frozenset[str]().union(*(swept.places for swept in passes))
        doomed = {
            _identity(message)
            for message, place in self._store.own_places(user)
            if place in gone or scope.covers(place, message.session_id, message.message_id)
        }
        self._store.forget(lambda m: m.user_id == user and _identity(m) in doomed)
        self._saver.forget(
            user,
            lambda one: scope.covers(one.place, one.message.session_id, one.message.message_id),
        )
        return self._erase_contexts(user)

    def _await_indexes(self, scope: Scope, passes: list[Swept]) -> tuple[bool, Consumed]:
        """Waits until the indexes list nothing that is gone; says whether they still do."""
        gone = frozenset[str]().union(*(swept.places for swept in passes))
        consumed = NOTHING
        for attempt in range(INDEX_TRIES):
            if attempt:
                self._clock.sleep(SETTLE_S)
            listed, cost = self._listed(scope, gone)
            consumed += cost
            if not listed:
                return False, consumed
        return True, consumed

    def _listed(self, scope: Scope, gone: frozenset[str]) -> tuple[bool, Consumed]:
        consumed = NOTHING
        for query in _listings(scope, gone):
            for page in itertools.islice(query_pages(self._grounds.history, query), _PAGES):
                consumed += page.consumed
                places = {
                    str(entry["timestamp_type"])
                    for entry in page.items
                    if str(entry["user_date"]).startswith(user_prefix(scope.user_id))
                }
                if places if scope.whole else places & gone:
                    return True, consumed
        return False, consumed

    def _await_memories(
        self, passes: list[Swept], *, wait: bool, note: Callable[[str], None]
    ) -> list[str]:
        """Waits until no process holds what was removed; else says until when one may."""
        newest_s = max(swept.newest_us for swept in passes) / MICROSECONDS
        # A message may be of a time to come; it was written by now.
        until_s = min(newest_s, self._clock.time()) + MAX_AGE_S + 1
        rest_s = until_s - self._clock.time()
        if rest_s <= 0:
            return []
        if not wait:
            return [f"The process that saved a removed message may show it until {iso(until_s)}."]
        note(f"Waiting {rest_s:.0f} s, until no process shows what it just read or wrote.")
        self._clock.sleep(rest_s)
        return []

    def _receipt(
        self,
        scope: Scope,
        begun_at: str,
        passes: list[Swept],
        consumed: Consumed,
        left: list[str],
        *,
        dry_run: bool = False,
    ) -> Receipt:
        removed: Counter[str] = Counter()
        for swept in passes:
            removed.update(swept.counts)
        verified = passes[-1].nothing
        if not verified and not dry_run:
            left.append(_WRITERS)
        left += [f"A part of the index can't be looked into: {d}" for d in passes[-1].damaged]
        left += [
            f"The table '{name}' can't be searched by user: what it holds of them was left."
            for name in passes[-1].opaque
        ]
        if any(removed.values()):
            left.append(BACKUPS)
        left.append(_ARCHIVES if scope.whole else _ARCHIVED)
        return Receipt(
            scope.user_id,
            scope.session_id,
            scope.message_id,
            scope.before_us,
            {kind: removed[kind] for kind in sorted(removed)},
            len(passes),
            verified,
            self._checked(scope, passes[-1]),
            tuple(left),
            begun_at,
            iso(self._clock.time()),
            consumed,
            dry_run,
        )

    def _checked(self, scope: Scope, last: Swept) -> tuple[str, ...]:
        history, embeddings = self._grounds.history.schema, self._grounds.embeddings.schema
        return (
            f"{history.name}: messages, parts of large messages",
            f"{embeddings.name}: vectors and texts in ten partitions, the index",
            *(
                f"{embeddings.name}: the same of the index's generation '{name or UNNAMED}'"
                for name in last.generations
            ),
            f"{USER_TIME_INDEX}: entries",
            *([f"{SESSION_INDEX}: entries"] if scope.session_id is not None else []),
            *(f"{name}: items" for name in last.legacy),
        )


def _listings(scope: Scope, gone: frozenset[str]) -> Iterator[Query]:
    """What lists removed messages for as long as an index lags; each index lags by itself."""
    names = ("user_date", "timestamp_type")
    if scope.whole:
        yield Query(scope.user_id, index=USER_TIME_INDEX, limit=_LISTED, attributes=names)
        return
    if not gone:
        return
    times = [time_of_place(place) for place in gone]
    bounds = KeyRange(low=min(times), high=max(times))
    yield Query(scope.user_id, bounds, index=USER_TIME_INDEX, attributes=names)
    if scope.session_id is not None:
        yield Query(scope.session_id, bounds, index=SESSION_INDEX, attributes=names)


def _identity(message: Message) -> tuple[str, int, str]:
    return message.message_id, message.timestamp_us, message.role
