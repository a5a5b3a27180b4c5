"""Backups in a bucket: whole objects, conditional writes, reads that go on where they were cut."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, TypeVar

from botocore import exceptions as boto
from urllib3.exceptions import HTTPError

from core.aws.session import AwsClient
from core.backup.folder import too_large
from core.backup.place import Entry, checked_name
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import (
    AwsError,
    ConditionFailedError,
    DamagedError,
    EndpointUnreachableError,
    NotFoundError,
    StorageError,
)
from core.resilience.retry import Retrier, RetryPolicy

CHUNK_BYTES = 8 * 1024 * 1024
_DELETED_AT_ONCE = 1000
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
# What reading an answer's body raises where the connection breaks in the middle of it.
_CUT = (boto.IncompleteReadError, boto.HTTPClientError, HTTPError, OSError)
Result = TypeVar("Result")


class _CutError(Exception):
    """A body ended before its length, or a conditional write met another: to be tried again."""


def rereads(clock: Clock = SYSTEM_CLOCK) -> Retrier:
    """Reads again what was cut; requests that fail are tried again by the client."""
    return Retrier(RetryPolicy(), lambda error: isinstance(error, _CutError), clock=clock)


class BucketPlace:
    """A prefix of a bucket. What is deleted or overwritten stays as an old version, where the
    bucket keeps those."""

    def __init__(
        self,
        client: AwsClient,
        bucket: str,
        prefix: str,
        where: str,
        retrier: Retrier | None = None,
    ) -> None:
        """A place in `bucket`; `where` is the target in words."""
        self._client = _Client(client, bucket, where)
        self._bucket = bucket
        self._prefix = prefix
        self._where = where
        self._retrier = retrier or rereads()

    @property
    def url(self) -> str:
        """What a person types to name it."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @property
    def bucket(self) -> tuple[str, str] | None:
        """Bucket and prefix."""
        return self._bucket, self._prefix

    def put(self, name: str, body: bytes) -> None:
        """Writes an object."""
        self._client.put_object(Bucket=self._bucket, Key=self._key(name), Body=body)

    def put_new(self, name: str, body: bytes) -> bool:
        """Writes an object where there is none."""
        if self._put_if(name, body, IfNoneMatch="*"):
            return True
        # A request whose answer was lost and that was sent again meets its own object.
        return self._found(name) == body

    def swap(self, name: str, before: bytes, after: bytes | None) -> bool:
        """Replaces or deletes an object that holds `before`."""
        try:
            body, tag = self._get(name, None)
        except NotFoundError:
            return False
        if body != before:
            return False
        if after is None:
            return self._delete_if(name, tag)
        return self._put_if(name, after, IfMatch=tag) or self._found(name) == after

    def get(self, name: str, most_bytes: int | None = None) -> bytes:
        """An object's content."""
        return self._get(name, most_bytes)[0]

    def open(self, name: str) -> BinaryIO:
        """An object to be read, in ranges of `CHUNK_BYTES`."""
        return io.BufferedReader(_Ranges(self, name), 1 << 16)

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """The objects of a folder and of all below it."""
        for page in self._pages(prefix):
            for found in page.get("Contents") or ():
                name = str(found["Key"])[self._cut_at :]
                if name and not name.endswith("/"):  # what consoles make for an empty folder
                    yield Entry(name, int(found["Size"]))

    def folders(self, prefix: str = "") -> Iterator[str]:
        """The folders directly in a folder."""
        for page in self._pages(prefix, Delimiter="/"):
            for found in page.get("CommonPrefixes") or ():
                yield str(found["Prefix"]).rstrip("/").rpartition("/")[2]

    def delete(self, names: Sequence[str]) -> None:
        """Deletes objects."""
        keys = [self._key(name) for name in names]
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            some = [{"Key": key} for key in keys[start : start + _DELETED_AT_ONCE]]
            answer = self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": some, "Quiet": True}
            )
            for failed in answer.get("Errors") or ():
                raise StorageError(
                    f"The object '{failed.get('Key')}' in bucket '{self._bucket}' can't be "
                    f"deleted: {failed.get('Message') or failed.get('Code')}.",
                    "May these credentials delete there (s3:DeleteObject)?",
                    path=failed.get("Key"),
                )

    # Requests -------------------------------------------------------------------------------

    @property
    def _cut_at(self) -> int:
        return len(self._prefix) + 1 if self._prefix else 0

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{checked_name(name)}" if self._prefix else checked_name(name)

    def _pages(self, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        folder = prefix.strip("/")
        start = f"{self._key(folder)}/" if folder else f"{self._prefix}/" if self._prefix else ""
        more: dict[str, str] = {}
        while True:
            page = self._client.list_objects_v2(
                Bucket=self._bucket, Prefix=start, **options, **more
            )
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _put_if(self, name: str, body: bytes, **condition: str) -> bool:
        def put() -> bool:
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=self._key(name), Body=body, **condition
                )
            except (ConditionFailedError, NotFoundError) as error:
                if isinstance(error, NotFoundError) and error.code == "NoSuchBucket":
                    raise
                return False
            except AwsError as error:
                if error.code == "ConditionalRequestConflict":
                    raise _CutError("another write is going on") from error
                raise
            return True

        return self._again(name, put)

    def _delete_if(self, name: str, tag: str) -> bool:
        try:
            self._client.delete_object(Bucket=self._bucket, Key=self._key(name), IfMatch=tag)
        except (ConditionFailedError, NotFoundError):
            return False
        return True

    def _found(self, name: str) -> bytes | None:
        try:
            return self.get(name)
        except NotFoundError:
            return None

    def _get(self, name: str, most_bytes: int | None) -> tuple[bytes, str]:
        def read() -> tuple[bytes, str]:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(name))
            size = int(answer["ContentLength"])
            if most_bytes is not None and size > most_bytes:
                answer["Body"].close()
                raise too_large(name, size, most_bytes)
            return _body(answer, size), str(answer["ETag"])

        return self._again(name, read)

    def read_range(self, name: str, start: int, tag: str | None) -> tuple[bytes, int, str]:
        """Some MiB of an object from `start` on, its whole size, and its version's tag.

        Raises:
            NotFoundError: there is no such object.
            DamagedError: it is not the version `tag` any more.
        """
        condition = {"IfMatch": tag} if tag else {}

        def read() -> tuple[bytes, int, str]:
            answer = self._client.get_object(
                Bucket=self._bucket,
                Key=self._key(name),
                Range=f"bytes={start}-{start + CHUNK_BYTES - 1}",
                **condition,
            )
            match = _RANGE.fullmatch(str(answer.get("ContentRange", "")))
            if match is None:  # an endpoint that knows no ranges sends the whole
                whole = _body(answer, int(answer["ContentLength"]))
                return whole[start:], len(whole), str(answer["ETag"])
            part = _body(answer, int(match[2]) - int(match[1]) + 1)
            return part, int(match[3]), str(answer["ETag"])

        try:
            return self._again(name, read)
        except ConditionFailedError as error:
            raise DamagedError(
                f"The file '{name}' in {self.url} was changed while it was read.",
                "Does something else write there? Run it again.",
                name=name,
            ) from error
        except AwsError as error:
            if error.code == "InvalidRange" and start == 0:  # it is empty
                return b"", 0, ""
            raise

    def _again(self, name: str, call: Callable[[], Result]) -> Result:
        try:
            return self._retrier(call)
        except _CutError as error:
            raise EndpointUnreachableError(
                f"The file '{name}' could not be read or written whole at {self._where}: {error}.",
                "Run it again; is something between us that cuts connections?",
                name=name,
            ) from error


