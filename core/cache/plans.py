"""What is said to Redis and what the answers mean, apart from who says it, threads or coroutines.

A plan is a generator: it yields commands, is sent their answers, and returns the result.

How staleness is kept out: each tag has a random token in Redis. A value is stored with a
fingerprint of the tokens that stood *before it was loaded*, and is only believed while the same
tokens stand. To invalidate a tag is to delete its token; the next load makes a new random one, so
no old fingerprint ever fits again: not that of a load which was under way, nor after the tokens
were evicted, nor after Redis came back empty. The fingerprint also names the run of the server
process, so what a restart brings back from an old snapshot, or a replica holds that was promoted
before it had heard of a deletion, is not believed either.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

import orjson

from core.cache.envelope import RubbishError, fingerprint, seal, unseal
from core.cache.namespace import Namespace

# Tokens outlive the values that depend on them; one that ends early costs a miss, nothing else.
TOKEN_TTL_MS = 7 * 24 * 3600 * 1000

_ERASED_AT_ONCE = 500

Command = tuple[str | bytes | int, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """Replies in the order of the commands, and the run id of the server that gave them."""

    server: bytes
    replies: Sequence[Any]


Plan = Generator[Sequence[Command], Answer, T]


class Outcome(Enum):
    """How a read went."""

    HIT = "hit"
    MISS = "miss"
    STALE = "stale"
    RUBBISH = "rubbish"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Reading:
    """What a read found; `mark` is what a load that begins now must be stored with.

    `mark` None: what is loaded can't be stored. `ttl_s`: how long the value has still to live.
    """

    outcome: Outcome
    payload: bytes | None = None
    ttl_s: float = 0.0
    mark: bytes | None = None


SKIPPED = Reading(Outcome.SKIPPED)


def reading(
    space: Namespace, name: str, tags: Sequence[str], new_token: Callable[[], str]
) -> Plan[Reading]:
    """Reads a value together with its tags' tokens; makes the tokens that are missing."""
    key = space.value(name)
    tokens = [space.everything, *map(space.tag, tags)]
    answer = yield [("MGET", key, *tokens), ("PTTL", key)]
    (raw, *found), left_ms = answer.replies
    if None not in found:
        return _interpret(key, raw, left_ms, fingerprint(answer.server, found))
    missing = [token for token, value in zip(tokens, found, strict=True) if value is None]
    made: list[Command] = [
        ("SET", token, new_token(), "NX", "PX", TOKEN_TTL_MS) for token in missing
    ]
    answer = yield [*made, ("MGET", *tokens)]
    found = answer.replies[-1]
    outcome = Outcome.MISS if raw is None else Outcome.STALE
    # A token may be gone again (deleted by an invalidation, or evicted): then nothing is stored.
    return Reading(outcome, mark=None if None in found else fingerprint(answer.server, found))


def _interpret(key: str, raw: bytes | None, left_ms: int, mark: bytes) -> Reading:
    if raw is None:
        return Reading(Outcome.MISS, mark=mark)
    try:
        sealed = unseal(key, raw)
    except RubbishError:
        return Reading(Outcome.RUBBISH, mark=mark)
    if sealed.fingerprint != mark or left_ms <= 0:
        return Reading(Outcome.STALE, mark=mark)
    return Reading(Outcome.HIT, sealed.payload, left_ms / 1000, mark)


def storing(
    space: Namespace, name: str, mark: bytes, payload: bytes | None, ttl_s: float
) -> Plan[None]:
    """Stores what was loaded after `mark` was read."""
    key = space.value(name)
    yield [("SET", key, seal(key, mark, payload), "PX", max(1, int(ttl_s * 1000)))]


def invalidating(space: Namespace, tags: Sequence[str], origin: str) -> Plan[None]:
    """Deletes the tags' tokens and tells the other processes.

    DEL, because Redis grants it even where it has no memory left to write.
    """
    yield [
        ("DEL", *map(space.tag, tags)),
        ("PUBLISH", space.bus, Message(origin, tags=tuple(tags)).encode()),
    ]


def erasing(space: Namespace, begins: str, cursor: bytes) -> Plan[bytes]:
    """Deletes some of the values whose names begin so; answers where to go on, `0` at the end."""
    # Of what a pattern may hold, names leave only the star unescaped.
    pattern = space.value(begins).replace("*", "\\*") + "*"
    answer = yield [("SCAN", cursor, "MATCH", pattern, "COUNT", _ERASED_AT_ONCE)]
    after, keys = answer.replies[0]
    if keys:
        yield [("UNLINK", *keys)]
    return bytes(after)


def clearing(space: Namespace, origin: str) -> Plan[None]:
    """Makes all values of this kind worthless and tells the other processes."""
    yield [
        ("DEL", space.everything),
        ("PUBLISH", space.bus, Message(origin, everything=True).encode()),
    ]


@dataclass(frozen=True)
class Message:
    """What one process tells the others."""

    origin: str
    tags: tuple[str, ...] = ()
    everything: bool = False

    def encode(self) -> bytes:
        """As sent."""
        return orjson.dumps([self.origin, self.tags, self.everything])


def decode_message(raw: bytes) -> Message:
    """A message as sent; whatever can't be understood is taken to mean everything."""
    try:
        origin, tags, everything = orjson.loads(raw)
    except (ValueError, TypeError):
        return Message("", everything=True)
    well_formed = (
        isinstance(origin, str)
        and isinstance(tags, list)
        and all(isinstance(tag, str) for tag in tags)
    )
    if not well_formed:
        return Message("", everything=True)
    return Message(origin, tuple(tags), bool(everything))
