"""DynamoDB's manifests of an export, read with suspicion: they may come from anywhere."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson

from core.backup.manifest import DataFile, Summary
from core.errors import DamagedError

_MD5_BYTES = 16


def parse_files(content: bytes, where: str) -> tuple[DataFile, ...]:
    """The data files that a manifest-files.json names.

    Raises:
        DamagedError: a line is not what an export writes, or names a file outside of its folder,
            or one twice.
    """
    files = tuple(
        _file(_row(line, f"line {number} of '{where}'"), where)
        for number, line in enumerate(content.splitlines(), 1)
    )
    names = [file.name for file in files]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise _damaged(where, f"names the file '{twice:.100}' twice")
    return files


def parse_summary(content: bytes, where: str) -> Summary:
    """What a manifest-summary.json says.

    Raises:
        DamagedError: it is not what an export writes.
    """
    row = _row(content, f"'{where}'")
    if row.get("outputFormat", "DYNAMODB_JSON") != "DYNAMODB_JSON":
        raise _damaged(where, f"is of an export in {row['outputFormat']!r:.40}, not DYNAMODB_JSON")

    def text(name: str, default: str | None = None) -> str:
        value = row.get(name, default)
        return value if isinstance(value, str) else _refuse(where, name)

    def optional(name: str) -> str | None:
        return None if row.get(name) is None else text(name)

    return Summary(
        export_arn=text("exportArn"),
        table_arn=text("tableArn"),
        table_id=text("tableId", ""),
        started_at=text("startTime", ""),
        finished_at=text("endTime", ""),
        at=optional("exportTime") or optional("exportToTime") or text("endTime", ""),
        bucket=text("s3Bucket", ""),
        prefix=optional("s3Prefix") or "",
        manifest_files_key=text("manifestFilesS3Key"),
        item_bytes=_count(row, "billedSizeBytes", where),
        items=_count(row, "itemCount", where),
        sse_algorithm=optional("s3SseAlgorithm") or "",
        sse_key=optional("s3SseKmsKeyId"),
        export_type=optional("exportType") or "FULL_EXPORT",
        from_time=optional("exportFromTime"),
        to_time=optional("exportToTime"),
    )


def _file(row: Mapping[str, Any], where: str) -> DataFile:
    key, md5, etag = (row.get(n) for n in ("dataFileS3Key", "md5Checksum", "etag"))
    if not isinstance(key, str) or not _harmless(key):
        raise _damaged(where, f"names a file outside of its folder: {key!r:.100}")
    if not isinstance(md5, str) or len(_decoded(md5)) != _MD5_BYTES:
        raise _damaged(where, f"has no MD5 for the file '{key:.100}'")
    items = _count(row, "itemCount", where)
    return DataFile(key, items, md5, etag if isinstance(etag, str) else "")


def _harmless(key: str) -> bool:
    parts = key.split("/")
    return (
        bool(parts[-1])
        and not {"..", "."} & set(parts)
        and not key.startswith("/")
        and "\\" not in key
        and key.isprintable()
    )


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _row(text: bytes, where: str) -> Mapping[str, Any]:
    try:
        row = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DamagedError(f"{_capital(where)} is not JSON: {error}.") from error
    if not isinstance(row, dict):
        raise DamagedError(f"{_capital(where)} is not an object of JSON.")
    return row


def _capital(where: str) -> str:
    return f"The file {where}" if where.startswith("'") else where[0].upper() + where[1:]


def _count(row: Mapping[str, Any], name: str, where: str) -> int:
    value = row.get(name)
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return int(value) if whole and value is not None else _refuse(where, name)


def _refuse(where: str, name: str) -> Any:
    raise _damaged(where, f"has no usable '{name}'")


def _damaged(where: str, what: str) -> DamagedError:
    return DamagedError(f"The file '{where}' {what}.", path=where)
