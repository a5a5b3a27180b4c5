"""Both sides read as a whole, and held against each other, in memory that does not grow."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from core.aws.codec import WireItem, decode_item
from core.clock import Clock
from core.errors import DamagedError
from core.memory.index.known import TEXT_CHARACTERS
from core.memory.items import from_item
from core.memory.keys import day_of, decoded
from core.memory.model import Message, content_hash
from core.migration.ledger import Ledger
from core.migration.transform import (
    UnmappableError,
    head_digest,
    is_expired,
    legacy_sort_key,
    mapped,
    places_of,
)
from core.transfer.digests import Digests, compare
from core.transfer.lines import DIGEST_BYTES
from core.transfer.scanning import ScanPage

MOST_NAMED = 10_000
"""So many messages of each kind are looked up by name; more than that is another matter."""
_MISPLACED = b"misplaced"
_DAMAGED = b"damaged"

Pages = Callable[[int], Iterator[ScanPage]]
"""The pages of a segment of a table."""


@dataclass(frozen=True)
class Read:
    """A message as one side has it: its name, its digest, its key, its time and role if known.

    `text` is the digest of its text as it stands beside its vector.
    """

    user_id: str
    message_id: str
    sort_key: str
    day: str
    digest: bytes
    key: tuple[str, str]
    time: tuple[int, str] | None = None
    text: bytes = bytes(DIGEST_BYTES)

    @property
    def name(self) -> bytes:
        """16 bytes that name it on both sides."""
        return name_of(self.user_id, self.message_id)


@dataclass(frozen=True)
class Differing:
    """The names of messages that differ, by how."""

    missing: frozenset[bytes]
    extra: frozenset[bytes]
    changed: frozenset[bytes]
    twice: frozenset[bytes]
    vectors: frozenset[bytes]

    @property
    def names(self) -> frozenset[bytes]:
        """All messages that differ."""
        return self.missing | self.extra | self.changed | self.twice


def name_of(*parts: str) -> bytes:
    """16 bytes that stand for these texts."""
    text = "\0".join(part.replace("\\", "\\\\").replace("\0", "\\0") for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()


class Comparison(AbstractContextManager["Comparison"]):
    """What was read of both sides. Its reading is thread-safe. Close it when done."""

    def __init__(self, folder: Path, clock: Clock, generation: str = "") -> None:
        """What does not fit into memory goes to `folder`; the vectors are a generation's."""
        self._clock, self._generation = clock, generation
        self.ledger = Ledger()
        self._legacy = Digests(folder)
        self._optimized = Digests(folder)
        self._heads = Digests(folder)
        self._vectors = Digests(folder)
        self.expired = 0
        self.large: list[tuple[str, str]] = []

    def __exit__(self, *_: object) -> None:
        self.ledger.__exit__()
        for digests in (self._legacy, self._optimized, self._heads, self._vectors):
            digests.close()

    def read_legacy(self, pages: Iterator[ScanPage]) -> None:
        """Reads a segment of the legacy table."""
        for page in pages:
            found = [one for item in page.items if (one := self.legacy_read(item)) is not None]
            for one in found:
                self._legacy.add(one.name, one.digest)
            self.ledger.add("legacy", ((one.user_id, one.day, one.digest) for one in found))

    def read_optimized(self, pages: Iterator[ScanPage]) -> None:
        """Reads a segment of the optimized history."""
        for page in pages:
            found = [one for item in page.items if (one := self.optimized_read(item)) is not None]
            heads = (i for i in page.items if "content_parts" in i and "timestamp" in i)
            self.large += [(i["user_date"]["S"], i["timestamp_type"]["S"]) for i in heads]
            for one in found:
                self._optimized.add(one.name, one.digest)
                self._heads.add(name_of(one.user_id, one.key[1]), one.text)
            self.ledger.add("optimized", ((one.user_id, one.day, one.digest) for one in found))

    def read_vectors(self, pages: Iterator[ScanPage]) -> None:
        """Reads a segment of the embeddings: which messages stand there, by user and place."""
        for page in pages:
            for item in page.items:
                owner = vector_owner(item, self._clock.time(), self._generation)
                if owner is not None:
                    text = str(item.get("content", {}).get("S", ""))
                    self._vectors.add(name_of(*owner), text_digest(text))

    def differing(self) -> Differing:
        """The messages that differ, once both sides are read."""
        found = compare(self._legacy, self._optimized, MOST_NAMED)
        vectors = compare(self._heads, self._vectors, MOST_NAMED)
        # The text of one in parts was not read along: it is looked at by itself.
        texts = set(vectors.different_keys) - {name_of(*owner) for owner in self.large_owners()}
        return Differing(
            frozenset(found.missing_keys),
            frozenset(found.extra_keys),
            frozenset(found.different_keys),
            frozenset(key for key, _, _ in self._optimized.duplicates()),
            frozenset((*vectors.missing_keys, *vectors.extra_keys, *texts)),
        )

    def large_owners(self) -> set[tuple[str, str]]:
        """User and place of the messages in parts."""
        return {(decoded(day.rpartition("#")[0]), place) for day, place in self.large}

    def legacy_read(self, item: WireItem) -> Read | None:
        """A legacy item as it is compared; None where it is left behind or can't be mapped."""
        if is_expired(item, self._clock.time()):
            self.expired += 1
            return None
        try:
            one = mapped(item)
        except UnmappableError:
            return None
        key = (item["user_id"]["S"], item["sort_key"]["S"])
        return _read(one.message, one.digest, key)

    def optimized_read(self, item: WireItem) -> Read | None:
        """An item of the optimized history as it is compared; None where it is no living head."""
        if "timestamp" not in item or "part" in item or is_expired(item, self._clock.time()):
            return None
        head = decode_item(item)
        key = (str(head["user_date"]), str(head["timestamp_type"]))
        try:
            message = _message(head)
        except (KeyError, TypeError, ValueError, DamagedError):
            return _unreadable(item, key)
        day, places = places_of(
            message.user_id, message.timestamp_us, message.role, message.message_id
        )
        if key[0] != day or key[1] not in places:
            return _read(message, _mixed(head_digest(item), _MISPLACED), key)
        if "content" in item and content_hash(message.content) != head.get("content_hash"):
            return _read(message, _mixed(head_digest(item), _DAMAGED), key)
        return _read(message, head_digest(item), key)


