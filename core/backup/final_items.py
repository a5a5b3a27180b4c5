"""The items that a table had at the end of a backup: of a full export and what changed since.

The newest change of each key is kept in a private file; then the full export's items are given,
without those that changed, and after them the changed ones as they stood last. So memory does not
grow with the table, and each key is given once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

from core.aws.codec import WireItem
from core.backup.manifest import DataFile
from core.backup.opening import BackedUpTable, Layer
from core.backup.place import Place
from core.backup.reading import changes, items
from core.transfer.changes import Changes
from core.transfer.lines import Change, Keys

CHANGED = "changed"
"""What the part is called that holds what increments changed."""


@dataclass(frozen=True)
class Part:
    """Items that are read together: those of a data file, by its name."""

    name: str
    items: Iterator[WireItem]


class FinalItems:
    """The items of a table, in parts. For one thread; enter it with `with`.

    Raises, while it is read:
        DamagedError: a file is missing, altered, or holds what is no item.
    """

    def __init__(
        self,
        place: Place,
        table: BackedUpTable,
        keys: Keys,
        each_file: Callable[[], None] = lambda: None,
    ) -> None:
        """`each_file` is called before each file is read; what it raises ends the reading."""
        self._each_file = each_file
        self._place, self._keys = place, keys
        self._base, *self._increments = table.layers
        self._changes: Changes | None = None

    def __enter__(self) -> Self:
        if self._increments:
            self._changes = self._folded()
        return self

    def __exit__(self, *_: object) -> None:
        if self._changes is not None:
            self._changes.__exit__()

    def parts(self) -> Iterator[Part]:
        """Every part, to be read one after the other; skipping one is fine."""
        for file in self._base.export.files:
            self._each_file()
            yield Part(file.name, self._of_file(file))
        if self._changes is not None:
            yield Part(CHANGED, self._changes.images())

    def __iter__(self) -> Iterator[WireItem]:
        for part in self.parts():
            yield from part.items

    def _of_file(self, file: DataFile) -> Iterator[WireItem]:
        layer, changed = self._base, self._changes
        found = items(self._place, layer.export, file, self._keys, layer.opener)
        if changed is None:
            return found
        return (item for item in found if not changed.has(self._keys.of(item)))

    def _folded(self) -> Changes:
        made = Changes()
        for layer in reversed(self._increments):
            for change in self._of_increment(layer):
                made.keep_newest(change)
        return made

    def _of_increment(self, layer: Layer) -> Iterator[Change]:
        for file in layer.export.files:
            self._each_file()
            yield from changes(self._place, layer.export, file, self._keys, layer.opener)
