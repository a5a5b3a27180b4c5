"""What embedding by hashing, the cache of vectors and the envelope's codecs cost on this machine.

    python -m core.benchmark.embeddings [--vectors FILE.npz]

Texts are made up (English-looking words, 126 characters a text on average, as chat turns have).
Vectors are those of the file's array `vectors`, where one is given, and otherwise random. Recall
is the share of the ten nearest by exact cosine that are among the ten nearest as stored.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from core.clock import SYSTEM_CLOCK, Random
from core.llm.cached import CachedEmbedder
from core.llm.embedder import FloatArray, unit_vectors
from core.llm.hashing import HashingEmbedder
from core.memory.vectors import Codec, pack, unpack

TEXTS, WORDS_A_TEXT, VOCABULARY = 3000, 21, 6000
QUERIES, NEAREST = 500, 10


def made_up_texts() -> list[str]:
    """Texts of words that are drawn about as unevenly as those of a language."""
    draw = Random(1)
    letters = "etaoinshrdlcumwfgypbvk"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 8))) for _ in range(VOCABULARY)]
    weights = [1 / (rank + 2) for rank in range(VOCABULARY)]
    return [" ".join(draw.choices(words, weights, k=WORDS_A_TEXT)) for _ in range(TEXTS)]


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    begin = SYSTEM_CLOCK.monotonic()
    call()
    return SYSTEM_CLOCK.monotonic() - begin


def measure_texts() -> Iterator[str]:
    """Texts a second of the hashing embedder, and what a text from the cache costs."""
    texts, hashing = made_up_texts(), HashingEmbedder()
    for state in ("new words", "words seen before"):
        rate = TEXTS / seconds(lambda: hashing.embed(texts))
        yield f"hashing, {state:18} {rate:9.0f} texts/s"
    cached = CachedEmbedder(hashing)
    cached.embed(texts)
    hit = seconds(lambda: [cached.embed([text]) for text in texts]) / TEXTS
    yield f"cached, one text             {hit * 1e6:9.1f} µs"


def measure_codec(codec: Codec, vectors: FloatArray) -> str:
    """Size, recall and time of a codec over unit vectors."""
    queries, corpus = vectors[:QUERIES], vectors[QUERIES:]
    packed: list[bytes] = []
    pack_s = seconds(lambda: packed.extend(pack(vector, codec) for vector in corpus))
    found: list[FloatArray] = []
    unpack_s = seconds(lambda: found.extend(unpack(envelope) for envelope in packed))
    exact, stored = _nearest(queries, corpus), _nearest(queries, np.array(found))
    shared = sum(len(set(a) & set(b)) for a, b in zip(exact, stored, strict=True))
    return (
        f"{codec.name:13} {sum(map(len, packed)) / len(packed):7.0f} bytes   "
        f"recall@{NEAREST} {shared / (NEAREST * len(queries)):.4f}   "
        f"pack {pack_s / len(packed) * 1e6:5.1f} µs   unpack {unpack_s / len(packed) * 1e6:5.1f} µs"
    )


def _nearest(queries: FloatArray, corpus: FloatArray) -> list[list[int]]:
    order = np.argsort(-(queries @ corpus.T), axis=1)[:, :NEAREST]
    return [[int(place) for place in row] for row in order]


def load_vectors(path: Path | None) -> FloatArray:
    """The file's vectors, or random ones, shuffled and of length 1."""
    rng = np.random.default_rng(0)
    if path is None:
        rows = rng.standard_normal((6000, 384))
    else:
        with np.load(path) as data:
            rows = data["vectors"]
    shuffled = rng.permutation(rows)
    return unit_vectors(shuffled, "the file", len(rows), rows.shape[1])


def main() -> None:
    """Prints a line a measurement."""
    parser = argparse.ArgumentParser(prog="python -m core.benchmark.embeddings")
    parser.add_argument("--vectors", type=Path)
    vectors = load_vectors(parser.parse_args().vectors)
    for line in measure_texts():
        sys.stdout.write(line + "\n")
    sys.stdout.write(f"{vectors.shape[0]} vectors of {vectors.shape[1]} dimensions\n")
    for codec in Codec:
        sys.stdout.write(measure_codec(codec, vectors) + "\n")


if __name__ == "__main__":
    main()
