"""What a window of a stream shows of each message: where it may stand, and what was changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.aws.codec import WireItem, decode_item
from core.memory.items import LEAVING, from_item
from core.memory.model import Message
from core.migration.crossing import Key
from core.migration.transform import (
    SORT_KEY,
    UnmappableError,
    head_digest,
    legacy_sort_key,
    mapped,
)
from core.transfer.lines import Change

Digest = bytes | None
"""Of what stands at a place; None: nothing."""


@dataclass(frozen=True)
class Record:
    """One change of a message: where, what it found and left, when, and its versions.

    `marked`: it was deleted after a migration had marked it.
    """

    side: str
    key: Key
    place: str
    old: Digest
    new: Digest
    stamp_us: int
    versions: tuple[Message, ...]
    marked: bool


@dataclass
class Touch:
    """What a stream showed of a message.

    `versions` tell where it may stand. `olds` is what others' changes found, and `firsts` what
    the first of them found at each place; `lasts` is what the last change left at each, whoever
    made it. `stamp_us` is the time of the last change by others, 0 where there was none.
    """

    key: Key
    versions: set[tuple[str, int, str]]
    olds: set[Digest]
    firsts: dict[str, Digest]
    lasts: dict[str, Digest]
    stamp_us: int = 0

    def join(self, other: Touch) -> None:
        """Adds what came after."""
        self.versions |= other.versions
        self.olds |= other.olds
        self.lasts = {**self.lasts, **other.lasts}
        self.firsts = {**other.firsts, **self.firsts}
        self.stamp_us = max(self.stamp_us, other.stamp_us)

    @property
    def past(self) -> frozenset[Digest]:
        """What the other side may hold of what this one held before the last change by others.

        Nothing only if nothing was there at first: what others deleted in between and wrote again
        did not go across. A message that moved comes to one place and goes from another, in any
        order: that it was not at the one before does not mean that it was not there.
        """
        if not self.firsts:
            return frozenset()
        began_here = all(first is None for first in self.firsts.values())
        return frozenset(self.olds | ({None} if began_here else set()))

    @property
    def news(self) -> frozenset[Digest]:
        """What this side holds by what the stream showed: None only if nothing is left at all."""
        left: set[Digest] = {last for last in self.lasts.values() if last is not None}
        return frozenset(left or {None})


Touches = dict[Key, Touch]
IsEcho = Callable[[Record], bool]
"""Whether a record is of the migration's own."""


def legacy_record(change: Change) -> Record:
    """What a change of the legacy table says."""
    key = (change.keys["user_id"]["S"], change.keys[SORT_KEY]["S"])
    found = [_legacy_image(image) for image in (change.old, change.new)]
    versions = tuple(message for message, _ in found if message is not None)
    old, new = (digest for _, digest in found)
    return Record("legacy", key, "", old, new, change.written_us, versions, _is_marked(change))


def optimized_record(change: Change) -> Record | None:
    """What a change of the optimized history says; None where it is of no message's head."""
    heads = [image for image in (change.old, change.new) if image is not None and _is_head(image)]
    if not heads:
        return None
    messages = tuple(from_item({**decode_item(image), "content": ""}) for image in heads)
    key = (messages[-1].user_id, legacy_sort_key(messages[-1]))
    old, new = (
        head_digest(image) if image is not None and _is_head(image) else None
        for image in (change.old, change.new)
    )
    place = change.keys["user_date"]["S"] + change.keys["timestamp_type"]["S"]
    at_us = change.written_us
    return Record("optimized", key, place, old, new, at_us, messages, _is_marked(change))


def add(touches: Touches, record: Record | None, is_echo: IsEcho) -> None:
    """Adds a record to those before it."""
    if record is None:
        return
    versions = {(m.message_id, m.timestamp_us, m.role) for m in record.versions}
    touch = Touch(record.key, versions, set(), {}, {record.place: record.new})
    if not is_echo(record) and record.old != record.new:
        touch.olds = {record.old} - {None}
        touch.firsts = {record.place: record.old}
        touch.stamp_us = record.stamp_us
    if record.key in touches:
        touches[record.key].join(touch)
    else:
        touches[record.key] = touch


def _legacy_image(image: WireItem | None) -> tuple[Message | None, Digest]:
    if image is None:
        return None, None
    try:
        one = mapped(image)
    except UnmappableError:
        return None, None  # it never was copied
    return one.message, one.digest


def _is_marked(change: Change) -> bool:
    return change.new is None and LEAVING in (change.old or {})


def _is_head(image: WireItem) -> bool:
    kinds: Mapping[str, str] = {"timestamp": "N", "role": "S", "message_id": "S", "user_id": "S"}
    return all(kind in image.get(name, {}) for name, kind in kinds.items())
