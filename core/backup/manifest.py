"""The manifests of backups: DynamoDB's own of an export, and ours of a set of them.

A set's folder holds, a folder a table, exports laid out exactly as DynamoDB's "export to S3"
writes them, and `set.json`, which is written last: what has none is no backup.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import msgspec
import orjson

from core.errors import DamagedError
from core.transfer.streams import StreamPosition

FORMAT = 1
SET_FILE = "set.json"
PLAN_FILE = "plan.json"
KEYS_FILE = "keys.json"
TABLE_FILE = "table.json"
REMOVED_FILE = "removed.json"
NOTES = "notes"
STARTED = "_started"
FILES = "manifest-files"
SUMMARY = "manifest-summary"
DATA = "data"
EXPORTS = "AWSDynamoDB"
EXPORT_VERSION = "2020-06-30"
SET_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
MANIFEST_BYTES = 256 * 1024 * 1024
"""No manifest is as long: 50,000 files, which is as many as an import takes, need 12 MB."""

Kind = Literal["full", "incremental"]
Method = Literal["scan", "export", "stream"]
Compression = Literal["gzip", "zstd"]
EXTENSIONS: Mapping[str, str] = {"gzip": ".json.gz", "zstd": ".json.zst"}
SEALED = ".age"
_TAIL = b',"sha256":"'
_END = b'"}\n'
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class DataFile:
    """A line of manifest-files: a data file, its items, and the base64 MD5 of its bytes."""

    key: str
    items: int
    md5: str
    etag: str

    @property
    def name(self) -> str:
        """The file's name, whatever folder the manifest says it was written to."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True)
class Summary:
    """What manifest-summary says of an export; times as DynamoDB writes them."""

    export_arn: str
    table_arn: str
    table_id: str
    started_at: str
    finished_at: str
    at: str
    bucket: str
    prefix: str
    manifest_files_key: str
    item_bytes: int
    items: int
    sse_algorithm: str = "AES256"
    sse_key: str | None = None
    export_type: str = "FULL_EXPORT"
    from_time: str | None = None
    to_time: str | None = None

    @property
    def table(self) -> str:
        """The name of the table."""
        return self.table_arn.partition(":table/")[2].partition("/")[0] or self.table_arn

    @property
    def kind(self) -> Kind:
        """Whether its lines are items or changes."""
        return "incremental" if self.export_type == "INCREMENTAL_EXPORT" else "full"


@dataclass(frozen=True)
class FileSum:
    """The size of a file in bytes and its SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class TableBackup:
    """One table's part of a set.

    `keys` are its key attributes, each with its type, the hash key first.
    `folder` holds the export, relative to the set's folder. The table was read from `started_at`
    to `finished_at`; where `consistent`, the items are those that stood at the instant `at`.
    `position` is where an increment goes on. Sizes are in bytes: of items as DynamoDB bills them,
    of files as they lie.
    """

    table: str
    table_id: str
    keys: tuple[tuple[str, str], ...]
    folder: str
    kind: Kind
    method: Method
    consistent: bool
    why_not: str
    started_at: str
    finished_at: str
    at: str
    items: int
    item_bytes: int
    files: int
    file_bytes: int
    read_units: float
    position: StreamPosition | None = None


@dataclass(frozen=True)
class StackVersion:
    """A stack that stood: which template it was made of, and with which parameters."""

    name: str
    template_sha256: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class SetManifest:
    """`set.json`: the tables of one backup; `base` is the set that it is an increment of."""

    id: str
    project: str
    where: str
    tool: str
    started_at: str
    finished_at: str
    compression: Compression
    encrypted: bool
    tables: tuple[TableBackup, ...]
    files: Mapping[str, FileSum]
    base: str | None = None
    engine: str | None = None
    stacks: tuple[StackVersion, ...] = field(default=())

    @property
    def items(self) -> int:
        """Items (or changes) of all tables."""
        return sum(table.items for table in self.tables)

    @property
    def file_bytes(self) -> int:
        """Bytes of all data files."""
        return sum(table.file_bytes for table in self.tables)


def seal_manifest(manifest: SetManifest) -> bytes:
    """The content of `set.json`: with its format's number, and its own checksum at the end."""
    body = msgspec.json.encode({"format": FORMAT, "set": manifest}, order="deterministic")[:-1]
    return body + _TAIL + hashlib.sha256(body).hexdigest().encode() + _END


