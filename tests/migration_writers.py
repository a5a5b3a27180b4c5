"""Applications that write while a migration goes on, each with a log of what was acknowledged.

A message's name stands in its content, so that it is known on either side, under whatever key. Each
writer has names of its own: the last write that was acknowledged to it is the one that has to hold.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from core.aws.codec import decode_item, encode_item
from core.memory.keys import user_date
from core.memory.routed_engine import RoutedEngine
from tests.migrating import Moving
from tests.waiting import until

APART_S = 3.0
"""Between writes of one message on different sides: closer ones nobody could put in order."""
_USERS = 5
_BEGIN_S = 1_750_000_000


@dataclass
class Log:
    """What was acknowledged last of each message: its content, or None once it was deleted."""

    last: dict[str, str | None] = field(default_factory=dict)
    writes: int = 0
    _versions: int = 0

    def version(self, name: str) -> str:
        """A content for a message that no other one had."""
        self._versions += 1
        return f"{name} v{self._versions}"

    def note(self, name: str, content: str | None) -> None:
        """It was acknowledged."""
        self.last[name] = content
        self.writes += 1


Step = Callable[["Writer"], None]


class Writer:
    """A thread that writes until it is told to stop."""

    def __init__(self, name: str, moving: Moving, step: Step, seed: int) -> None:
        self.name, self.moving, self.log = name, moving, Log()
        self.rng = random.Random(seed)
        self.user = f"user-{seed % _USERS}"
        self.engine: RoutedEngine | None = None
        self._step = step
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._going: Future[None] = Future()

    def start(self) -> None:
        """Begins to write."""
        self._going = self._pool.submit(self._run)

    def stop(self) -> None:
        """Ends, once the write that goes on is done."""
        self._stopped.set()
        wait([self._going], 60)
        assert self._going.done()
        self._pool.shutdown()

    @property
    def error(self) -> BaseException | None:
        """Why it ended before it was told to."""
        return self._going.exception() if self._going.done() else None

    def pause(self, seconds: float) -> None:
        """Waits, or until it is told to stop."""
        self._stopped.wait(seconds)

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop."""
        return self._stopped.is_set()

    def _run(self) -> None:
        with self.moving.quick_engine() as self.engine:
            while not self.stopped:
                self._step(self)
                self.pause(self.rng.uniform(0.1, 0.5))

    # The legacy table, by boto3 alone --------------------------------------------------------

    def put_legacy(self, key: str, content: str) -> None:
        """Puts or overwrites a legacy item; now and then it moves to another day or role."""
        when = _BEGIN_S + self.rng.randrange(3) * 86_400 + len(key)
        item = {
            "user_id": self.user,
            "sort_key": key,
            "timestamp": datetime.fromtimestamp(when, UTC).isoformat(),
            "session_id": self.name,
            "role": self.rng.choice(("user", "assistant")),
            "content": content,
        }
        self.moving.boto.put_item(TableName=self.moving.legacy, Item=encode_item(item))

    def delete_legacy(self, key: str) -> None:
        """Deletes a legacy item."""
        asked = encode_item({"user_id": self.user, "sort_key": key})
        self.moving.boto.delete_item(TableName=self.moving.legacy, Key=asked)


def straggler(writer: Writer) -> None:
    """Puts, overwrites and deletes in the legacy table, whichever engine is active."""
    key = f"{writer.name}/k{writer.rng.randrange(15)}"
    if writer.rng.random() < 0.25:
        writer.delete_legacy(key)
        writer.log.note(key, None)
        return
    content = writer.log.version(key)
    writer.put_legacy(key, content)
    writer.log.note(key, content)


def application(writer: Writer) -> None:
    """Saves by whichever engine is active; edits and deletes what it saved by the optimized one."""
    engine = writer.engine
    assert engine is not None
    places: dict[str, tuple[str, str]] = writer.__dict__.setdefault("places", {})
    if places and engine.active == "optimized" and writer.rng.random() < 0.4:
        _edit(writer, engine, places)
        return
    names = [f"{writer.name}/{writer.log.writes}-{role}" for role in ("user", "assistant")]
    texts = asked, answered = [writer.log.version(name) for name in names]
    saved = engine.save_interaction(asked, answered, writer.user, writer.name)
    for name, text, appended in zip(names, texts, saved.appended, strict=True):
        writer.log.note(name, text)
        if saved.engine == "optimized" and appended.place:
            places[name] = (appended.place, appended.message.message_id)


