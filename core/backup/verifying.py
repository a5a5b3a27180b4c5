"""Reads a backup, and says whether it is whole: every checksum, every count, every line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.backup import manifest
from core.backup.manifest import DataFile
from core.backup.opening import BackedUpTable, Backup, Layer, check_files
from core.backup.place import Place
from core.backup.progress import Observer, Progress, no_observer
from core.backup.reading import changes, items, joined
from core.clock import Random
from core.errors import DamagedError, InterruptedRunError, NotFoundError, UsageError
from core.transfer.digests import Digests
from core.transfer.lines import Keys, item_digest, key_digest
from core.transfer.patience import Stop

MOST_PROBLEMS = 100
_TELL_EVERY = 1000
_ONE = bytes(16)
_SHARE = re.compile(r"(\d+)/(\d+)|(\d+(?:\.\d+)?)%")

Choice = Callable[[Sequence[DataFile]], Sequence[DataFile]]
"""Which data files of an export are read."""


@dataclass(frozen=True)
class TableCheck:
    """What was read of one table: files and items of all its layers, and what is wrong."""

    table: str
    files: int
    files_read: int
    items_read: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Verification:
    """Whether a backup is whole; `subset` where not all of it was read."""

    name: str
    tables: tuple[TableCheck, ...]
    problems: tuple[str, ...]
    subset: str | None = None

    @property
    def state(self) -> str:
        """Valid or damaged."""
        return "damaged" if self.problems else "valid"


class Checker:
    """Reads tables of a backup. For one thread."""

    def __init__(
        self,
        place: Place,
        temporary: Path,
        observe: Observer = no_observer,
        stop: Stop = lambda: False,
    ) -> None:
        """`temporary` is a folder for digests, where there are millions of items."""
        self._place, self._temporary = place, temporary
        self._observe, self._stop = observe, stop
        self.files_read = self.items_read = self._bytes = 0

    def problems(self, table: BackedUpTable, choice: Choice | None = None) -> Iterator[str]:
        """A sentence on everything that is wrong with a table's files; each names the file.

        Raises:
            InterruptedRunError: somebody asked to stop.
            StorageError, TargetError: a file can't be read.
        """
        for layer in table.layers:
            whole = True
            for problem in self._of_layer(table, layer, choice):
                whole = False
                yield problem
            # Of a file that is cut the checks above say more; where only some were read, this
            # tells of the others.
            if whole or choice:
                yield from _amounts(layer)

    def _of_layer(self, table: BackedUpTable, layer: Layer, choice: Choice | None) -> Iterator[str]:
        if layer.backup is not None:
            yield from self._strays(layer)
        files = choice(layer.export.files) if choice else layer.export.files
        with Digests(self._temporary) as digests:
            for number, file in enumerate(files):
                problem = self._read(table, layer, file, number, digests)
                if problem:
                    yield problem
            yield from _duplicates(layer, files, digests)

    def _strays(self, layer: Layer) -> Iterator[str]:
        named = {file.name for file in layer.export.files}
        for entry in self._place.entries(joined(layer.export.folder, manifest.DATA)):
            if entry.name.rpartition("/")[2] not in named:
                yield f"The file '{entry.name}' is in no manifest."

    def _read(
        self,
        table: BackedUpTable,
        layer: Layer,
        file: DataFile,
        number: int,
        digests: Digests,
    ) -> str | None:
        try:
            for key in self._keys(layer, file, table.keys):
                digests.add(key, _ONE, number)
                self.items_read += 1
                if self.items_read % _TELL_EVERY == 0:
                    self._tell(table)
            self.files_read += 1
            self._bytes += layer.export.entry(file).size
        except (DamagedError, NotFoundError) as error:
            return error.what
        finally:
            self._tell(table)
        return None

    def _keys(self, layer: Layer, file: DataFile, keys: Keys | None) -> Iterator[bytes]:
        """The digest of every line's key; where the keys are not known, of its item."""
        export, opener = layer.export, layer.opener
        if export.kind == "incremental":
            for change in changes(self._place, export, file, keys, opener):
                yield key_digest(change.keys)
            return
        for item in items(self._place, export, file, keys, opener):
            yield key_digest(keys.of(item)) if keys else item_digest(item)

    def _tell(self, table: BackedUpTable) -> None:
        if self._stop():
            raise InterruptedRunError("Interrupted.", "Run the same command again.")
        of = sum(layer.export.summary.items for layer in table.layers)
        self._observe(
            Progress(table.table, "checking", self.items_read, self._bytes, 0.0, of, None)
        )


