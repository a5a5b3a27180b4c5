"""Following the streams: what changed on one side is brought to the other, as it stands by now.

A record only tells where to look. What is applied is read afterwards, strongly, so that records
may come twice, late, or again after a crash: the last one to come finds the last state. The
position is noted once all before it is applied, never earlier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from core.aws.table import batches
from core.clock import Clock
from core.errors import ConditionFailedError, DamagedError, UsageError
from core.migration.copying import failure_of
from core.migration.crossing import Crossing, Key
from core.migration.echoes import Echoes, Expected
from core.migration.failures import DeadLetters
from core.migration.journal import Failure, Journal
from core.migration.legacy import LegacySide, wire
from core.migration.merging import Engine, Side, Way, decide
from core.migration.optimized import OptimizedSide
from core.migration.ports import Each
from core.migration.standing import Standing, Wanted, gone_from_index
from core.migration.touches import Touch, Touches, add, legacy_record, optimized_record
from core.migration.transform import Mapped, UnmappableError, is_expired, mapped
from core.transfer.lines import Change
from core.transfer.streams import Fold, StreamPosition

MOST_BEHIND_S = 20 * 3600.0
"""Streams keep 24 hours: this far behind, following ends before it loses something."""
WINDOW_S = 60
"""So much of a stream is read at once."""
_AT_ONCE = 100
_CLOCKS_S = 10.0
"""So far this machine's clock and the service's may differ."""
_PATIENCE = 2
"""Windows that a change waits for the other side's own."""


class Feed(Protocol):
    """A table's stream."""

    def next_second(self) -> int:
        """A whole second that has not come yet."""

    def read(self, position: StreamPosition, until_s: int, fold: Fold) -> StreamPosition:
        """Hands on every change between a position and a second."""


@dataclass
class Pair:
    """What both streams showed of one message; `age` counts the windows that it has waited.

    `begun`: an attempt was made, and given up halfway.
    """

    legacy: Touch | None = None
    optimized: Touch | None = None
    age: int = 0
    begun: bool = False

    def join(self, other: Pair) -> None:
        """Adds what came after; it is waited for anew what that may lead to."""
        self.legacy = _joined(self.legacy, other.legacy)
        self.optimized = _joined(self.optimized, other.optimized)
        self.age = 0

    @property
    def touches(self) -> list[Touch]:
        """Those that there are."""
        return [touch for touch in (self.legacy, self.optimized) if touch is not None]


@dataclass(frozen=True)
class _Now:
    """What stands of a message on both sides this moment."""

    item: Mapping[str, Any] | None
    one: Mapped | None
    standing: Sequence[Standing]

    @property
    def is_level(self) -> bool:
        """Whether the same message stands on both sides."""
        if self.one is None or not self.standing:
            return False
        return self.one.digest == self.standing[0].digest


@dataclass(frozen=True)
class _Change:
    """A message and the way that it goes."""

    key: Key
    pair: Pair
    now: _Now
    way: Way
    thorough: bool


@dataclass(frozen=True)
class _Outcome:
    """What came of a change: what is to be indexed, or why it was not made."""

    to_index: tuple[Mapped, str] | None = None
    keep: bool = False
    forward: int = 0
    back: int = 0
    error: ConditionFailedError | None = None


@dataclass
class Followed:
    """What was done: records seen, messages brought to the optimized side and to the legacy one."""

    records: int = 0
    forward: int = 0
    back: int = 0