def read_set_manifest(content: bytes, where: str) -> SetManifest:
    """The manifest that `seal_manifest` made; `where` names the file.

    Raises:
        DamagedError: it is altered, cut short, or of a newer format.
    """
    body, tail, rest = content.rpartition(_TAIL)
    if not tail or rest != hashlib.sha256(body).hexdigest().encode() + _END:
        raise DamagedError(f"The file '{where}' is altered or cut short.", path=where)
    try:
        found = orjson.loads(body + b"}")
        version = found["format"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise DamagedError(f"The file '{where}' is no manifest of a backup.", path=where) from error
    if type(version) is not int or version < 1:
        raise DamagedError(f"The file '{where}' is of no format: {version!r:.40}.", path=where)
    if version > FORMAT:
        raise DamagedError(
            f"The file '{where}' is of format {version}; this version knows {FORMAT}.",
            "Use the version of ialctl that took it, or a newer one.",
            path=where,
            format=version,
        )
    made = convert(found.get("set"), SetManifest, where)
    names = [table.table for table in made.tables]
    if not names or len(set(names)) != len(names):
        what = "names a table twice" if names else "names no table"
        raise DamagedError(f"The file '{where}' {what}.", path=where)
    return made


def convert(plain: object, kind: type[_Made], where: str) -> _Made:
    """A value of ours from plain data.

    Raises:
        DamagedError: a field is missing, or of another type.
    """
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        raise DamagedError(
            f"The file '{where}' is not what this writes: {error}.", path=where
        ) from error


def load(content: bytes, kind: type[_Made], where: str) -> _Made:
    """A value of ours from a file's content.

    Raises:
        DamagedError: it is not JSON, or not of this kind.
    """
    try:
        return convert(orjson.loads(content), kind, where)
    except orjson.JSONDecodeError as error:
        raise DamagedError(f"The file '{where}' is not JSON: {error}.", path=where) from error


def dump(value: object) -> bytes:
    """A value of ours as a file's content."""
    return msgspec.json.encode(value, order="deterministic") + b"\n"


def file_sum(content: bytes) -> FileSum:
    """Size and checksum of a file's content."""
    return FileSum(len(content), hashlib.sha256(content).hexdigest())


def md5_text(digest: bytes) -> str:
    """An MD5 as exports write it: base64."""
    return base64.b64encode(digest).decode()


def data_file(key: str, items: int, body: bytes) -> DataFile:
    """What manifest-files says of a data file; `key` is relative to the bucket's root."""
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    return DataFile(key, items, md5_text(digest), etag_of(digest))


def etag_of(digest: bytes) -> str:
    """S3's entity tag of an object that was uploaded in one part of a multipart upload."""
    return f"{hashlib.md5(digest, usedforsecurity=False).hexdigest()}-1"


def data_name(*about: object) -> str:
    """The name of a data file, 26 characters; the same one for the same part of a backup."""
    digest = hashlib.blake2b("\0".join(map(str, about)).encode(), digest_size=16).digest()
    return base64.b32encode(digest).decode().rstrip("=").lower()


def export_id(started_s: float, token: str) -> str:
    """An export's id: `0`, the start in milliseconds, and eight hex digits."""
    return f"0{int(started_s * 1000):013d}-{token[:8]}"


def set_id(started_s: float, token: str) -> str:
    """A set's id; ids are in the order of their starts."""
    return f"{datetime.fromtimestamp(started_s, UTC):%Y%m%dT%H%M%SZ}-{token[:8]}"


def instant(epoch_s: float) -> str:
    """An instant as exports write it: `2026-05-08T13:56:00.000Z`."""
    moment = datetime.fromtimestamp(epoch_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_of(text: str) -> float:
    """The epoch seconds of an instant as exports write it.

    Raises:
        ValueError: it is none.
    """
    return datetime.fromisoformat(text).timestamp()


def files_manifest(files: tuple[DataFile, ...]) -> bytes:
    """The content of manifest-files.json."""
    rows = (
        {"itemCount": f.items, "md5Checksum": f.md5, "etag": f.etag, "dataFileS3Key": f.key}
        for f in files
    )
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def summary_manifest(summary: Summary) -> bytes:
    """The content of manifest-summary.json."""
    row: dict[str, Any] = {
        "version": EXPORT_VERSION,
        "exportArn": summary.export_arn,
        "startTime": summary.started_at,
        "endTime": summary.finished_at,
        "tableArn": summary.table_arn,
        "tableId": summary.table_id,
        "exportTime": summary.at,
        "s3Bucket": summary.bucket,
        "s3Prefix": summary.prefix,
        "s3SseAlgorithm": summary.sse_algorithm,
        "s3SseKmsKeyId": summary.sse_key,
        "manifestFilesS3Key": summary.manifest_files_key,
        "billedSizeBytes": summary.item_bytes,
        "itemCount": summary.items,
        "outputFormat": "DYNAMODB_JSON",
    }
    if summary.kind == "incremental":
        row |= {
            "exportType": summary.export_type,
            "exportFromTime": summary.from_time,
            "exportToTime": summary.to_time,
            "outputView": "NEW_AND_OLD_IMAGES",
        }
    return orjson.dumps(row) + b"\n"


def checksum_file(content: bytes) -> bytes:
    """The content of a manifest's `.md5` file: base64 of its MD5, and no newline."""
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest())
