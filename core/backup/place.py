"""Where backups lie: a folder or a prefix of a bucket, behind one interface."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from core.aws.session import AwsSession
from core.errors import DamagedError, UsageError

DEFAULT_PREFIX = "backups"
_BUCKET_NAME = re.compile(r"[A-Za-z0-9._-]{3,255}")
_MAX_NAME_BYTES = 900
"""S3's keys have 1,024 bytes; what is left is for the prefix."""


@dataclass(frozen=True)
class Entry:
    """A file of a place: its name from the place's root, its size in bytes."""

    name: str
    size: int


class Place(Protocol):
    """A folder or a bucket's prefix that holds backups. Thread-safe.

    Names are relative POSIX paths. Any name that is none (absolute, `..`, a backslash, an empty
    part) raises `DamagedError`: names come from manifests, and a good one holds no such name.
    Every method may raise `StorageError` (a folder) or a `TargetError` (a bucket).
    """

    @property
    def url(self) -> str:
        """What a person types to name it: `backups`, `s3://bucket/prefix`."""

    @property
    def bucket(self) -> tuple[str, str] | None:
        """Bucket and prefix (without a slash at its end), where it is one."""

    def put(self, name: str, body: bytes) -> None:
        """Writes a file whole or not at all, over whatever stands; on disk when it returns."""

    def put_new(self, name: str, body: bytes) -> bool:
        """Writes a file where there is none; False where there is one. Of many one wins."""

    def swap(self, name: str, before: bytes, after: bytes | None) -> bool:
        """Replaces a file (None: deletes it) only if it holds `before`; False where not."""

    def get(self, name: str, most_bytes: int | None = None) -> bytes:
        """A file's content.

        Raises:
            NotFoundError: there is no such file.
            DamagedError: it holds more than `most_bytes`; nothing of it was read.
        """

    def open(self, name: str) -> BinaryIO:
        """A file to be read from its beginning, some MiB in memory at most.

        Raises:
            NotFoundError: there is no such file.
        """

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """The files of the folder `prefix` and of all below it, in order of their names."""

    def folders(self, prefix: str = "") -> Iterator[str]:
        """The names of the folders directly in the folder `prefix`, in order."""

    def delete(self, names: Sequence[str]) -> None:
        """Deletes files, in this order; those not there are no error. Emptied folders go too."""


def checked_name(name: str) -> str:
    """A name that can't lead out of a place.

    Raises:
        DamagedError: it could, or no file can be called so.
    """
    parts = name.split("/")
    bad = any(part in ("", ".", "..") for part in parts) or "\\" in name or "\0" in name
    if bad or len(name.encode("utf-8", "replace")) > _MAX_NAME_BYTES:
        raise DamagedError(
            f"The file name {name[:200]!r} leads out of the backup, or is none.",
            "The manifest that names it is not what was written: verify the backup.",
            name=name,
        )
    return name


def open_place(url: str, session: AwsSession | Callable[[], AwsSession], project: str) -> Place:
    """The place that a person named; nothing is written yet.

    Args:
        url: `backups`, `/abs/folder`, `file:///folder`, `s3://bucket/prefix`; `s3://` alone is
            the project's own backup bucket.
        session: or what makes one; asked only where a bucket is meant.
        project: whose backup bucket `s3://` is.

    Raises:
        UsageError: it names no place.
        NotFoundError: `s3://` alone, and the project has no backup bucket.
    """
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme == "s3":
        return _bucket(url, session() if callable(session) else session, project)
    if scheme not in ("", "file"):
        raise UsageError(
            f"Backups can't lie at '{url}'.",
            "Name a folder, or a bucket as `s3://bucket/prefix`.",
            url=url,
        )
    from core.backup.folder import FolderPlace

    path = unquote(urlsplit(url).path) if scheme else url
    if not path.strip():
        raise UsageError("The folder for backups has no name.", "Name one: `--to backups`.")
    return FolderPlace(Path(path).expanduser(), url)


def _bucket(url: str, session: AwsSession, project: str) -> Place:
    from core.aws.objects import open_backup_bucket
    from core.backup.bucket import BucketPlace

    bucket, _, prefix = url[len("s3://") :].partition("/")
    prefix = prefix.strip("/")
    if not bucket:
        bucket = open_backup_bucket(session, project).bucket
        prefix = prefix or DEFAULT_PREFIX
    if not _BUCKET_NAME.fullmatch(bucket):
        raise UsageError(
            f"No bucket can be called '{bucket}'.",
            "Name one as `s3://bucket/prefix`: letters, digits, '.', '-' and '_'.",
            url=url,
        )
    if prefix:
        checked_prefix(prefix, url)
    return BucketPlace(session.client("s3"), bucket, prefix, session.where)


def checked_prefix(prefix: str, url: str) -> None:
    """Refuses a prefix that no folder could have.

    Raises:
        UsageError: it has an empty part, or `..`.
    """
    try:
        checked_name(prefix)
    except DamagedError:
        raise UsageError(
            f"The prefix '{prefix}' of '{url}' can't be used.",
            "Write it as folders are written: `s3://bucket/some/prefix`.",
            url=url,
        ) from None
