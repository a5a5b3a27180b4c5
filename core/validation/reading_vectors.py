"""Items of the embeddings table as validation sees them: vectors, and the index's entries. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import DamagedError
from core.memory.chunks import chunk_of
from core.memory.index.block import NEVER, Block
from core.memory.index.packing import unpack_block, unpack_postings
from core.memory.index.partition import BEGUN, LOG, TERMS
from core.memory.keys import LATEST_US, SORT_KEY_BYTES
from core.memory.scope import time_of_place
from core.memory.vectors import unpack
from core.validation.reading import Odd, about_hash, hash63, is_seconds, key_user, text_hash

VECTOR_ATTRIBUTES = frozenset(
    (
        *("user_chunk", "embedding_id", "user_id", "session_id", "message_id", "timestamp", "role"),
        *("content", "characters", "ttl", "vector_compressed", "similarity_hash", "model"),
        *("dimensions", "rows", "terms", "token", "metadata"),
    )
)
_CHUNK = re.compile(r"[0-9]{2}")
_RUN = re.compile(r"L#[0-9]{16}#[esx].*")
_TERMS = re.compile(r"T#[0-9]{16}#s.*")
_SIMILARITY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class VectorSeen:
    """A message's vector and text. `kinds` are wrong with it by itself.

    `about` and `text` as a head's; None where they can't be known. `at_home` tells whether it
    stands where it is looked for.
    """

    user: str
    place: str
    kinds: frozenset[str]
    about: int | None = None
    text: int | None = None
    ttl: int = 0
    has_vector: bool = False
    at_home: bool = True


@dataclass(frozen=True)
class Row:
    """A row of the index: what it shows of the message at a place, or that it is gone."""

    place: str
    session: int
    ttl: int
    removed: bool


@dataclass(frozen=True)
class RunSeen:
    """A run of the index's log; `needs_terms`: its words stand in an item of their own."""

    user: str
    key: str
    rows: tuple[Row, ...]
    needs_terms: bool


@dataclass(frozen=True)
class TermsSeen:
    """The words of the segment at `key`."""

    user: str
    key: str


@dataclass(frozen=True)
class Begun:
    """The token of an index."""

    user: str


EmbeddingsSeen = VectorSeen | RunSeen | TermsSeen | Begun | Odd


def read_embeddings(item: Mapping[str, Any]) -> EmbeddingsSeen:
    """What an item of the embeddings table is, whatever it holds."""
    partition, key = item.get("user_chunk"), item.get("embedding_id")
    if not isinstance(partition, str) or not isinstance(key, str):
        return Odd("unknown_item")
    name, _, rest = partition.partition("#")
    user = key_user(name)
    if user is None:
        return Odd("unknown_item")
    if rest == "segments":
        return _entry(user, key, item)
    if not _CHUNK.fullmatch(rest):
        return Odd("unknown_item")
    return _vector(user, int(rest), key, item)


def rows_of_block(block: Block, run_key: str) -> Iterator[Row]:
    """The rows of a run."""
    sessions = [hash63(session) for session in block.sessions]
    removal = run_key.rsplit("#", 1)[1].startswith("x")
    for n in range(len(block)):
        expires = int(block.expires[n])
        yield Row(
            block.place(n),
            sessions[int(block.session_of[n])],
            0 if expires == NEVER else expires,
            removal or bool(block.removed[n]),
        )


def place_is_sound(place: str) -> bool:
    """Whether a message can stand at a sort key at all."""
    return (
        "#" in place
        and place.split("#", 1)[0].isascii()
        and place[:16].isdecimal()
        and place[16:17] == "#"
        and 0 <= time_of_place(place) <= LATEST_US
        and len(place.encode()) <= SORT_KEY_BYTES
    )


def _entry(user: str, key: str, item: Mapping[str, Any]) -> EmbeddingsSeen:
    if key == BEGUN:
        return Begun(user) if isinstance(item.get("token"), str) else Odd("damaged_entry")
    try:
        if _TERMS.fullmatch(key):
            unpack_postings(_binary(item, "terms"))
            return TermsSeen(user, LOG + key.removeprefix(TERMS))
        if not _RUN.fullmatch(key):
            return Odd("unknown_item")
        block = unpack_block(_binary(item, "rows"))
        if "terms" in item and unpack_postings(_binary(item, "terms"))[1] != len(block):
            return Odd("damaged_entry")
    except DamagedError:
        return Odd("damaged_entry")
    return RunSeen(user, key, tuple(rows_of_block(block, key)), "terms" not in item)


def _binary(item: Mapping[str, Any], name: str) -> bytes:
    value = item.get(name)
    if not isinstance(value, bytes):
        raise DamagedError(f"An entry of the index has no bytes under '{name}'.")
    return value


def _vector(user: str, chunk: int, place: str, item: Mapping[str, Any]) -> VectorSeen:
    wrong = set()
    if chunk_of(place) != chunk:
        wrong.add("misplaced_vector")
    if item.get("user_id") != user:
        wrong.add("foreign_vector" if isinstance(item.get("user_id"), str) else "damaged_vector")
    if not _is_typed(item) or not _holds_its_vector(item):
        wrong.add("damaged_vector")
    expiry = item.get("ttl")
    seen = VectorSeen(
        user,
        place,
        frozenset(wrong),
        ttl=int(expiry or 0) if is_seconds(expiry) else 0,
        has_vector="vector_compressed" in item,
        at_home=chunk_of(place) == chunk,
    )
    if wrong:
        return seen
    about = about_hash(
        user,
        str(item["session_id"]),
        str(item["message_id"]),
        int(item["timestamp"]),
        str(item["role"]),
    )
    text = text_hash(str(item["content"]), int(item["characters"]))
    return VectorSeen(user, place, seen.kinds, about, text, seen.ttl, seen.has_vector)


def _is_typed(item: Mapping[str, Any]) -> bool:
    texts = ("session_id", "message_id", "role", "content")
    return (
        all(isinstance(item.get(name), str) for name in texts)
        and all(type(item.get(name)) is int for name in ("timestamp", "characters"))
        and (item.get("ttl") is None or is_seconds(item["ttl"]))
        and isinstance(item.get("metadata") or {}, dict)
    )


def _holds_its_vector(item: Mapping[str, Any]) -> bool:
    if "vector_compressed" not in item:
        return True
    if not (isinstance(item.get("model"), str) and type(item.get("dimensions")) is int):
        return False
    similarity = item.get("similarity_hash")
    if not (isinstance(similarity, str) and _SIMILARITY.fullmatch(similarity)):
        return False
    try:
        return bool(unpack(item["vector_compressed"]).size == item["dimensions"])
    except DamagedError:
        return False
