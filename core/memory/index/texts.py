"""A few short texts in few bytes: names of models, sessions and speakers. Pure.

    varint   bytes of the list
    varint   bytes it is deflated to; 0: it stands as it is
    list     a text each: varint of its bytes times four, plus its kind, then the bytes

UUIDs, which most session ids are, take their sixteen bytes; other hex, half of its digits.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from uuid import UUID

from core.errors import UsageError
from core.memory.index.bits import Reader, varint

MAX_TEXT_BYTES = 16 * 1024 * 1024
_PLAIN, _UUID, _AGAIN, _HEX = 0, 1, 2, 3
_UUID_FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX_FORM = re.compile(r"(?:[0-9a-f]{2}){4,}")
# What deflate may refer back to. Part of the format: another one needs another version.
_DICTIONARY = (
    b"session-conversation-chat-default-main-2025-2026-speaker_functiondeveloper"
    b"mxbai-embed-largenomic-embed-textcohere.embed-multilingual-v3cohere.embed-english-v3"
    b"amazon.titan-embed-text-v1amazon.titan-embed-text-v2:0"
    b"sentence-transformers/all-MiniLM-L6-v2hashing-v1-seedtoolhumansystemassistantuser"
)


def pack_texts(texts: Sequence[str]) -> bytes:
    """Texts in order; one that repeats the one before it takes a byte.

    Raises:
        UsageError: one holds half of a surrogate pair, or all are over 16 MiB.
    """
    before = [None, *texts]
    plain = b"".join(map(_pack_text, texts, before))
    if len(plain) > MAX_TEXT_BYTES:
        raise UsageError(
            f"The names in a block of the index take {len(plain)} bytes; "
            f"{MAX_TEXT_BYTES} is the limit.",
            "Pack fewer messages at a time.",
        )
    deflate = zlib.compressobj(9, wbits=-15, zdict=_DICTIONARY)
    short = deflate.compress(plain) + deflate.flush()
    if len(short) < len(plain):
        return varint(len(plain)) + varint(len(short)) + short
    return varint(len(plain)) + varint(0) + plain


def unpack_texts(reader: Reader, count: int) -> list[str]:
    """What `pack_texts` packed: so many texts.

    Raises:
        DamagedError: it is cut short, contradicts itself, or is no text.
    """
    size = reader.varint(MAX_TEXT_BYTES)
    deflated = reader.varint()
    plain = _inflated(reader, size, deflated) if deflated else reader.take(size)
    texts: list[str] = []
    inner = reader.within(plain)
    for _ in range(count):
        texts.append(_read_text(inner, texts))
    if inner.left:
        raise reader.damaged(f"holds more names than the {count} that it says")
    return texts


def _pack_text(text: str, before: str | None) -> bytes:
    if text == before:
        return varint(_AGAIN)
    if _UUID_FORM.fullmatch(text):
        return varint(16 * 4 + _UUID) + UUID(text).bytes
    if _HEX_FORM.fullmatch(text):
        return varint(len(text) // 2 * 4 + _HEX) + bytes.fromhex(text)
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The name {text!r:.60} holds half of a surrogate pair, which is not text.",
            "Write it in proper Unicode.",
        ) from error
    return varint(len(raw) * 4 + _PLAIN) + raw


def _read_text(reader: Reader, before: Sequence[str]) -> str:
    size, kind = divmod(reader.varint(), 4)
    raw = reader.take(size)
    if kind == _PLAIN:
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise reader.damaged("holds a name that is not UTF-8") from error
    if kind == _UUID and size == 16:
        return str(UUID(bytes=raw))
    if kind == _HEX:
        return raw.hex()
    if kind == _AGAIN and size == 0 and before:
        return before[-1]
    raise reader.damaged(f"holds a name of the kind {kind} with {size} bytes")


def _inflated(reader: Reader, size: int, deflated: int) -> bytes:
    inflate = zlib.decompressobj(wbits=-15, zdict=_DICTIONARY)
    try:
        # Bounded: a few bytes may inflate to gigabytes.
        plain = inflate.decompress(reader.take(deflated), size + 1)
    except zlib.error as error:
        raise reader.damaged("holds names that can't be decompressed") from error
    if len(plain) != size or not inflate.eof or inflate.unused_data:
        raise reader.damaged(f"holds names that do not take {size} bytes")
    return plain
