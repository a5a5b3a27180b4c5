"""A world in memory where a migration's steps, writers and crashes happen in any order.

Everything is decided by one seed. The copiers, the follower and the writers take single steps, so
that one thread shows every order that many could; a crash strikes before any request of any of
them, and leaves what the tables hold.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.aws.capacity import TableSchema
from core.aws.codec import WireItem, decode_item, encode_item
from core.aws.requests import Key
from core.aws.table import Written
from core.errors import ConditionFailedError
from core.llm.hashing import HashingEmbedder
from core.memory.legacy_items import iso_text
from core.memory.model import Message
from core.memory.parts import Options, Parts, Tables
from core.memory.schema import embeddings_schema, history_schema, legacy_history_schema
from core.memory.store import ConversationStore
from core.migration.copying import Copier
from core.migration.crossing import Crossing
from core.migration.failures import DeadLetters
from core.migration.following import Feed, Follower
from core.migration.journal import Journal
from core.migration.legacy import LegacyPage, LegacySide
from core.migration.merging import Engine
from core.migration.optimized import OptimizedSide
from core.migration.transform import head_digest, legacy_sort_key, mapped
from core.testing.clock import CountingIds, FakeClock
from core.testing.table import FakeTable
from core.transfer.lines import Change
from core.transfer.streams import Fold, StreamPosition

SEGMENTS = 2
USERS = ("ann", "b#b%")
ROLES = ("user", "assistant")
SIDES = ("legacy", "optimized")
_DAY_US = 86_400_000_000
_ANEW_S = 20
_BEGIN_US = 1_750_000_000_000_000


class CrashError(BaseException):
    """The process is gone."""


class LoggedTable(FakeTable):
    """A table with a stream."""

    def __init__(
        self, schema: TableSchema, clock: FakeClock, before_call: Callable[[str], None]
    ) -> None:
        super().__init__(schema, before_call=before_call)
        self._clock = clock
        self.log: list[Change] = []

    def _store(self, place: tuple[Any, ...], after: dict[str, Any] | None) -> Written:
        written = super()._store(place, after)
        key: Key = dict(zip(self.schema.keys, place, strict=True))
        if written.before != written.after:
            self.log.append(
                Change(
                    encode_item(key),
                    encode_item(written.before) if written.before else None,
                    after,
                    int(self._clock.time()) * 1_000_000,
                )
            )
        return written


@dataclass
class LogFeed:
    """A table's log, read as a stream is."""

    table: LoggedTable
    clock: FakeClock

    def position(self) -> StreamPosition:
        """Where it stands; as of a shard without records, nothing is known but the second."""
        return StreamPosition("arn", int(self.clock.time()), {})

    def next_second(self) -> int:
        """The next second."""
        return int(self.clock.time()) + 1

    def read(self, position: StreamPosition, until_s: int, fold: Fold) -> StreamPosition:
        """Waits for that second, then hands on what came before it."""
        self.clock.advance(max(0.0, until_s - self.clock.time()))
        begin = int(position.shards.get("s") or 0)
        end = begin
        for change in self.table.log[begin:]:
            if change.written_us >= until_s * 1_000_000:
                break
            if change.written_us >= position.since_s * 1_000_000:
                fold(change)
            end += 1
        return StreamPosition(position.arn, until_s, {"s": str(end)})


@dataclass(frozen=True)
class Wrote:
    """The last write of a message: by which side's application, when, and what (None: deleted)."""

    side: str
    at_s: int
    content: str | None


