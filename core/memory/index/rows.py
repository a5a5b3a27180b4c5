"""Messages as rows of the index, and rows put together or taken apart. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from core.llm.embedder import FloatArray
from core.memory.index.block import NEVER, Block, ByteArray, IntArray, Postings, Voice
from core.memory.index.codes import code_bytes, sign_codes
from core.memory.index.words import hashed
from core.memory.keys import decoded
from core.memory.model import Message
from core.memory.terms import terms

INDEXED_CHARACTERS = 20_000
"""So much of a message is looked at for terms: what a page of a book holds, ten times."""
NAME_CHARACTERS = 200
"""So much of a speaker's name: a hundred of them must fit into an item."""
_MOST = 255

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, eq=False)
class Indexed:
    """A stored message, its sort key, and its vector (None: it could not be made).

    `kept` is one of another model, named: stored beside the text, compared with nothing.
    """

    message: Message
    place: str
    vector: FloatArray | None = None
    kept: tuple[str, FloatArray] | None = None


@dataclass(frozen=True, eq=False)
class Rows:
    """A block with its terms."""

    block: Block
    terms: Postings

    def __len__(self) -> int:
        return len(self.block)


def rows_of(indexed: Sequence[Indexed], model: str, dimensions: int) -> Rows:
    """The rows of messages, in their order."""
    messages = [one.message for one in indexed]
    voices, voice_of = _numbered([Voice(m.role, m.speaker[:NAME_CHARACTERS]) for m in messages])
    sessions, session_of = _numbered([m.session_id for m in messages])
    coded = np.array([one.vector is not None for one in indexed], bool)
    codes = np.zeros((len(indexed), code_bytes(dimensions)), np.uint8)
    if coded.any():
        vectors = np.stack([o.vector for o in indexed if o.vector is not None])
        codes[coded] = sign_codes(vectors, model)
    block = Block(
        model=model,
        dimensions=dimensions,
        times=np.array([m.timestamp_us for m in messages], np.int64),
        expires=np.array([m.expires_at or NEVER for m in messages], np.int64),
        voices=tuple(voices),
        voice_of=voice_of,
        sessions=tuple(sessions),
        session_of=session_of,
        codes=codes,
        coded=coded,
        removed=np.zeros(len(indexed), bool),
        suffixes={n: s for n, one in enumerate(indexed) if (s := suffix_of(one.place))},
    )
    return Rows(block, postings_of([m.content for m in messages]))


def removal_of(places: Iterable[str]) -> Rows:
    """Rows that say of these places that nothing is there any more."""
    parsed = [place.split("#") for place in places]
    voices, voice_of = _numbered([Voice(decoded(p[1]), decoded(p[1])) for p in parsed])
    count = len(parsed)
    block = Block(
        model="",
        dimensions=0,
        times=np.array([int(p[0]) for p in parsed], np.int64),
        expires=np.zeros(count, np.int64),
        voices=tuple(voices),
        voice_of=voice_of,
        sessions=("",) if count else (),
        session_of=np.zeros(count, np.int64),
        codes=np.zeros((count, 0), np.uint8),
        coded=np.zeros(count, bool),
        removed=np.ones(count, bool),
        suffixes={n: p[2] for n, p in enumerate(parsed) if len(p) > 2},
    )
    return Rows(block, NO_TERMS)


def suffix_of(place: str) -> str:
    """What follows the role in a sort key; empty for most."""
    parts = place.split("#", 2)
    return parts[2] if len(parts) > 2 else ""


def postings_of(contents: Sequence[str]) -> Postings:
    """The terms of texts, text n in row n."""
    counted = [Counter(map(hashed, terms(c[:INDEXED_CHARACTERS]))) for c in contents]
    found = sorted((t, row, min(n, _MOST)) for row, c in enumerate(counted) for t, n in c.items())
    columns = np.array(found, np.uint32).reshape(-1, 3)
    return Postings(columns[:, 0].copy(), columns[:, 1].copy(), columns[:, 2].astype(np.uint8))


def chosen(rows: Rows, kept: Sequence[int] | IntArray) -> Rows:
    """These rows only, in this order."""
    block = rows.block
    at = np.asarray(kept, np.int64)
    where = np.full(len(block), -1, np.int64)
    where[at] = np.arange(len(at))
    voices, voice_of = _numbered([block.voices[n] for n in block.voice_of[at]])
    sessions, session_of = _numbered([block.sessions[n] for n in block.session_of[at]])
    made = Block(
        block.model,
        block.dimensions,
        block.times[at],
        block.expires[at],
        tuple(voices),
        voice_of,
        tuple(sessions),
        session_of,
        block.codes[at],
        block.coded[at],
        block.removed[at],
        {int(where[n]): suffix for n, suffix in block.suffixes.items() if where[n] >= 0},
    )
    return Rows(made, moved(rows.terms, where))


def joined(parts: Sequence[Rows]) -> Rows:
    """All rows of blocks, in order of time; codes of another model than the first's are dropped."""
    blocks = [part.block for part in parts]
    begins = np.cumsum([0, *map(len, blocks)])
    voices, voice_of = _numbered([b.voices[n] for b in blocks for n in b.voice_of])
    sessions, session_of = _numbered([b.sessions[n] for b in blocks for n in b.session_of])
    model, dimensions = next(((b.model, b.dimensions) for b in blocks if b.dimensions), ("", 0))
    whole = Block(
        model,
        dimensions,
        np.concatenate([b.times for b in blocks]),
        np.concatenate([b.expires for b in blocks]),
        tuple(voices),
        voice_of,
        tuple(sessions),
        session_of,
        np.concatenate([_codes(b, dimensions) for b in blocks]),
        np.concatenate([b.coded & (b.model == model) for b in blocks]),
        np.concatenate([b.removed for b in blocks]),
        {
            int(b0) + n: s
            for b0, b in zip(begins, blocks, strict=False)
            for n, s in b.suffixes.items()
        },
    )
    shifted = [
        Postings(p.terms.terms, (p.terms.rows + begin).astype(np.uint32), p.terms.counts)
        for begin, p in zip(begins, parts, strict=False)
    ]
    return chosen(
        Rows(whole, sorted_postings(shifted)),
        np.argsort(whole.times, kind="stable").astype(np.int64),
    )


def moved(postings: Postings, where: IntArray) -> Postings:
    """The postings with row n become row where[n]; those of rows at -1 are left out."""
    rows = where[postings.rows]
    kept = rows >= 0
    return sorted_postings(
        [Postings(postings.terms[kept], rows[kept].astype(np.uint32), postings.counts[kept])]
    )


def sorted_postings(parts: Iterable[Postings]) -> Postings:
    """All of them in order of (term, row)."""
    many = [part for part in parts if len(part.terms)]
    if not many:
        return NO_TERMS
    term = np.concatenate([p.terms for p in many])
    row = np.concatenate([p.rows for p in many])
    count = np.concatenate([p.counts for p in many])
    order = np.lexsort((row, term))
    return Postings(term[order], row[order], count[order])


NO_TERMS = Postings(np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0, np.uint8))


def _codes(block: Block, dimensions: int) -> ByteArray:
    if block.dimensions == dimensions:
        return block.codes
    return np.zeros((len(block), code_bytes(dimensions)), np.uint8)


def _numbered(things: Sequence[T]) -> tuple[list[T], IntArray]:
    numbers: dict[T, int] = {}
    of = [numbers.setdefault(thing, len(numbers)) for thing in things]
    return list(numbers), np.array(of, np.int64)
