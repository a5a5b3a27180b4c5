"""A backup's files damaged by hand, and forged: with every checksum made right again."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

Row = dict[str, Any]


@dataclass(frozen=True)
class SetFolder:
    """The folder of one set of one table; nothing here is shared with what wrote it."""

    folder: Path

    @property
    def id(self) -> str:
        """The set's id."""
        return self.folder.name

    @property
    def export(self) -> Path:
        """The folder of its export."""
        return next(self.folder.rglob("manifest-files.json")).parent

    @property
    def data(self) -> list[Path]:
        """The data files, the largest first."""
        found = (self.export / "data").iterdir()
        return sorted(found, key=lambda path: path.stat().st_size, reverse=True)

    def path(self, kind: str) -> Path:
        """The file of a name; "data": the largest data file."""
        return self.data[0] if kind == "data" else next(self.folder.rglob(kind))

    def flip(self, kind: str, at: float = 0.5) -> Path:
        """Flips a bit of a file, so far from its beginning."""
        path = self.path(kind)
        body = bytearray(path.read_bytes())
        body[int((len(body) - 1) * at)] ^= 1
        path.write_bytes(bytes(body))
        return path

    def rows(self) -> list[Row]:
        """The lines of manifest-files.json."""
        return [
            json.loads(line) for line in self.path("manifest-files.json").read_bytes().splitlines()
        ]

    def write_rows(self, rows: Sequence[Row]) -> None:
        """Puts others in their place."""
        text = "".join(json.dumps(row) + "\n" for row in rows)
        self.path("manifest-files.json").write_text(text)

    def edit_json(self, kind: str, edit: Callable[[Row], object]) -> Path:
        """Changes what a file of JSON holds; of set.json what stands in its `set`."""
        path = self.path(kind)
        found = json.loads(path.read_bytes())
        edit(found["set"] if kind == "set.json" else found)
        path.write_text(json.dumps(found, separators=(",", ":")) + "\n")
        return path

    def lines(self, path: Path | None = None) -> list[bytes]:
        """The lines of a data file, which is not encrypted."""
        body = (path or self.data[0]).read_bytes()
        return _unpacked(path or self.data[0], body).splitlines()

    def write_lines(self, lines: Sequence[bytes], path: Path | None = None) -> Path:
        """Others in their place; counts and checksums are forged."""
        found = path or self.data[0]
        found.write_bytes(_packed(found, b"".join(line + b"\n" for line in lines)))
        rows = self.rows()
        for row in rows:
            if row["dataFileS3Key"].endswith(found.name):
                row["itemCount"] = len(lines)
        self.write_rows(rows)
        self.forge(counts=True)
        return found

    def forge(self, *, counts: bool = False) -> None:
        """Makes every checksum right, and where wished every count."""
        rows = self.rows()
        for row in rows:
            path = self.export / "data" / row["dataFileS3Key"].rpartition("/")[2]
            if path.is_file():
                row["md5Checksum"] = _md5(path.read_bytes())
        self.write_rows(rows)
        items = sum(row["itemCount"] for row in rows)
        if counts:
            self.edit_json("manifest-summary.json", lambda row: row.update(itemCount=items))
        for name in ("manifest-files", "manifest-summary"):
            content = self.path(f"{name}.json").read_bytes()
            (self.export / f"{name}.md5").write_text(_md5(content))
        if counts:
            sizes = sum(path.stat().st_size for path in self.data)
            totals = {"items": items, "file_bytes": sizes}
            self.edit_json("set.json", lambda found: found["tables"][0].update(totals))
        self.forge_set()

    def forge_set(self, **top: Any) -> None:
        """Makes set.json hold the sums of the files as they lie, and its own; with other fields
        beside `set`, such as a format."""
        path = self.folder / "set.json"
        found = json.loads(path.read_bytes())
        for name in list(found["set"]["files"]):
            file = self.folder / name
            if file.exists():
                body = file.read_bytes()
                sums = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
                found["set"]["files"][name] = sums
            else:
                del found["set"]["files"][name]
        found.pop("sha256", None)
        seal(path, found | top)


def seal(path: Path, found: Any) -> None:
    """Writes a set.json with its own checksum at the end."""
    body = json.dumps(found, separators=(",", ":")).encode()[:-1]
    path.write_bytes(body + b',"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n')


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _unpacked(path: Path, body: bytes) -> bytes:
    if path.name.endswith(".gz"):
        return gzip.decompress(body)
    return zstandard.ZstdDecompressor().decompressobj().decompress(body)


def _packed(path: Path, text: bytes) -> bytes:
    return gzip.compress(text) if path.name.endswith(".gz") else zstandard.compress(text)