@dataclass
class World:
    """Tables, writers, and one migration that is begun again after each crash."""

    seed: int
    follower_class: type[Follower] = Follower
    crash_rate: float = 0.004
    rng: random.Random = field(init=False)
    clock: FakeClock = field(init=False)
    truth: dict[tuple[str, str], Wrote] = field(default_factory=dict)
    crashes: int = 0
    texts: int = 0
    gone: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.clock = FakeClock(_BEGIN_US / 1_000_000 + _DAY_US / 1_000_000 * 30)
        self.armed = False
        self._before = ""
        self.legacy = LoggedTable(legacy_history_schema("t"), self.clock, self._maybe_crash)
        self.history = LoggedTable(history_schema("t"), self.clock, self._maybe_crash)
        self.embeddings = FakeTable(embeddings_schema("t"), before_call=self._maybe_crash)
        self.operations = FakeTable(
            TableSchema("t-operations", "pk", "sk"), before_call=self._maybe_crash
        )
        self.feeds: dict[str, LogFeed] = {
            "legacy": LogFeed(self.legacy, self.clock),
            "optimized": LogFeed(self.history, self.clock),
        }
        self.both = False
        self.leading: Engine = "legacy"
        self.parts = self._parts()

    def _parts(self) -> Parts:
        tables = Tables(self.history, self.embeddings, (self.legacy,))
        options = Options(index_memory_bytes=1 << 20)
        return Parts(tables, HashingEmbedder(64), options, self.clock, CountingIds())

    def _maybe_crash(self, operation: str) -> None:
        # Between a mark and the deletion that it is for nobody dies: that an application deletes
        # the same message within seconds of just that is the one thing that no stream tells.
        marked, self._before = self._before == "update", operation
        if self.armed and not marked and self.rng.random() < self.crash_rate:
            raise CrashError

    # What the applications do.

    def write_legacy(self) -> None:
        """One write of an application of the legacy engine."""
        key = (self.rng.choice(USERS), f"k{self.rng.randrange(6)}")
        gone = self.rng.random() < 0.25
        content = None if gone else f"text {self._next()}"
        item = {"user_id": key[0], "sort_key": key[1]}
        if gone and self.legacy.get(item).item is None:
            return  # nothing is changed by it, so no stream shows it
        if not self._may_write(key, "legacy", content):
            return
        if gone:
            self.legacy.delete(item)
            return
        when_us = _BEGIN_US + self.rng.randrange(3) * _DAY_US // 2
        self.legacy.put(
            {
                **item,
                "timestamp": iso_text(when_us),
                "role": self.rng.choice(ROLES),
                "session_id": "s",
                "content": content,
                "mood": self.rng.randrange(5),
            }
        )

    def write_optimized(self) -> None:
        """One write of an application of the optimized engine."""
        heads = [h for h in self.history.all_items() if "content" in h]
        if not heads or self.rng.random() < 0.4:
            self._say()
            return
        head = self.rng.choice(sorted(heads, key=lambda h: (h["user_date"], h["timestamp_type"])))
        message = Message(
            head["user_id"],
            head["session_id"],
            head["message_id"],
            int(head["timestamp"]),
            head["role"],
            content := f"edited {self._next()}",
            extra={"sort_key": head["sort_key"]} if "sort_key" in head else {},
        )
        gone = self.rng.random() < 0.3
        key = (message.user_id, legacy_sort_key(message))
        if not self._may_write(key, "optimized", None if gone else content):
            return
        if gone:
            self.history.delete({n: head[n] for n in ("user_date", "timestamp_type")})
            return
        with ConversationStore(self.history, self.clock, workers=1) as store:
            store.replace(head["timestamp_type"], message)

    def _say(self) -> None:
        with ConversationStore(self.history, self.clock, workers=1) as store:
            number = self.rng.randrange(10**9)
            when_us = int(self.clock.time() * 1_000_000)
            user = self.rng.choice(USERS)
            message = Message(user, "new", f"id{number}", when_us, "user", f"said {number}")
            self._may_write((user, legacy_sort_key(message)), "optimized", message.content)
            store.append(message)

    def _next(self) -> int:
        """No text twice: a write that changes nothing is shown by no stream."""
        self.texts += 1
        return self.texts

    def _may_write(self, key: tuple[str, str], side: str, content: str | None) -> bool:
        """Two sides write one message in different seconds: else nobody could say which is later.

        Nor does a side that deleted a message make it anew at once and delete it again: for who
        looks before and after, that is as if nothing had happened.
        """
        now_s = int(self.clock.time())
        last = self.truth.get(key)
        if last is not None and last.side != side and last.at_s >= now_s:
            return False
        gone_s = self.gone.get((*key, side), 0)
        if now_s - gone_s < _ANEW_S:
            return False
        if content is None:
            self.gone[*key, side] = now_s
        self.truth[key] = Wrote(side, now_s, content)
        return True

    # What the migration does.

    def begin(self) -> None:
        """Notes where the streams stand."""
        positions = {side: feed.position() for side, feed in self.feeds.items()}
        Journal(self.operations).save_positions(positions)

    def process(self) -> tuple[list[Iterator[str]], Follower]:
        """The copiers and the follower of a new process."""
        crossing, journal = Crossing(), Journal(self.operations)
        # A killed process takes what it knew of the index along.
        self.parts.close()
        self.parts = self._parts()
        failures = DeadLetters(journal, None, 0)
        optimized = OptimizedSide(self.parts, self._insert, again=self.crashes > 0)
        legacy = LegacySide(self.legacy, self._page, self.clock)
        copier = Copier(
            legacy, optimized, crossing, journal, failures, self.clock, SEGMENTS, live=False
        )
        sides = SIDES if self.both else ("legacy",)
        feeds: Mapping[str, Feed] = {side: self.feeds[side] for side in sides}
        positions = {side: p for side in sides if (p := journal.position(side)) is not None}
        follower = self.follower_class(
            legacy, optimized, crossing, journal, failures, self.clock, feeds, positions,
            self.leading,
        )  # fmt: skip
        return [copier.steps(number) for number in range(SEGMENTS)], follower

    def _insert(self, items: Sequence[WireItem]) -> list[WireItem]:
        return [item for item in items if not self.history.put_new(decode_item(item)).new]

    def _page(self, segment: int, segments: int, start: WireItem | None) -> LegacyPage:
        self._maybe_crash("scan")
        mine = [i for i in self.legacy.all_items() if _segment(i, segments) == segment]
        mine.sort(key=_order)
        if start is not None:
            after = _order(decode_item(start))
            mine = [item for item in mine if _order(item) > after]
        page = mine[: self.rng.randint(1, 3)]
        keys = {n: page[-1][n] for n in ("user_id", "sort_key")} if len(page) < len(mine) else None
        return LegacyPage([encode_item(i) for i in page], encode_item(keys) if keys else None)

    # What has to hold.

    def differences(self) -> list[str]:
        """Which messages are not the same on both sides, or stand twice."""
        wanted = {
            (str(i["user_id"]), str(i["sort_key"])): mapped(encode_item(i)).digest
            for i in self.legacy.all_items()
        }
        found: dict[tuple[str, str], bytes] = {}
        contents: dict[tuple[str, str], str] = {}
        said = []
        for head in self.history.all_items():
            extra = {"sort_key": head["sort_key"]} if "sort_key" in head else {}
            message = Message(
                head["user_id"], "", head["message_id"], int(head["timestamp"]), "", "", extra=extra
            )
            key = (message.user_id, legacy_sort_key(message))
            if key in found:
                said.append(f"{key} stands twice")
            found[key] = head_digest(encode_item(head))
            contents[key] = head["content"]
        said += [f"{key} is missing" for key in wanted.keys() - found.keys()]
        said += [f"{key} is too much" for key in found.keys() - wanted.keys()]
        said += [
            f"{key} differs" for key in wanted.keys() & found.keys() if wanted[key] != found[key]
        ]
        for key, wrote in self.truth.items():
            if contents.get(key) != wrote.content:
                said.append(f"{key} is {contents.get(key)!r}, though last {wrote}")
        return said


