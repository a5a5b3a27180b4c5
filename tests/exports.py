"""Exports as AWS lays them out, written with nothing but the standard library."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Written:
    """An export that was written: its folder, and the names of its data files."""

    folder: Path
    names: tuple[str, ...]


@dataclass(frozen=True)
class ExportWriter:
    """Writes exports of one table under a folder that stands for a bucket."""

    bucket: Path
    table: str
    prefix: str = ""
    checksum: str = ".md5"

    def full(self, parts: Sequence[Sequence[Row]], at: str = "2026-05-08T13:56:00.000Z") -> Written:
        """A full export: a data file a part; an empty part gives an empty file."""
        lines = [[{"Item": item} for item in part] for part in parts]
        return self._write(lines, {"exportTime": at}, beside=False)

    def incremental(self, changes: Sequence[Row], begin: str, end: str) -> Written:
        """An incremental export of whole lines; its data lies beside its own folder."""
        more = {
            "exportTime": None,
            "exportType": "INCREMENTAL_EXPORT",
            "exportFromTime": begin,
            "exportToTime": end,
            "outputView": "NEW_AND_OLD_IMAGES",
        }
        return self._write([changes], more, beside=True)

    def _write(self, parts: Sequence[Sequence[Row]], more: Row, *, beside: bool) -> Written:
        export = f"0{1_778_248_560_000 + secrets.randbelow(10**6)}-{secrets.token_hex(4)}"
        root = "/".join(filter(None, (self.prefix, "AWSDynamoDB")))
        folder = self.bucket / root / export
        data = f"{root}/data" if beside else f"{root}/{export}/data"
        (self.bucket / data).mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "_started").write_bytes(b"")
        rows, names = [], []
        for part in parts:
            name = base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()
            body = _gzipped(part)
            (self.bucket / data / f"{name}.json.gz").write_bytes(body)
            names.append(f"{name}.json.gz")
            rows.append(_row(part, body, f"{data}/{name}.json.gz"))
        files = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        self._checked(folder, "manifest-files", files)
        arn = f"arn:aws:dynamodb:us-east-1:123456789012:table/{self.table}"
        summary = {
            "version": "2020-06-30",
            "exportArn": f"{arn}/export/{export}",
            "startTime": "2026-05-08T13:56:00.123Z",
            "endTime": "2026-05-08T14:01:10.456Z",
            "tableArn": arn,
            "tableId": "0f6b7a54-5b1c-4b6e-9d0c-3f5b8a0e6a11",
            "s3Bucket": "a-bucket",
            "s3Prefix": self.prefix or None,
            "s3SseAlgorithm": "AES256",
            "s3SseKmsKeyId": None,
            "manifestFilesS3Key": f"{root}/{export}/manifest-files.json",
            "billedSizeBytes": 0,
            "itemCount": sum(map(len, parts)),
            "outputFormat": "DYNAMODB_JSON",
            **more,
        }
        self._checked(folder, "manifest-summary", json.dumps(summary, separators=(",", ":")) + "\n")
        return Written(folder, tuple(names))

    def _checked(self, folder: Path, name: str, text: str) -> None:
        content = text.encode()
        (folder / f"{name}.json").write_bytes(content)
        digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest())
        (folder / f"{name}{self.checksum}").write_bytes(digest)


def _gzipped(part: Sequence[Row]) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) as file:
        for row in part:
            file.write(json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
    return out.getvalue()


def _row(part: Sequence[Row], body: bytes, key: str) -> Row:
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    return {
        "itemCount": len(part),
        "md5Checksum": base64.b64encode(digest).decode(),
        "etag": hashlib.md5(digest, usedforsecurity=False).hexdigest() + "-1",
        "dataFileS3Key": key,
    }