def vector_owner(
    item: Mapping[str, Mapping[str, str]], now_s: float, generation: str = ""
) -> tuple[str, str] | None:
    """The user and the place of a message's item among a generation's vectors; None: another."""
    partition, place = item["user_chunk"]["S"], item["embedding_id"]["S"]
    user, _, rest = partition.rpartition("#")
    chunk, _, of = rest.partition("~")
    if of != generation or chunk == "segments":
        return None
    if not place[:1].isdecimal() or is_expired(item, now_s):
        return None
    return decoded(user), place


def text_digest(content: str) -> bytes:
    """16 bytes that stand for what of a content is kept beside its vector."""
    kept = content[:TEXT_CHARACTERS].encode()
    return hashlib.blake2b(kept, digest_size=DIGEST_BYTES).digest()


def _message(head: Mapping[str, object]) -> Message:
    if "content_parts" in head:
        return from_item({**head, "content": ""})
    return from_item(head)


def _read(message: Message, digest: bytes, key: tuple[str, str]) -> Read:
    return Read(
        message.user_id,
        message.message_id,
        legacy_sort_key(message),
        day_of(message.timestamp_us),
        digest,
        key,
        (message.timestamp_us, message.role),
        text_digest(message.content),
    )


def _unreadable(item: WireItem, key: tuple[str, str]) -> Read:
    user = str(item.get("user_id", {}).get("S") or decoded(key[0].rpartition("#")[0]))
    message_id = str(item.get("message_id", {}).get("S") or key[1])
    sort_key = str(item.get("sort_key", {}).get("S") or message_id)
    digest = _mixed(head_digest(item), _DAMAGED)
    return Read(user, message_id, sort_key, key[0].rpartition("#")[2], digest, key)


def _mixed(digest: bytes, word: bytes) -> bytes:
    return hashlib.blake2b(digest + word, digest_size=DIGEST_BYTES).digest()
