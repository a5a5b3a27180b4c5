"""Where a vector stands in the embeddings table: its chunk, its keys, its similarity hash. Pure.

All of it is the same in every process, on every machine, for good: rows are found by it.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from core.errors import UsageError
from core.memory.keys import SORT_KEY_BYTES, check_user, encoded
from core.memory.vectors import checked_vector

CHUNKS = 10
HASH_BITS = 64


def chunk_of(embedding_id: str) -> int:
    """The chunk of an id, 0 to 9: its SHA-256's first eight bytes, big-endian, modulo ten.

    Not Python's `hash`, which differs from process to process.

    Raises:
        UsageError: the id is empty, longer than a sort key may be, or not text.
    """
    digest = hashlib.sha256(_checked_id(embedding_id)).digest()
    return int.from_bytes(digest[:8], "big") % CHUNKS


def user_chunk(user_id: str, embedding_id: str) -> str:
    """The partition of a user's vector: `{user}#{chunk:02d}`.

    Raises:
        UsageError: an id is empty, too long, or not text.
    """
    check_user(user_id)
    return f"{encoded(user_id)}#{chunk_of(embedding_id):02d}"


def user_chunks(user_id: str) -> tuple[str, ...]:
    """All partitions that a user's vectors may stand in, in order.

    Raises:
        UsageError: the id is empty, too long, or not text.
    """
    check_user(user_id)
    return tuple(f"{encoded(user_id)}#{chunk:02d}" for chunk in range(CHUNKS))


def similarity_hash(vector: npt.ArrayLike, model: str) -> str:
    """On which side of 64 random hyperplanes a vector lies, as 16 hex digits that sort.

    Hashes of like vectors share most bits (M. Charikar, "Similarity Estimation Techniques from
    Rounding Algorithms", STOC 2002). Vectors of different models are not comparable. A number so
    close to a plane that rounding decides may fall on either side on another machine.

    Raises:
        UsageError: the vector has no direction (NaN, infinity, all zeros), or the model no name.
    """
    clean = checked_vector(vector).astype(np.float64)
    if not model:
        raise UsageError("The embedding model has no name.", "Name the one that made the vector.")
    bits = _planes(model, clean.size) @ clean >= 0
    return np.packbits(bits).tobytes().hex()


@lru_cache(maxsize=16)
def _planes(model: str, dimensions: int) -> npt.NDArray[np.float64]:
    """One row a bit, of ones and minus ones, which do as well as normally distributed numbers.

    After D. Achlioptas, "Database-friendly random projections" (2003). Taken from the raw stream
    of PCG64, since numpy promises only that one to be the same in all its versions.
    """
    seed = int.from_bytes(hashlib.sha256(model.encode()).digest(), "big")
    words = np.random.PCG64(seed).random_raw(HASH_BITS * -(-dimensions // 64))
    octets = np.asarray(words, "<u8").view(np.uint8).reshape(HASH_BITS, -1)
    bits = np.unpackbits(octets, axis=1, bitorder="little")[:, :dimensions]
    return bits.astype(np.float64) * 2 - 1


def _checked_id(embedding_id: str) -> bytes:
    try:
        found = embedding_id.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The embedding id {embedding_id!r:.60} holds half of a surrogate pair.",
            "Write it in proper Unicode.",
        ) from error
    if not 1 <= len(found) <= SORT_KEY_BYTES:
        raise UsageError(
            f"The embedding id takes {len(found)} bytes; 1 to {SORT_KEY_BYTES} is the limit.",
            "Choose another.",
        )
    return found
