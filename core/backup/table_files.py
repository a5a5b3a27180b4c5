"""Where the files of one table of a set lie, and the manifests that end it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from core.backup import manifest
from core.backup.manifest import Compression, DataFile, Summary
from core.backup.packing import Packed, Packer, Target
from core.backup.place import Entry, Place
from core.backup.plans import SetPlan, TablePlan
from core.backup.reading import joined, read_entry
from core.backup.sealing import SetKeys
from core.backup.unpacking import lines_of
from core.errors import DamagedError, NotFoundError


@dataclass(frozen=True)
class Totals:
    """Items (or changes) and their billed bytes; data files and their bytes."""

    items: int
    item_bytes: int
    files: tuple[Packed, ...]

    @property
    def file_bytes(self) -> int:
        """Bytes of the data files."""
        return sum(packed.size for packed in self.files)


class TableFiles:
    """The files of one table in a set that is being made. Thread-safe."""

    def __init__(self, place: Place, plan: SetPlan, table: TablePlan, keys: SetKeys | None) -> None:
        """`keys` seal the data files, where they are to be sealed."""
        self._place = place
        self._set = plan.id
        self._compression: Compression = plan.compression
        self._table = table
        self._keys = keys
        self.folder = joined(plan.id, table.folder)
        self._data = joined(self.folder, manifest.DATA)

    def packer(self, *part: object) -> Packer:
        """Packs one part of the table; the same part gives files of the same names."""

        def name(number: int) -> str:
            return manifest.data_name(self._set, self._table.table, *part, number)

        return Packer(
            Target(
                put=lambda file, body: self._place.put(joined(self._data, file), body),
                key=lambda file: self._rooted(joined(self._data, file)),
                name=name,
                compression=self._compression,
                seal=self._keys.seal if self._keys else None,
            )
        )

    def begin(self) -> None:
        """Marks the export as begun, as AWS does."""
        self._place.put(joined(self.folder, manifest.STARTED), b"")

    def put_note(self, name: str, content: object) -> None:
        """Keeps what a killed run goes on by."""
        self._place.put(joined(self._notes, f"{name}.json"), manifest.dump(content))

    def notes(self) -> Iterator[tuple[str, bytes]]:
        """The notes that were kept: where each lies, and what it says."""
        for entry in self._place.entries(self._notes):
            yield entry.name, self._place.get(entry.name, manifest.MANIFEST_BYTES)

    def drop_notes(self) -> None:
        """Removes the notes."""
        self._place.delete([entry.name for entry in self._place.entries(self._notes)])

    def is_whole(self, packed: Packed) -> bool:
        """Whether a data file lies there as it was put."""
        try:
            body = self._place.get(self._named(packed.file), packed.size)
        except (NotFoundError, DamagedError):
            return False  # gone, or longer than it was
        return manifest.data_file(packed.file.key, packed.file.items, body) == packed.file

    def lines(self, packed: Packed) -> Iterator[bytes]:
        """The lines of a data file that was put."""
        entry = Entry(self._named(packed.file), packed.size)
        yield from lines_of(read_entry(self._place, entry, self._keys), entry.name)

    def finish(self, files: Iterable[DataFile], summary: Callable[[str, str], Summary]) -> None:
        """Removes what a killed run left, and puts the two manifests; then the table is done.

        `summary` makes the second one from the export's prefix and the first one's key.
        """
        kept = tuple(files)
        wanted = {self._named(file) for file in kept}
        # An import reads every file of the folder, so none may lie there that is not meant.
        strays = [e.name for e in self._place.entries(self._data) if e.name not in wanted]
        self._place.delete(strays)
        path = joined(self.folder, manifest.FILES)
        self._put_checked(manifest.FILES, manifest.files_manifest(kept))
        prefix = self._rooted(joined(self._set, self._table.table))
        made = summary(prefix, self._rooted(f"{path}.json"))
        self._put_checked(manifest.SUMMARY, manifest.summary_manifest(made))

    def _put_checked(self, name: str, content: bytes) -> None:
        self._place.put(joined(self.folder, f"{name}.json"), content)
        self._place.put(joined(self.folder, f"{name}.md5"), manifest.checksum_file(content))

    @property
    def _notes(self) -> str:
        return f"{self._set}/{self._table.table}/{manifest.NOTES}"

    def _named(self, file: DataFile) -> str:
        return joined(self._data, file.name)

    def _rooted(self, name: str) -> str:
        """A name from the bucket's root, as manifests have it."""
        prefix = self._place.bucket[1] if self._place.bucket else ""
        return joined(prefix, name)
