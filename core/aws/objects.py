"""Objects in a bucket behind a small interface, and the adapter that speaks to S3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError
from urllib3.exceptions import HTTPError

from core.aws.failures import translate
from core.aws.session import AwsClient, AwsSession
from core.errors import NotFoundError

_AT_ONCE = 1000


class Objects(Protocol):
    """The objects of one bucket. Thread-safe. Raises `NotFoundError` and `TargetError`s."""

    def put(self, key: str, body: bytes) -> None:
        """Writes an object, whole or not at all, over whatever has its key."""

    def get(self, key: str) -> bytes:
        """An object's content."""

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with a prefix, in order."""

    def delete_all(self, prefix: str) -> int:
        """Deletes every object under a prefix, older versions too; answers how many objects."""


class BucketObjects:
    """The objects of a bucket of S3."""

    def __init__(self, client: AwsClient, bucket: str, where: str) -> None:
        self._client = client
        self.bucket = bucket
        self._where = where

    def put(self, key: str, body: bytes) -> None:
        """Writes an object."""
        self._client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def get(self, key: str) -> bytes:
        """An object's content."""
        body = self._client.get_object(Bucket=self.bucket, Key=key)["Body"]
        try:
            found: bytes = body.read()
        except (BotoCoreError, HTTPError, OSError) as error:
            raise translate(error, self._where, "GetObject") from error
        return found

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with a prefix."""
        more: dict[str, Any] = {}
        while True:
            page = self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **more)
            yield from (str(entry["Key"]) for entry in page.get("Contents") or ())
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete_all(self, prefix: str) -> int:
        """Deletes every object under a prefix, all versions of it, and their markers."""
        gone: set[str] = set()
        # Listed anew each time: what was deleted is not there any more.
        while found := self._versions(prefix):
            gone |= {str(version["Key"]) for version in found}
            self._client.delete_objects(
                Bucket=self.bucket, Delete={"Objects": found, "Quiet": True}
            )
        return len(gone)

    def _versions(self, prefix: str) -> list[dict[str, str]]:
        page = self._client.list_object_versions(
            Bucket=self.bucket, Prefix=prefix, MaxKeys=_AT_ONCE
        )
        entries = [*(page.get("Versions") or ()), *(page.get("DeleteMarkers") or ())]
        return [{"Key": e["Key"], "VersionId": e["VersionId"]} for e in entries]


def open_backup_bucket(session: AwsSession, project: str) -> BucketObjects:
    """The project's backup bucket, by the export of the stack that made it.

    Raises:
        NotFoundError: it is not deployed.
    """
    client = session.client("cloudformation")
    more: dict[str, Any] = {}
    while True:
        page = client.list_exports(**more)
        for export in page.get("Exports") or ():
            if export["Name"] == f"{project}-BackupBucket":
                s3 = session.client("s3")
                return BucketObjects(s3, str(export["Value"]), session.where)
        if not page.get("NextToken"):
            break
        more = {"NextToken": page["NextToken"]}
    raise NotFoundError(
        f"The project '{project}' has no backup bucket at {session.where}.",
        "Deploy it: `ialctl start`.",
        code="NoSuchBucket",
    )
