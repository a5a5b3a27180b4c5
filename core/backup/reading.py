"""An export on a place, ours or AWS's own: its manifests checked, its data files line by line."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from core.aws.codec import WireItem
from core.backup import manifest
from core.backup.manifest import DataFile, Kind, Summary
from core.backup.parsing import parse_files, parse_summary
from core.backup.place import Entry, Place
from core.backup.unpacking import lines_of, read_chunks
from core.errors import BadLineError, DamagedError, NotFoundError
from core.transfer.lines import Change, Keys, parse_change, parse_item

_Parsed = TypeVar("_Parsed")
_CHECKSUMS = (".md5", ".checksum")
"""AWS's documentation names the second one, AWS writes the first."""
_CHECKSUM_BYTES = 1024
SEALED_BYTES = 64 * 1024 * 1024
"""A sealed file is opened in memory; ours are of 8 MiB."""


class Opener(Protocol):
    """Opens what was sealed."""

    def open(self, sealed: bytes) -> bytes:
        """The content.

        Raises:
            DamagedError: it was altered, or sealed for another key.
        """


@dataclass(frozen=True)
class Export:
    """An export: what its manifests say, and which file of the place each data file is."""

    folder: str
    summary: Summary
    files: tuple[DataFile, ...]
    entries: Mapping[str, Entry]

    @property
    def kind(self) -> Kind:
        """Whether its lines are items or changes."""
        return self.summary.kind

    @property
    def file_bytes(self) -> int:
        """Bytes of all data files."""
        return sum(entry.size for entry in self.entries.values())

    def entry(self, file: DataFile) -> Entry:
        """Where a data file lies.

        Raises:
            DamagedError: it does not.
        """
        found = self.entries.get(file.name)
        if found is None:
            raise DamagedError(
                f"The file '{self.folder}/{manifest.DATA}/{file.name}' is missing.",
                path=file.name,
            )
        return found


def open_export(place: Place, folder: str) -> Export:
    """The export in a folder, by its two manifests; no data file is read.

    Raises:
        DamagedError: a manifest is missing, altered, or at odds with the other.
    """
    where = joined(folder, f"{manifest.SUMMARY}.json")
    summary = parse_summary(_checked(place, folder, manifest.SUMMARY), where)
    content = _checked(place, folder, manifest.FILES)
    files = parse_files(content, joined(folder, f"{manifest.FILES}.json"))
    named = sum(file.items for file in files)
    if named != summary.items:
        raise DamagedError(
            f"The file '{where}' says {summary.items} items, but the files that "
            f"{manifest.FILES}.json names have {named}.",
            path=where,
        )
    return Export(folder, summary, files, _entries(place, folder, files))


def find_summary(place: Place, folder: str) -> Summary | None:
    """What the export in a folder says of itself; None where none has come to its end there.

    Raises:
        DamagedError: its summary is altered.
    """
    if not _exists(place, joined(folder, f"{manifest.SUMMARY}.json")):
        return None
    where = joined(folder, f"{manifest.SUMMARY}.json")
    return parse_summary(_checked(place, folder, manifest.SUMMARY), where)


def find_exports(place: Place, folder: str) -> tuple[str, ...]:
    """The folders of the exports in and under a folder: itself, or those in `AWSDynamoDB/`."""
    if _exists(place, joined(folder, f"{manifest.SUMMARY}.json")):
        return (folder,)
    named = folder.rpartition("/")[2] == manifest.EXPORTS
    inside = folder if named else joined(folder, manifest.EXPORTS)
    names = (name for name in place.folders(inside) if name != manifest.DATA)
    return tuple(joined(inside, name) for name in names)


def lines(
    place: Place, export: Export, file: DataFile, opener: Opener | None = None
) -> Iterator[bytes]:
    """The lines of a data file; that it is whole is known when the last one was given.

    Raises:
        DamagedError: it is missing, altered, cut short, or has another number of lines.
    """
    entry, count = export.entry(file), 0
    digest = hashlib.md5(usedforsecurity=False)
    for line in lines_of(read_entry(place, entry, opener, digest.update), entry.name):
        count += 1
        if count > file.items:
            break
        yield line
    else:
        if base64.b64encode(digest.digest()).decode() != file.md5:
            raise DamagedError(f"The file '{entry.name}' is altered: its MD5 is another.")
    if count != file.items:
        many = f"more than {file.items}" if count > file.items else str(count)
        raise DamagedError(
            f"The file '{entry.name}' has {many} lines; {manifest.FILES}.json says {file.items}.",
            path=entry.name,
        )