def _edit(writer: Writer, engine: RoutedEngine, places: dict[str, tuple[str, str]]) -> None:
    name = writer.rng.choice(sorted(places))
    place, message_id = places[name]
    if writer.rng.random() < 0.3:
        engine.optimized.forget_message(writer.user, message_id, wait=False)
        writer.log.note(name, None)
        del places[name]
        return
    content = writer.log.version(name)
    engine.optimized.memory.edit_message_optimized(writer.user, place, content)
    writer.log.note(name, content)


def side_changer(writer: Writer) -> None:
    """Writes the same messages on either side in turns, seconds apart."""
    engine = writer.engine
    assert engine is not None
    keys = [f"{writer.name}/k{number}" for number in range(6)]
    for key in keys:
        content = writer.log.version(key)
        writer.put_legacy(key, content)
        writer.log.note(key, content)
    writer.pause(APART_S)
    if writer.stopped or engine.active != "optimized":
        return
    for key in keys:
        head = _head(writer, key)
        if head is None or engine.active != "optimized":
            continue  # it is still on its way
        if writer.rng.random() < 0.3:
            engine.optimized.forget_message(writer.user, str(head["message_id"]), wait=False)
            writer.log.note(key, None)
            continue
        content = writer.log.version(key)
        engine.optimized.memory.edit_message_optimized(
            writer.user, str(head["timestamp_type"]), content
        )
        writer.log.note(key, content)
    writer.pause(APART_S)


def _head(writer: Writer, key: str) -> dict[str, Any] | None:
    """The message as it stands in the optimized history, once it shows the last write."""
    for day in range(3):
        partition = user_date(writer.user, (_BEGIN_S + day * 86_400) * 1_000_000)
        answer = writer.moving.boto.query(
            TableName=writer.moving.history,
            KeyConditionExpression="user_date = :d",
            ExpressionAttributeValues={":d": {"S": partition}},
            ConsistentRead=True,
        )
        for item in map(decode_item, answer["Items"]):
            if item.get("content") == writer.log.last[key]:
                return item
    return None


STEPS: Sequence[Step] = (
    *(straggler, straggler, straggler, straggler),
    *(application, application, application, side_changer),
)


@contextmanager
def writing(moving: Moving, seed: int) -> Iterator[list[Writer]]:
    """Eight writers that go on until the block ends; raises what one of them raised."""
    writers = [
        Writer(f"w{number}", moving, step, seed * 10 + number) for number, step in enumerate(STEPS)
    ]
    for writer in writers:
        writer.start()
    try:
        yield writers
    finally:
        for writer in writers:
            writer.stop()
    for writer in writers:
        if writer.error is not None:
            raise writer.error


def until_written(writers: Sequence[Writer], more: int) -> None:
    """Returns once all writers together have written so many times more."""
    begin = sum(writer.log.writes for writer in writers)
    until(
        lambda: any(w.error for w in writers) or sum(w.log.writes for w in writers) >= begin + more,
        most_s=120,
    )


def wrong(moving: Moving, writers: Sequence[Writer]) -> list[str]:
    """What of the writers' logs does not hold on either side."""
    wanted = {name: c for writer in writers for name, c in writer.log.last.items()}
    said = []
    for side, items in (("legacy", moving.items(moving.legacy)), ("optimized", moving.heads())):
        found: dict[str, list[str]] = {name: [] for name in wanted}
        for item in items:
            name = str(item.get("content", "")).partition(" v")[0]
            if name in found:
                found[name].append(str(item["content"]))
        said += [
            f"{side}: {name} is {found[name]}, not {content}"
            for name, content in wanted.items()
            if found[name] != ([] if content is None else [content])
        ]
    return said
