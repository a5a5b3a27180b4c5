"""What a legacy table holds, counted item by item in memory that does not grow with it."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.aws.capacity import WRITE_UNIT_BYTES, TableSchema, all_index_units, item_size
from core.aws.codec import WireItem, decode, encode_item
from core.memory.index.items import MessageItems
from core.memory.index.rows import Indexed
from core.memory.model import shorten
from core.memory.tokens import estimate_tokens
from core.migration.transform import (
    SORT_KEY,
    Mapped,
    UnmappableError,
    is_expired,
    mapped,
    places_of,
)

KNOWN = frozenset(
    ("user_id", SORT_KEY, "timestamp", "session_id", "role", "content", "tokens", "metadata")
) | {"archived", "ttl", "embedding"}
"""The attributes that a legacy item has by its own documentation."""
SAMPLES = 3
EXAMPLES = 5
_NAMES = 100
_REASONS = 50
_PRICED_EVERY = 16
_SHOWN_CHARS = 60
_QUOTED = re.compile(r"'[^']*'|\d+")


class Distinct:
    """How many different things were seen, and how many came again.

    Exact up to `most`; beyond, only things whose hash ends in so many zero bits are kept (Wegman's
    adaptive sampling, in P. Flajolet, "On adaptive sampling", Computing 43, 1990), and both are
    estimates: of 16,384 kept, within 1%.
    """

    def __init__(self, most: int = 32_768) -> None:
        self._most = most
        self._bits = 0
        self._seen: dict[int, int] = {}

    def add(self, *what: object) -> None:
        """Sees a thing."""
        text = "\0".join(map(str, what)).encode("utf-8", "surrogatepass")
        key = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
        if key & ((1 << self._bits) - 1):
            return
        self._seen[key] = self._seen.get(key, 0) + 1
        while len(self._seen) > self._most:
            self._bits += 1
            mask = (1 << self._bits) - 1
            self._seen = {key: n for key, n in self._seen.items() if not key & mask}

    @property
    def is_exact(self) -> bool:
        """Whether all of them are counted."""
        return self._bits == 0

    @property
    def count(self) -> int:
        """How many different ones there were."""
        return len(self._seen) << self._bits

    @property
    def again(self) -> int:
        """How many were none of the first of their kind."""
        return sum(n - 1 for n in self._seen.values()) << self._bits


@dataclass(frozen=True)
class Unmapped:
    """Items that have no place in the optimized layout: why, how many, and the first keys."""

    reason: str
    count: int
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class SideBySide:
    """An item as it is, and the head that it becomes; what is long is shortened."""

    legacy: Mapping[str, str]
    head: Mapping[str, str]


@dataclass
class Counts:
    """What was counted of items. `vectors` are those found inline, by their length."""

    items: int = 0
    bytes: int = 0
    expired: int = 0
    messages: int = 0
    undated: int = 0
    without_session: int = 0
    vectors: Counter[int] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    compressed: int = 0
    split: int = 0
    unmapped: int = 0
    tokens_without_vector: int = 0
    without_vector: int = 0
    priced: int = 0
    head_units: float = 0.0
    index_units: float = 0.0
    head_bytes: int = 0
    index_bytes: int = 0


class Survey:
    """Counts items. For one thread."""

    def __init__(
        self, items: MessageItems, history: TableSchema, embeddings: TableSchema, dimensions: int
    ) -> None:
        """`items` makes what of a message stands in the index, with vectors of `dimensions`."""
        self.counts = Counts()
        self.users = Distinct()
        self.samples: list[SideBySide] = []
        self._collided = Distinct()
        self._items, self._schemas = items, (history, embeddings)
        self._vector = np.ones(dimensions, np.float32)
        self._reasons: dict[str, tuple[str, int, list[tuple[str, str]]]] = {}

    @property
    def collisions(self) -> int:
        """How many messages have the user, time and role of another one."""
        return self._collided.again

    @property
    def unmapped(self) -> tuple[Unmapped, ...]:
        """What can't be mapped, by reason, the commonest first."""
        found = [Unmapped(why, n, tuple(keys)) for why, n, keys in self._reasons.values()]
        return tuple(sorted(found, key=lambda one: -one.count))

    def add(self, item: WireItem, now_s: float) -> None:
        """Counts an item."""
        counts = self.counts
        counts.items += 1
        counts.bytes += item_size(item)
        self.users.add(item["user_id"]["S"])
        if is_expired(item, now_s):
            counts.expired += 1
            return
        self._count_unknown(item)
        try:
            one = mapped(item)
        except UnmappableError as error:
            self._refused(item, error)
            return
        self._message(item, one)

    def _count_unknown(self, item: WireItem) -> None:
        unknown = self.counts.unknown
        for name in item.keys() - KNOWN:
            if name in unknown or len(unknown) < _NAMES:
                unknown[name] += 1
            else:
                unknown["…"] += 1

    def _refused(self, item: WireItem, error: UnmappableError) -> None:
        self.counts.unmapped += 1
        kind = _QUOTED.sub("…", error.what)
        if kind not in self._reasons and len(self._reasons) >= _REASONS:
            kind = "…"
        reason, count, examples = self._reasons.get(kind, (error.what, 0, []))
        if len(examples) < EXAMPLES:
            examples.append((item["user_id"]["S"], item[SORT_KEY]["S"]))
        self._reasons[kind] = (reason, count + 1, examples)

    def _message(self, item: WireItem, one: Mapped) -> None:
        counts, message, stored = self.counts, one.message, one.stored
        counts.messages += 1
        counts.undated += message.timestamp_us == 0 and message.metadata.get("undated") is True
        counts.without_session += "S" not in item.get("session_id", {})
        counts.compressed += "content_z" in stored.head
        counts.split += bool(stored.parts)
        if one.vector is not None:
            counts.vectors[one.vector.size] += 1
        if one.vector is None or one.vector.size != self._vector.size:
            counts.without_vector += 1
            counts.tokens_without_vector += estimate_tokens(message.content)
        self._collided.add(message.user_id, message.timestamp_us, message.role)
        # What many cost is known from a few.
        if counts.messages <= _PRICED_EVERY or counts.messages % _PRICED_EVERY == 0:
            self._price(one)
        if len(self.samples) < SAMPLES and counts.messages % 7 == 1:
            self.samples.append(SideBySide(_shown(item), _shown(encode_item(_placed(one)))))

    def _price(self, one: Mapped) -> None:
        counts, (history, embeddings) = self.counts, self._schemas
        head = encode_item(_placed(one))
        others = [*one.stored.parts, *([one.stored.note] if one.stored.note else [])]
        wired = [head, *map(encode_item, others)]
        place = str(head["timestamp_type"]["S"])
        vector = self._items.item(Indexed(one.message, place, self._vector))
        entry = encode_item(vector)
        counts.priced += 1
        counts.head_units += sum(map(_units, wired)) + all_index_units(None, head, history)
        counts.index_units += _units(entry) + all_index_units(None, entry, embeddings)
        counts.head_bytes += sum(map(item_size, wired))
        counts.index_bytes += item_size(entry)


def _placed(one: Mapped) -> dict[str, Any]:
    message = one.message
    places = places_of(message.user_id, message.timestamp_us, message.role, message.message_id)[1]
    return {**one.stored.head, "timestamp_type": places[0]}


def _units(item: WireItem) -> float:
    return float(-(-item_size(item) // WRITE_UNIT_BYTES))


def _shown(item: WireItem) -> dict[str, str]:
    return {name: _value_shown(name, item[name]) for name in sorted(item)}


def _value_shown(name: str, value: Mapping[str, Any]) -> str:
    if name == "embedding" and "L" in value:
        return f"[{len(value['L'])} numbers]"
    found = decode(value)
    if isinstance(found, bytes):
        return f"[{len(found)} bytes]"
    return shorten(str(found), _SHOWN_CHARS)