def _segment(item: Mapping[str, Any], segments: int) -> int:
    return zlib.crc32(str(item["user_id"]).encode()) % segments


def _order(item: Mapping[str, Any]) -> tuple[int, str, str]:
    user = str(item["user_id"])
    return zlib.crc32(user.encode()), user, str(item["sort_key"])


def run(world: World, writes: int = 25) -> list[str]:
    """Copies while writers write and processes die; then catches up. Says what differs."""
    for _ in range(12):
        world.write_legacy()
        world.clock.advance(world.rng.random() * 2)
    world.begin()
    drive(world, world.write_legacy, writes)
    return world.differences()


def run_over_and_back(world: World) -> list[str]:
    """As `run`, then both sides are written, as around a cut-over and a rollback."""
    said = run(world, 8)
    feed = world.feeds["optimized"]
    Journal(world.operations).save_positions({"optimized": feed.position()})
    for leading in ("optimized", "legacy"):
        world.both, world.leading = True, leading
        drive(world, lambda: world.rng.choice((world.write_legacy, world.write_optimized))(), 20)
        said += [f"{leading} leads: {one}" for one in world.differences()]
    return said


def drive(world: World, write: Callable[[], None], writes: int) -> None:
    """Lets all of them take steps in any order, until nobody has anything left to do."""
    copying, follower = world.process()
    following: Iterator[str] | None = None
    quiet = 0
    while quiet < 3:
        actors = ["follow", *(["write"] if writes else []), *(["copy"] if copying else [])]
        actor = world.rng.choice(actors)
        try:
            if actor == "write":
                writes -= 1
                world.clock.advance(world.rng.choice((0.0, 0.3, 1.5)))
                write()
                continue
            world.armed = True
            if actor == "copy":
                one = world.rng.choice(copying)
                if next(one, None) is None:
                    copying.remove(one)
                continue
            following = following or follower.steps()
            if next(following, None) is None:
                following = None
                # Windows in which nothing more can come.
                quiet += not writes and not copying and follower.is_settled
        except CrashError:
            world.crashes += 1
            world.armed = False
            copying, follower = world.process()
            following, quiet = None, 0
        except ConditionFailedError as error:
            raise AssertionError(f"seed {world.seed}: {error.what}") from error
        finally:
            world.armed = False
