"""Digests of millions of items, in memory that does not grow with them.

A record is a key's digest, its item's digest, and the number of the file it came from. Records
are dealt out by their first byte; once there are too many for memory, each of the 256 heaps goes
on in a file of a temporary folder, and is looked at alone. Digests are evenly spread, so that a
heap of a hundred million records holds some 14 MB.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from core.errors import StorageError

BUFFER_BYTES = 12 * 1024 * 1024
SAMPLES = 10
_RECORD = np.dtype([("k0", ">u8"), ("k1", ">u8"), ("v0", ">u8"), ("v1", ">u8"), ("file", ">u4")])
_HEAPS = 256

_Records: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class Differences:
    """How two sets of items differ; of the digests of keys that do, the first few.

    `excused` are those missing that were added with another number than 0 for their file.
    """

    missing: int = 0
    extra: int = 0
    different: int = 0
    missing_keys: tuple[bytes, ...] = ()
    extra_keys: tuple[bytes, ...] = ()
    different_keys: tuple[bytes, ...] = ()
    excused: int = 0

    @property
    def none(self) -> bool:
        """Whether the two are equal, but for what is excused."""
        return not (self.missing or self.extra or self.different)

    def plus(self, other: Differences, samples: int) -> Differences:
        """Both, with so many keys of each kind at most."""
        return Differences(
            self.missing + other.missing,
            self.extra + other.extra,
            self.different + other.different,
            (self.missing_keys + other.missing_keys)[:samples],
            (self.extra_keys + other.extra_keys)[:samples],
            (self.different_keys + other.different_keys)[:samples],
            self.excused + other.excused,
        )


class Digests:
    """A set of records. `add` is thread-safe; look at them only once all are added.

    Raises:
        StorageError: the temporary folder can't be written or read.
    """

    def __init__(self, folder: Path, buffer_bytes: int = BUFFER_BYTES) -> None:
        """Records that take more than `buffer_bytes` go to a folder of their own in `folder`."""
        self._parent = folder
        self._folder: Path | None = None
        self._most = buffer_bytes
        self._heaps = [bytearray() for _ in range(_HEAPS)]
        self._buffered = 0
        self._lock = threading.Lock()
        self.count = 0

    def __enter__(self) -> Digests:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, key: bytes, value: bytes, file: int = 0) -> None:
        """Adds a record: 16 bytes of a key, 16 of its item, and the number of its file."""
        record = key + value + file.to_bytes(4, "big")
        with self._lock:
            self._heaps[key[0]] += record
            self.count += 1
            self._buffered += len(record)
            if self._buffered > self._most:
                self._spill()

    def duplicates(self) -> Iterator[tuple[bytes, int, int]]:
        """Each key that was added twice, with the files it came from, in order."""
        for number in range(_HEAPS):
            records = self.heap(number)
            records = records[np.lexsort((records["file"], records["k1"], records["k0"]))]
            for index in np.flatnonzero(_same_key(records)):
                first, second = records[index], records[index + 1]
                yield _key(first), int(first["file"]), int(second["file"])

    def heap(self, number: int) -> _Records:
        """The records whose first byte is `number`."""
        held = bytes(self._heaps[number])
        if self._folder is not None:
            path = self._folder / f"{number:02x}"
            try:
                held = (path.read_bytes() if path.exists() else b"") + held
            except OSError as error:
                raise _unusable(self._folder, error) from error
        return np.frombuffer(held, _RECORD)

    def close(self) -> None:
        """Forgets all, and removes what was written."""
        self._heaps = [bytearray() for _ in range(_HEAPS)]
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _spill(self) -> None:
        try:
            if self._folder is None:
                self._parent.mkdir(parents=True, exist_ok=True)
                self._folder = Path(tempfile.mkdtemp(prefix="digests-", dir=self._parent))
            for number, heap in enumerate(self._heaps):
                if heap:
                    with (self._folder / f"{number:02x}").open("ab") as file:
                        file.write(heap)
                    heap.clear()
        except OSError as error:
            raise _unusable(self._folder or self._parent, error) from error
        self._buffered = 0


def compare(expected: Digests, found: Digests, samples: int = SAMPLES) -> Differences:
    """What `found` lacks, has beside, and has otherwise; of a key added twice the last counts.

    Of each kind the first `samples` keys are told.
    """
    total = Differences()
    for number in range(_HEAPS):
        one = _compared(expected.heap(number), found.heap(number), samples)
        total = total.plus(one, samples)
    return total


def _compared(expected: _Records, found: _Records, samples: int) -> Differences:
    both = np.concatenate([expected, found])
    if not len(both):
        return Differences()
    origin = np.repeat(np.array([0, 1], np.uint8), [len(expected), len(found)])
    order = np.lexsort((origin, both["k1"], both["k0"]))
    both, origin = both[order], origin[order]
    # lexsort keeps the order of equals: the last one added stands last.
    last = np.ones(len(both), bool)
    last[:-1] = ~(_same_key(both) & (origin[:-1] == origin[1:]))
    both, origin = both[last], origin[last]
    same = _same_key(both)
    paired = np.zeros(len(both), bool)
    paired[:-1] |= same
    paired[1:] |= same
    unlike = (both["v0"][:-1] != both["v0"][1:]) | (both["v1"][:-1] != both["v1"][1:])
    absent = both[~paired & (origin == 0)]
    missing = absent[absent["file"] == 0]
    extra = both[~paired & (origin == 1)]
    different = both[:-1][same & unlike]
    return Differences(
        len(missing),
        len(extra),
        len(different),
        _samples(missing, samples),
        _samples(extra, samples),
        _samples(different, samples),
        len(absent) - len(missing),
    )


def _same_key(records: _Records) -> npt.NDArray[np.bool_]:
    """Of each record but the last, whether the next one has its key."""
    same: npt.NDArray[np.bool_] = (records["k0"][:-1] == records["k0"][1:]) & (
        records["k1"][:-1] == records["k1"][1:]
    )
    return same


def _samples(records: _Records, samples: int) -> tuple[bytes, ...]:
    return tuple(_key(record) for record in records[:samples])


def _key(record: Any) -> bytes:
    return int(record["k0"]).to_bytes(8, "big") + int(record["k1"]).to_bytes(8, "big")


def _unusable(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"The temporary folder '{folder}' can't be used: {error.strerror}.",
        "Make room there, or choose another with TMPDIR.",
        path=folder,
    )
