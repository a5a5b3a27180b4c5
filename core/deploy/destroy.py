"""Takes a deployment down. What holds data is kept unless it is named to be deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.clock import Ids
from core.deploy.client import Client, Clients
from core.deploy.events import Follower, stack_failed
from core.deploy.progress import Backoff, Observer, Pacer, Progress
from core.deploy.stacks import PHASE_TAG, Stack, in_progress, stack_resources
from core.deploy.tables import wait_until_ready
from core.errors import AwsError, DeployError, NotFoundError, StackFailedError

KEY_WINDOW_DAYS = 30
GONE_S = 600.0
KINDS: Mapping[str, str] = {
    "AWS::DynamoDB::Table": "table",
    "AWS::S3::Bucket": "bucket",
    "AWS::KMS::Key": "key",
    "AWS::KMS::Alias": "alias",
}


@dataclass(frozen=True)
class Holding:
    """Something that outlives its stack."""

    kind: str
    name: str


def holdings(cloudformation: Client, stacks: tuple[Stack, ...]) -> tuple[Holding, ...]:
    """What of these stacks holds data, or keeps it readable."""
    return tuple(
        Holding(KINDS[str(r["ResourceType"])], str(r["PhysicalResourceId"]))
        for stack in stacks
        for r in stack_resources(cloudformation, stack.id)
        if r.get("ResourceType") in KINDS and r.get("PhysicalResourceId")
    )


class StackRemover:
    """Deletes stacks, one call each. Thread-safe."""

    def __init__(
        self, cloudformation: Client, follower: Follower, ids: Ids, observer: Observer
    ) -> None:
        self._cloudformation, self._follower = cloudformation, follower
        self._ids, self._observer = ids, observer

    def delete(self, stack: Stack) -> None:
        """Deletes a stack; its retained resources stay.

        Raises:
            StackFailedError: it can't be deleted; names the first failed resource.
        """
        phase = stack.tags.get(PHASE_TAG, "")
        self._observer(Progress(phase, stack.name, "deleting"))
        if in_progress(stack.status):
            self._settle(stack)
        token = self._ids()
        self._cloudformation.delete_stack(StackName=stack.id, ClientRequestToken=token)
        outcome = self._follower.follow(stack.id, token)
        if outcome.status != "DELETE_COMPLETE":
            raise stack_failed(self._cloudformation, stack.name, stack.id, outcome)
        self._observer(Progress(phase, stack.name, "done", "deleted"))

    def _settle(self, stack: Stack) -> None:
        try:
            self._follower.settle(stack.id)
        except StackFailedError as error:
            # An emulator was killed in the middle of an operation: it can be deleted as it is.
            if not error.fields.get("stalled"):
                raise


def delete_holding(clients: Clients, holding: Holding, pacer: Pacer) -> None:
    """Deletes a table, a bucket with all it holds, or an alias; a key in `KEY_WINDOW_DAYS`.

    Returns once it is gone: a table still being deleted would be taken for one that was kept.

    Raises:
        DeployError: an object of a bucket can't be deleted, or a table does not go.
    """
    if holding.kind == "table":
        _delete_table(clients.client("dynamodb"), holding.name, pacer)
        return
    {
        "bucket": _delete_bucket,
        "key": _delete_key,
        "alias": _delete_alias,
    }[holding.kind](clients, holding.name)


def _delete_table(dynamodb: Client, name: str, pacer: Pacer) -> None:
    try:
        dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
        wait_until_ready(dynamodb, name, pacer)
        dynamodb.delete_table(TableName=name)
        _wait_until_gone(dynamodb, name, pacer)
    except NotFoundError:
        return


def _wait_until_gone(dynamodb: Client, name: str, pacer: Pacer) -> None:
    """Ends by the NotFoundError of a table that is gone."""
    end = pacer.clock.monotonic() + GONE_S
    delay = Backoff(longest_s=2.0)
    while pacer.clock.monotonic() < end:
        dynamodb.describe_table(TableName=name)
        pacer.pause(delay())
    raise DeployError(
        f"The table '{name}' is still being deleted.",
        "Run the same command again in a while: it goes on from there.",
        table=name,
    )


def _delete_bucket(clients: Clients, name: str) -> None:
    s3 = clients.client("s3")
    try:
        while objects := _some_versions(s3, name):
            answer = s3.delete_objects(Bucket=name, Delete={"Objects": objects, "Quiet": True})
            _check_deleted(name, answer.get("Errors") or ())
        s3.delete_bucket(Bucket=name)
    except NotFoundError:
        return


def _check_deleted(bucket: str, errors: Sequence[Mapping[str, Any]]) -> None:
    """Without this, what can't be deleted would be listed and tried for ever."""
    if not errors:
        return
    first = errors[0]
    raise DeployError(
        f"The object '{first.get('Key')}' of the bucket '{bucket}' can't be deleted: "
        f"{first.get('Code')}: {first.get('Message')}.",
        "Put that right and run the same command again; the stacks are deleted already.",
        bucket=bucket,
    )


def _some_versions(s3: Client, bucket: str) -> list[dict[str, Any]]:
    page = s3.list_object_versions(Bucket=bucket, MaxKeys=1000)
    found = [*(page.get("Versions") or ()), *(page.get("DeleteMarkers") or ())]
    return [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]


def _delete_key(clients: Clients, key_id: str) -> None:
    _unless_gone(
        lambda: clients.client("kms").schedule_key_deletion(
            KeyId=key_id, PendingWindowInDays=KEY_WINDOW_DAYS
        )
    )


def _delete_alias(clients: Clients, alias: str) -> None:
    _unless_gone(lambda: clients.client("kms").delete_alias(AliasName=alias))


def _unless_gone(call: Any) -> None:
    try:
        call()
    except AwsError as error:
        if error.code not in ("NotFoundException", "KMSInvalidStateException"):
            raise