class _Client:
    """The client of a bucket: that there is no such bucket is said in words of ours."""

    def __init__(self, client: AwsClient, bucket: str, where: str) -> None:
        self._client, self._bucket, self._where = client, bucket, where

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        operation = getattr(self._client, name)

        def call(**arguments: Any) -> dict[str, Any]:
            try:
                found: dict[str, Any] = operation(**arguments)
            except NotFoundError as error:
                if error.code != "NoSuchBucket":
                    raise
                raise NotFoundError(
                    f"There is no bucket '{self._bucket}' at {self._where}.",
                    "Make it first, or name another; `s3://` alone is the project's own.",
                    code=error.code,
                    status=error.status,
                ) from error
            return found

        return call


class _Ranges(io.RawIOBase):
    """An object read in ranges, each tried again where it was cut."""

    def __init__(self, place: BucketPlace, name: str) -> None:
        self._place, self._name = place, name
        self._part, self._size, self._tag = place.read_range(name, 0, None)
        self._offset = 0
        self._used = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._used == len(self._part):
            self._offset += len(self._part)
            if self._offset >= self._size:
                return 0
            self._part, size, _ = self._place.read_range(self._name, self._offset, self._tag)
            self._used = 0
            if size != self._size or not self._part:
                raise DamagedError(
                    f"The file '{self._name}' changed its length while it was read.",
                    "Does something else write there? Run it again.",
                )
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._part) - self._used)
        view[:count] = self._part[self._used : self._used + count]
        self._used += count
        return count


def _body(answer: dict[str, Any], size: int) -> bytes:
    try:
        found: bytes = answer["Body"].read()
    except _CUT as error:
        raise _CutError("the connection was closed in the middle") from error
    if len(found) != size:
        raise _CutError(f"{len(found):,} of {size:,} bytes came")
    return found
