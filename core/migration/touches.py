"""What a window of a stream shows of each message: where it may stand, and what it was before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.aws.codec import WireItem, decode_item
from core.memory.items import from_item
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


@dataclass
class Touch:
    """A message that changed, by its legacy key.

    `versions` are its images, without their contents; `base` is the digest of the first one
    before (None: it was not there), `stamp_us` the time of the last change.
    """

    key: Key
    base: bytes | None
    stamp_us: int
    versions: list[Message] = field(default_factory=list)

    def join(self, other: Touch) -> None:
        """Adds what came after."""
        self.versions += [m for m in other.versions if m not in self.versions]
        self.stamp_us = max(self.stamp_us, other.stamp_us)
        # Of a message that moved, one record shows it come and another one gone, in any order.
        self.base = self.base or other.base


Touches = dict[Key, Touch]


def touch_legacy(change: Change) -> Touch:
    """What a change of the legacy table touches."""
    key = (change.keys["user_id"]["S"], change.keys[SORT_KEY]["S"])
    touch = Touch(key, None, change.written_us)
    for image in (change.old, change.new):
        if image is None:
            continue
        try:
            one = mapped(image)
        except UnmappableError:
            continue  # it never was copied
        touch.versions.append(_brief(one.message))
        if image is change.old:
            touch.base = one.digest
    return touch


def touch_optimized(change: Change) -> Touch | None:
    """What a change of the optimized history touches; None where it is no message's head."""
    heads = [image for image in (change.old, change.new) if image is not None and _is_head(image)]
    if not heads:
        return None
    messages = [from_item({**decode_item(image), "content": ""}) for image in heads]
    key = (messages[-1].user_id, legacy_sort_key(messages[-1]))
    base = head_digest(change.old) if change.old is not None and _is_head(change.old) else None
    return Touch(key, base, change.written_us, [_brief(m) for m in messages])


def add(touches: Touches, touch: Touch | None) -> None:
    """Adds a touch to those before it."""
    if touch is None:
        return
    if touch.key in touches:
        touches[touch.key].join(touch)
    else:
        touches[touch.key] = touch


def _brief(message: Message) -> Message:
    return Message(message.user_id, "", message.message_id, message.timestamp_us, message.role, "")


def _is_head(image: WireItem) -> bool:
    kinds: Mapping[str, str] = {"timestamp": "N", "role": "S", "message_id": "S", "user_id": "S"}
    return all(kind in image.get(name, {}) for name, kind in kinds.items())
