"""How a value lies in Redis: version, what it depends on, checksum, bytes.

    "IALc"  version (1)  flags (1)  fingerprint (16)  checksum (8)  payload

The checksum covers the key too, so a value copied under another key is rubbish like any other.
It guards against damage and strangers' keys, not against someone who forges on purpose: who may
write to this Redis may decide what is read from it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

MAGIC = b"IALc"
VERSION = 1
NOTHING = 1  # flag: the value is None
FINGERPRINT_BYTES = 16
_CHECKSUM_BYTES = 8
_HEAD = struct.Struct(f">4sBB{FINGERPRINT_BYTES}s{_CHECKSUM_BYTES}s")


class RubbishError(ValueError):
    """The bytes are no envelope of ours, or a damaged one, or of a newer version."""


@dataclass(frozen=True)
class Sealed:
    """What an envelope holds; `payload` None is a stored None."""

    fingerprint: bytes
    payload: bytes | None


def fingerprint(server: bytes, tokens: Sequence[bytes]) -> bytes:
    """What a value depends on: the run of the server, and the token of each of its tags."""
    digest = blake2b(digest_size=FINGERPRINT_BYTES)
    for part in (server, *tokens):
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.digest()


def seal(key: str, mark: bytes, payload: bytes | None) -> bytes:
    """The envelope of a value that lies under `key`."""
    flags, body = (NOTHING, b"") if payload is None else (0, payload)
    return _HEAD.pack(MAGIC, VERSION, flags, mark, _checksum(key, flags, mark, body)) + body


def unseal(key: str, raw: bytes) -> Sealed:
    """What `seal` put in.

    Raises:
        RubbishError: it is anything else.
    """
    if len(raw) < _HEAD.size:
        raise RubbishError(f"{len(raw)} bytes are too few")
    magic, version, flags, mark, checksum = _HEAD.unpack_from(raw)
    body = raw[_HEAD.size :]
    if magic != MAGIC or version != VERSION or flags not in (0, NOTHING):
        raise RubbishError("not an envelope of this version")
    if checksum != _checksum(key, flags, mark, body):
        raise RubbishError("the checksum differs")
    return Sealed(mark, None if flags == NOTHING else body)


def _checksum(key: str, flags: int, mark: bytes, body: bytes) -> bytes:
    digest = blake2b(digest_size=_CHECKSUM_BYTES)
    for part in (key.encode(), bytes([flags]), mark):
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    digest.update(body)
    return digest.digest()