def items(
    place: Place, export: Export, file: DataFile, keys: Keys | None, opener: Opener | None = None
) -> Iterator[WireItem]:
    """The items of a full export's data file, each checked.

    Raises:
        DamagedError: as `lines`, or a line holds no item that a table would take.
    """
    return _parsed(lines(place, export, file, opener), export, file, lambda x: parse_item(x, keys))


def changes(
    place: Place, export: Export, file: DataFile, keys: Keys | None, opener: Opener | None = None
) -> Iterator[Change]:
    """The changes of an incremental export's data file, each checked.

    Raises:
        DamagedError: as `lines`, or a line holds no change.
    """
    return _parsed(
        lines(place, export, file, opener), export, file, lambda x: parse_change(x, keys)
    )


def _parsed(
    found: Iterator[bytes], export: Export, file: DataFile, parse: Callable[[bytes], _Parsed]
) -> Iterator[_Parsed]:
    for number, line in enumerate(found, 1):
        try:
            yield parse(line)
        except BadLineError as error:
            name = export.entry(file).name
            raise DamagedError(
                f"Line {number} of the file '{name}' can't be used: {error.what}.", path=name
            ) from error


def joined(folder: str, name: str) -> str:
    """A name in a folder of a place; the root is ""."""
    return f"{folder}/{name}" if folder else name


def _exists(place: Place, name: str) -> bool:
    try:
        place.get(name, manifest.MANIFEST_BYTES)
    except NotFoundError:
        return False
    return True


def _checked(place: Place, folder: str, name: str) -> bytes:
    path = joined(folder, f"{name}.json")
    try:
        content = place.get(path, manifest.MANIFEST_BYTES)
    except NotFoundError as error:
        raise DamagedError(
            f"The file '{path}' is missing: the export is incomplete.", path=path
        ) from error
    expected = _checksum(place, joined(folder, name))
    if expected.strip() != manifest.checksum_file(content):
        raise DamagedError(f"The file '{path}' is altered: its MD5 is another.", path=path)
    return content


def _checksum(place: Place, stem: str) -> bytes:
    for ending in _CHECKSUMS:
        try:
            return place.get(f"{stem}{ending}", _CHECKSUM_BYTES)
        except NotFoundError:
            continue
    raise DamagedError(f"The file '{stem}.md5' is missing.", path=f"{stem}.md5")


def _entries(place: Place, folder: str, files: tuple[DataFile, ...]) -> Mapping[str, Entry]:
    wanted = {file.name for file in files}
    if not wanted:
        return {}
    # An incremental export of AWS's keeps its data beside its own folder.
    beside = joined(folder.rpartition("/")[0], manifest.DATA)
    for data in (joined(folder, manifest.DATA), beside):
        found = {
            name: entry
            for entry in place.entries(data)
            if (name := entry.name.rpartition("/")[2]) in wanted
        }
        if found:
            return found
    return {}


def read_entry(
    place: Place,
    entry: Entry,
    opener: Opener | None,
    note: Callable[[bytes], object] = lambda _: None,
) -> Iterator[bytes]:
    """The bytes of a data file, opened where it is sealed; `note` is told those that lie there.

    Raises:
        DamagedError: it is sealed, and can't be opened.
    """
    if not entry.name.endswith(manifest.SEALED):
        with place.open(entry.name) as source:
            yield from read_chunks(source, note)
        return
    if opener is None:
        raise DamagedError(f"The file '{entry.name}' is encrypted, but its set names no keys.")
    sealed = place.get(entry.name, SEALED_BYTES)
    note(sealed)
    try:
        yield opener.open(sealed)
    except DamagedError as error:
        raise DamagedError(
            f"The file '{entry.name}' can't be opened: {error.what}", error.cure, path=entry.name
        ) from error