@dataclass
class Follower:
    """Applies what the streams show. For one thread; `each` may write many messages side by side.

    While `leading` is the legacy engine and there is no feed of the optimized side, all goes
    there; with both feeds each change goes across, and `leading` settles what came at once.
    """

    legacy: LegacySide
    optimized: OptimizedSide
    crossing: Crossing
    journal: Journal
    failures: DeadLetters
    clock: Clock
    feeds: Mapping[str, Feed]
    positions: dict[str, StreamPosition]
    leading: Engine = "legacy"
    each: Each = map
    done: Followed = field(default_factory=Followed)

    def __post_init__(self) -> None:
        # Whoever followed before may have been killed between a head and its index entry.
        self._begun_s = self.clock.time() + _CLOCKS_S
        self._waiting: dict[Key, Pair] = {}
        # What was written, and what stood as it was: of that a vector is kept.
        self._to_index: dict[bool, list[tuple[Mapped, str]]] = {False: [], True: []}
        self._echoes = Echoes(self.journal, self._since_s(), self.clock.time())

    @property
    def lag_s(self) -> float:
        """How far what is applied lies behind."""
        return max(0.0, self.clock.time() - self._since_s())

    def has_read(self, second: int) -> bool:
        """Whether all that came before this second, by the service's clock, is applied."""
        return self._since_s() >= second and self.is_settled

    def next_second(self) -> int:
        """A second that has not come yet, by the service's clock."""
        return max(feed.next_second() for feed in self.feeds.values())

    @property
    def is_settled(self) -> bool:
        """Whether nothing waits for the other side."""
        return not self._waiting

    def steps(self) -> Iterator[str]:
        """Reads one window and applies it; each step is named by what comes next.

        Raises:
            UsageError: it is too far behind, or a stream does not reach back so far.
            DifferenceError: more items could not be moved than are allowed.
        """
        self.check_lag()
        since_s = self._since_s()
        until_s = min(
            *(feed.next_second() for feed in self.feeds.values()), int(since_s) + WINDOW_S
        )
        yield "read"
        pairs, positions = self._read(until_s)
        thorough = since_s < self._begun_s
        for some in batches(list(pairs), _AT_ONCE):
            yield from self._apply({key: pairs[key] for key in some}, thorough=thorough)
        self.failures.check()
        self.positions = positions
        if self.is_settled:
            yield "note"
            self.journal.save_positions(positions, self._echoes.shown(self._since_s()))

    def check_lag(self) -> None:
        """Ends it before something is lost.

        Raises:
            UsageError: it is too far behind.
        """
        if self.lag_s <= MOST_BEHIND_S:
            return
        raise UsageError(
            f"The changes of the last {self.lag_s / 3600:.0f} hours are not applied yet; a stream "
            "keeps 24, so nobody can say that it still has all of them.",
            "Copy anew what is there by now: `ialctl migrate run --restart`.",
            lag_s=int(self.lag_s),
        )

    def _since_s(self) -> float:
        return min(float(self.positions[side].since_s) for side in self.feeds)

    def _read(self, until_s: int) -> tuple[dict[Key, Pair], dict[str, StreamPosition]]:
        pairs, self._waiting = self._waiting, {}
        positions = dict(self.positions)
        for side, feed in self.feeds.items():
            touches: Touches = {}
            positions[side] = feed.read(self.positions[side], until_s, self._fold(side, touches))
            for key, touch in touches.items():
                new = Pair(legacy=touch) if side == "legacy" else Pair(optimized=touch)
                pairs.setdefault(key, Pair()).join(new)
        return pairs, positions

    def _fold(self, side: str, touches: Touches) -> Fold:
        def fold(change: Change) -> None:
            self.done.records += 1
            read = legacy_record if side == "legacy" else optimized_record
            add(touches, read(change), self._echoes.is_echo)

        return fold

    def _apply(self, pairs: Mapping[Key, Pair], *, thorough: bool) -> Iterator[str]:
        self.crossing.announce(pairs)
        yield "announced"
        while self.crossing.is_busy(pairs):
            yield "busy"
        items = self.legacy.get_many(list(pairs))
        yield "look"
        found = self._look(pairs, items)
        ways = {key: self._way(pairs[key], now) for key, now in found.items()}
        yield "announce"
        # Also while only one side is followed: the other one's stream may be read from here on.
        expected = [e for key, now in found.items() for e in _expected(key, ways[key], now)]
        self._echoes.expect(expected, self.clock.time())
        yield "take out"
        forward = [now for key, now in found.items() if ways[key] == "to_optimized"]
        gone = [name for now in forward for name in gone_from_index(now.one, now.standing)]
        self.optimized.take_out(gone)
        changes = [
            _Change(key, pairs[key], now, ways[key], thorough=thorough or pairs[key].begun)
            for key, now in found.items()
        ]
        outcomes = iter(self.each(self._made, changes))
        for change in changes:
            yield "apply"
            self._note(change, next(outcomes))
        yield "index"
        for keep in (False, True):
            self.optimized.index(self._to_index[keep], keep=keep)
            self._to_index[keep].clear()
        self._echoes.done(self.clock.time())
        self.crossing.done()

    def _look(
        self, pairs: Mapping[Key, Pair], items: Mapping[Key, Mapping[str, Any]]
    ) -> dict[Key, _Now]:
        messages: dict[Key, Mapped | None] = {}
        for key in pairs:
            item = items.get(key)
            try:
                messages[key] = None if item is None else self._mapped(item)
            except UnmappableError as error:
                # What stands of it on the other side is the best that there is.
                self.failures.add(failure_of(wire(items[key]), error), wire(items[key]))
        wanted = {
            key: w for key, one in messages.items() if (w := _wanted(pairs[key], one)) is not None
        }
        standing = self.optimized.standing(list(wanted.values()))
        return {
            key: _Now(
                items.get(key),
                one,
                [
                    s
                    for message_id in (wanted[key].ids if key in wanted else ())
                    for s in standing.get((key[0], message_id), ())
                ],
            )
            for key, one in messages.items()
        }

    def _mapped(self, item: Mapping[str, Any]) -> Mapped | None:
        as_stored = wire(item)
        return None if is_expired(as_stored, self.clock.time()) else mapped(as_stored)

    def _made(self, change: _Change) -> _Outcome:
        """Writes a change to the other side; may run beside others."""
        try:
            if change.way == "to_legacy":
                return self._bring_back(change.key, change.now)
            if change.way == "to_optimized" or (change.thorough and change.now.is_level):
                return self._bring(change.key, change.now, thorough=change.thorough)
        except ConditionFailedError as error:
            return _Outcome(error=error)
        return _Outcome()

    def _note(self, change: _Change, outcome: _Outcome) -> None:
        """Notes what came of a change."""
        key, pair = change.key, change.pair
        if change.way == "wait":
            pair.age += 1
            self._waiting[key] = pair
        if outcome.error is not None:
            # Somebody wrote it since it was looked at: that change is still to come.
            self._echoes.cancel(key)
            if outcome.error.fields.get("marked"):
                side = "legacy" if change.way == "to_legacy" else "optimized"
                self._echoes.dispute(side, key)
            pair.age, pair.begun = 0, True
            self._waiting[key] = pair
        if outcome.to_index is not None:
            self._to_index[outcome.keep].append(outcome.to_index)
        self.done.forward += outcome.forward
        self.done.back += outcome.back

    def _way(self, pair: Pair, now: _Now) -> Way:
        here = now.one.digest if now.one else None
        there = now.standing[0].digest if now.standing else None
        if "optimized" not in self.feeds:
            return "none" if here == there and len(now.standing) < 2 else "to_optimized"
        if here == there and len(now.standing) > 1:
            return "to_optimized"
        return decide(
            _side(here, pair.legacy),
            _side(there, pair.optimized),
            self.leading,
            patient=pair.age < _PATIENCE,
        )

    def _bring(self, key: Key, now: _Now, *, thorough: bool) -> _Outcome:
        if now.one is None:
            self.optimized.delete(key[0], now.standing)
            self.failures.settled(Failure(*key, ""))
            return _Outcome(forward=int(bool(now.standing)))
        place, wrote = self.optimized.put(now.one, now.standing)
        self.failures.settled(Failure(*key, ""))
        indexed = (now.one, place) if wrote or thorough else None
        return _Outcome(indexed, keep=not wrote, forward=int(wrote))

    def _bring_back(self, key: Key, now: _Now) -> _Outcome:
        try:
            message = self.optimized.message(now.standing[0]) if now.standing else None
            if message is not None:
                self.legacy.put(message, now.item)
            elif now.item is not None and not now.standing:
                self.legacy.delete(key, now.item)
        except (UnmappableError, DamagedError) as error:
            head = wire(now.standing[0].head) if now.standing else {}
            self.failures.add(Failure(*key, error.what, "optimized"), head)
            return _Outcome()
        self.failures.settled(Failure(*key, "", "optimized"))
        return _Outcome(back=1)


def _expected(key: Key, way: Way, now: _Now) -> Iterator[Expected]:
    """What the streams will show of a message that goes this way."""
    if way == "to_legacy" and now.standing:
        yield Expected("legacy", key, now.standing[0].digest)
    elif way == "to_optimized" and now.one is not None:
        yield Expected("optimized", key, now.one.digest)


def _joined(first: Touch | None, then: Touch | None) -> Touch | None:
    if first is None or then is None:
        return first or then
    first.join(then)
    return first


def _wanted(pair: Pair, one: Mapped | None) -> Wanted | None:
    versions = {v for touch in pair.touches for v in touch.versions}
    if one is not None:
        versions.add((one.message.message_id, one.message.timestamp_us, one.message.role))
    if not versions:
        return None
    ids = frozenset(message_id for message_id, _, _ in versions)
    return Wanted(pair.touches[0].key[0], ids, frozenset((us, role) for _, us, role in versions))


def _side(now: bytes | None, touch: Touch | None) -> Side:
    if touch is None:
        return Side(now)
    return Side(now, touch.past, touch.news, touch.stamp_us)
