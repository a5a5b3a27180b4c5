"""What a process knows of messages whose rows it holds: texts and vectors, both bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from core.llm.embedder import FloatArray
from core.memory.model import Message

TEXT_BYTES = 3 * 1024 * 1024
VECTOR_BYTES = 4 * 1024 * 1024
TEXT_CHARACTERS = 2000
"""The beginning of a message that is kept at hand: as much as a line of a context ever shows of
one by default."""
_ENTRY_BYTES = 120
_CHUNK = 512
_LARGEST = 127


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
        self._held: OrderedDict[int, bytes] = OrderedDict()
        self.bytes = 0

    def __contains__(self, row: int) -> bool:
        return row in self._held

    def put(self, row: int, text: Text) -> None:
        """Keeps a text, packed."""
        self.drop(row)
        fields = (text.message_id, text.content, text.characters, text.metadata or None)
        made = orjson.dumps(fields, default=str, option=orjson.OPT_NON_STR_KEYS)
        # What orjson answers keeps the buffer of 4 KiB that it was written in.
        packed = bytes(memoryview(made))
        self._held[row] = packed
        self.bytes += len(packed) + _ENTRY_BYTES
        while self.bytes > self._max:
            self.drop(next(iter(self._held)))

    def get(self, row: int) -> Text | None:
        """The text of a row, if it is known."""
        packed = self._held.get(row)
        if packed is None:
            return None
        self._held.move_to_end(row)
        message_id, content, characters, metadata = orjson.loads(packed)
        return Text(message_id, content, characters, metadata or {})

    def drop(self, row: int) -> None:
        """Forgets a row's text."""
        packed = self._held.pop(row, None)
        if packed is not None:
            self.bytes -= len(packed) + _ENTRY_BYTES


class KnownVectors:
    """Vectors by row as int8 with a scale each, in chunks; the first ones stay when it is full.

    Not thread-safe.
    """

    def __init__(self, dimensions: int, max_bytes: int = VECTOR_BYTES) -> None:
        self._dimensions = dimensions
        self._most = max_bytes // (dimensions + 4)
        self._rows: dict[int, int] = {}
        self._numbers: list[npt.NDArray[np.int8]] = []
        self._scales: list[npt.NDArray[np.float32]] = []

    def __contains__(self, row: int) -> bool:
        return row in self._rows

    @property
    def bytes(self) -> int:
        """What the vectors take."""
        chunks = sum(n.nbytes + s.nbytes for n, s in zip(self._numbers, self._scales, strict=True))
        return chunks + len(self._rows) * _ENTRY_BYTES

    def put(self, row: int, vector: FloatArray) -> None:
        """Keeps a vector of length 1, unless there is no room left."""
        place = self._rows.get(row, len(self._rows))
        if place >= self._most:
            return
        if place == len(self._numbers) * _CHUNK:
            self._numbers.append(np.zeros((_CHUNK, self._dimensions), np.int8))
            self._scales.append(np.zeros(_CHUNK, np.float32))
        scale = float(np.abs(vector).max()) / _LARGEST
        self._numbers[place // _CHUNK][place % _CHUNK] = np.rint(vector / scale)
        self._scales[place // _CHUNK][place % _CHUNK] = scale
        self._rows[row] = place

    def cosines(self, query: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """The cosines of all vectors with a query of length 1, and their rows."""
        parts = [
            (numbers.astype(np.float32) @ query) * scales
            for numbers, scales in zip(self._numbers, self._scales, strict=True)
        ]
        rows = np.fromiter(self._rows, np.int64, len(self._rows))
        whole = np.concatenate([np.zeros(0, np.float32), *parts])
        return whole[: len(rows)], rows
