"""What a process knows of messages whose rows it holds: texts and vectors, both bounded."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from core.llm.embedder import FloatArray
from core.memory.model import Message

TEXT_BYTES = 4 * 1024 * 1024
VECTOR_BYTES = 2560 * 1024
TEXT_CHARACTERS = 2000
"""The beginning of a message that is kept at hand: as much as a line of a context ever shows of
one by default."""
_ENTRY_BYTES = 120
# Shorter ones do not become smaller.
_COMPRESSED_FROM = 200
_CHUNK = 512
_LARGEST = 127
_NOWHERE = -1


@dataclass(frozen=True)
class Text:
    """A message's id, metadata, and the first TEXT_CHARACTERS of its `characters`."""

    message_id: str
    content: str
    characters: int
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether all of the content is there."""
        return len(self.content) == self.characters

    @classmethod
    def of(cls, message: Message) -> Text:
        """What is kept of a message."""
        content = message.content
        return cls(message.message_id, content[:TEXT_CHARACTERS], len(content), message.metadata)


class Known:
    """Texts by row; those used longest ago go first. Not thread-safe."""

    def __init__(self, max_bytes: int = TEXT_BYTES) -> None:
        self._max = max_bytes
        self._held: dict[int, bytes] = {}
        self.bytes = 0

    def __contains__(self, row: int) -> bool:
        return row in self._held

    def put(self, row: int, text: Text) -> None:
        """Keeps a text, packed."""
        self.drop(row)
        packed = _packed(text)
        self._held[row] = packed
        self.bytes += len(packed) + _ENTRY_BYTES
        while self.bytes > self._max:
            self.drop(next(iter(self._held)))

    def get(self, row: int) -> Text | None:
        """The text of a row, if it is known."""
        packed = self._held.pop(row, None)
        if packed is None:
            return None
        self._held[row] = packed
        return _unpacked(packed)

    def drop(self, row: int) -> None:
        """Forgets a row's text."""
        packed = self._held.pop(row, None)
        if packed is not None:
            self.bytes -= len(packed) + _ENTRY_BYTES


def _packed(text: Text) -> bytes:
    fields = (text.message_id, text.content, text.characters, text.metadata or None)
    made = orjson.dumps(fields, default=str, option=orjson.OPT_NON_STR_KEYS)
    # What orjson answers keeps the buffer of 4 KiB that it was written in.
    return zlib.compress(made, 1) if len(made) > _COMPRESSED_FROM else bytes(memoryview(made))


def _unpacked(packed: bytes) -> Text:
    plain = packed if packed.startswith(b"[") else zlib.decompress(packed)
    message_id, content, characters, metadata = orjson.loads(plain)
    return Text(message_id, content, characters, metadata or {})


class KnownVectors:
    """Vectors by row as int8 with a scale each, in chunks; the oldest go where there is no room.

    Not thread-safe.
    """

    def __init__(self, dimensions: int, max_bytes: int = VECTOR_BYTES) -> None:
        self._dimensions = dimensions
        self._most = max(1, max_bytes // (dimensions + 12))
        self._places = np.zeros(0, np.int32)
        self._rows: npt.NDArray[np.int32] = np.zeros(0, np.int32)
        self._count = 0
        self._next = 0
        self._numbers: list[npt.NDArray[np.int8]] = []
        self._scales: list[npt.NDArray[np.float32]] = []

    def __contains__(self, row: int) -> bool:
        return self._place(row) >= 0

    @property
    def bytes(self) -> int:
        """What the vectors take; pages of zeros that nobody wrote to take nothing."""
        return self._count * (self._dimensions + 4) + self._places.nbytes + self._rows.nbytes

    def put(self, row: int, vector: FloatArray) -> None:
        """Keeps a vector of length 1."""
        place = self._place(row)
        if place < 0:
            place = self._new_place(row)
        scale = float(np.abs(vector).max()) / _LARGEST
        self._numbers[place // _CHUNK][place % _CHUNK] = np.rint(vector / scale)
        self._scales[place // _CHUNK][place % _CHUNK] = scale

    def cosines(self, query: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int32]]:
        """The cosines of all vectors with a query of length 1, and their rows."""
        parts = [
            (numbers.astype(np.float32) @ query) * scales
            for numbers, scales in zip(self._numbers, self._scales, strict=True)
        ]
        whole = np.concatenate([np.zeros(0, np.float32), *parts])
        return whole[: self._count], self._rows[: self._count]

    def _place(self, row: int) -> int:
        return int(self._places[row]) if row < len(self._places) else _NOWHERE

    def _new_place(self, row: int) -> int:
        if row >= len(self._places):
            more = np.full(row + _CHUNK - len(self._places), _NOWHERE, np.int32)
            self._places = np.concatenate([self._places, more])
        place = self._next
        self._next = (place + 1) % self._most
        if place < self._count:
            self._places[self._rows[place]] = _NOWHERE
        elif place == len(self._numbers) * _CHUNK:
            self._numbers.append(np.zeros((_CHUNK, self._dimensions), np.int8))
            self._scales.append(np.zeros(_CHUNK, np.float32))
            self._rows = np.concatenate([self._rows, np.zeros(_CHUNK, np.int32)])
        self._count = max(self._count, place + 1)
        self._places[row] = place
        self._rows[place] = row
        return place