def verify(
    backup: Backup,
    temporary: Path,
    rng: Random,
    *,
    subset: str | None = None,
    observe: Observer = no_observer,
    stop: Stop = lambda: False,
) -> Verification:
    """Reads a backup, or a share of its data files, and what it builds on.

    Args:
        backup: an opened one.
        temporary: a folder for what does not fit into memory.
        rng: chooses the files, where a percentage is to be read.
        subset: `2/10`, the second tenth of the files; `5%`, so many of them by chance.
        observe: told of progress.
        stop: whether somebody asked to stop.

    Raises:
        UsageError: the subset is none.
        InterruptedRunError, StorageError, TargetError: it could not be read to its end.
    """
    choice = parse_subset(subset, rng) if subset else None
    problems: list[str] = []
    if backup.manifest is not None:
        problems += check_files(backup.place, backup.folder, backup.manifest)
    tables = []
    for table in backup.tables:
        checker = Checker(backup.place, temporary, observe, stop)
        found = tuple(_first(checker.problems(table, choice)))
        files = sum(len(layer.export.files) for layer in table.layers)
        tables.append(TableCheck(table.table, files, checker.files_read, checker.items_read, found))
        problems += found
        of = checker.items_read
        observe(Progress(table.table, "done", of, 0, 0.0, of, None))
    return Verification(backup.name, tuple(tables), tuple(problems), subset)


def parse_subset(text: str, rng: Random) -> Choice:
    """What chooses data files: `2/10`, or `5%`; of no export none at all.

    Raises:
        UsageError: neither.
    """
    found = _SHARE.fullmatch(text.strip())
    if found and found[1] and 1 <= int(found[1]) <= int(found[2]):
        part, parts = int(found[1]), int(found[2])
        return lambda files: files[part - 1 :: parts]
    if found and found[3] and 0 < float(found[3]) <= 100:
        share = float(found[3]) / 100
        seed = rng.random()

        def chosen(files: Sequence[DataFile]) -> Sequence[DataFile]:
            # The same ones when it is asked again.
            count = min(len(files), max(1, round(len(files) * share)))
            return Random(seed).sample(list(files), count)

        return chosen
    raise UsageError(
        f"'{text:.40}' is no share of a backup.", "Write a part, `1/10`, or a percentage, `5%`."
    )


def _first(problems: Iterator[str]) -> Iterator[str]:
    for number, problem in enumerate(problems):
        if number >= MOST_PROBLEMS:
            yield "There is more; only the first hundred are told."
            return
        yield problem


def _amounts(layer: Layer) -> Iterator[str]:
    """Whether there are as many data files, of as many bytes, as the set says."""
    backup, export = layer.backup, layer.export
    if backup is None:
        return
    found, said = (len(export.files), export.file_bytes), (backup.files, backup.file_bytes)
    if found != said:
        yield (
            f"The file '{export.folder.split('/')[0]}/{manifest.SET_FILE}' says {said[0]} data "
            f"files of {said[1]} bytes, but '{export.folder}' has {found[0]} of {found[1]} bytes."
        )


def _duplicates(layer: Layer, files: Sequence[DataFile], digests: Digests) -> Iterator[str]:
    for _, first, second in digests.duplicates():
        names = [layer.export.entry(files[number]).name for number in (first, second)]
        also = "once more" if names[0] == names[1] else f"that '{names[0]}' holds too"
        yield f"The file '{names[1]}' holds an item {also}: the same key twice."
