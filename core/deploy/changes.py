"""Change sets: made, read, judged. Nothing is ever deployed but through one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.deploy.client import Client, pages
from core.deploy.progress import Backoff, Pacer
from core.errors import (
    AwsError,
    NotFoundError,
    ProtectedChangeError,
    StackFailedError,
    ThrottledError,
)

NAME_PREFIX = "ialctl-"
# A plan holds no lock, so its change sets are never taken for what a crashed run left.
PLAN_PREFIX = "ialctl-plan-"
WAIT_S = 900.0
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_NO_CHANGES = (
    "The submitted information didn't contain changes",
    "No updates are to be performed",
)
# What holds data that a user would miss.
DATA_TYPES = frozenset(
    {
        "AWS::DynamoDB::GlobalTable",
        "AWS::DynamoDB::Table",
        "AWS::KMS::Key",
        "AWS::S3::Bucket",
    }
)
_DESTRUCTIVE_POLICIES = ("Delete", "ReplaceAndDelete")


@dataclass(frozen=True)
class Change:
    """What a change set would do to one resource."""

    action: str
    logical_id: str
    type: str
    physical_id: str = ""
    replacement: str = ""
    policy_action: str = ""
    properties: tuple[str, ...] = ()
    lost_indexes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """In a word: added, changed, replaced, perhaps replaced, removed, adopted."""
        if self.action == "Modify" and self.lost_indexes and self.replacement != "True":
            return f"changed, losing its index {', '.join(self.lost_indexes)}"
        if self.action == "Modify":
            return {"True": "replaced", "Conditional": "perhaps replaced"}.get(
                self.replacement, "changed"
            )
        return {"Add": "added", "Remove": "removed", "Import": "adopted"}.get(
            self.action, "perhaps changed"
        )

    @property
    def adds(self) -> bool:
        """True where a resource would be made."""
        return self.action == "Add"

    @property
    def endangers_data(self) -> bool:
        """True where what holds data would be replaced or removed, or lose an index."""
        return self.type in DATA_TYPES and (
            self.action == "Remove"
            or self.replacement in ("True", "Conditional")
            or self.policy_action in _DESTRUCTIVE_POLICIES
            or bool(self.lost_indexes)
        )


@dataclass(frozen=True)
class ChangeSet:
    """A change set that stands; `empty` where it would change nothing."""

    id: str
    stack_id: str
    changes: tuple[Change, ...]
    empty: bool = False


def create_change_set(
    cloudformation: Client,
    pacer: Pacer,
    token: str,
    request: Mapping[str, Any],
    prefix: str = NAME_PREFIX,
) -> ChangeSet:
    """Makes a change set and waits until it can be judged; an empty one is deleted again.

    Args:
        cloudformation: where.
        pacer: how to wait.
        token: makes name and client token; a repeated request with it does nothing twice.
        request: StackName, ChangeSetType, template, parameters, tags.
        prefix: what its name begins with.

    Raises:
        StackFailedError: it can't be made (the reason is CloudFormation's), or is never done.
    """
    name = str(request["StackName"])
    try:
        answer = cloudformation.create_change_set(
            ChangeSetName=prefix + token,
            ClientToken=token,
            Capabilities=CAPABILITIES,
            **request,
        )
    except AwsError as error:
        if error.code != "ValidationError":
            raise
        raise _refused(name, _reason(error)) from error
    found = _wait(cloudformation, pacer, name, str(answer["Id"]))
    change_set = ChangeSet(str(answer["Id"]), str(answer["StackId"]), _changes(found))
    if found["Status"] == "CREATE_COMPLETE":
        return change_set
    reason = str(found.get("StatusReason") or "no reason given")
    delete_change_set(cloudformation, change_set.id)
    if any(text in reason for text in _NO_CHANGES):
        return ChangeSet(change_set.id, change_set.stack_id, (), empty=True)
    raise _refused(name, reason)


def delete_change_set(cloudformation: Client, change_set_id: str) -> None:
    """Deletes a change set; one that is gone already is fine."""
    try:
        cloudformation.delete_change_set(ChangeSetName=change_set_id)
    except NotFoundError:
        return


def drop_left_over_change_sets(cloudformation: Client, stack_id: str) -> None:
    """Deletes change sets of ours that were never executed: a crashed run left them."""
    for page in pages(cloudformation.list_change_sets, StackName=stack_id):
        for found in page.get("Summaries") or ():
            name = str(found.get("ChangeSetName", ""))
            ours = name.startswith(NAME_PREFIX) and not name.startswith(PLAN_PREFIX)
            if ours and not str(found.get("ExecutionStatus", "")).startswith("EXECUTE"):
                delete_change_set(cloudformation, str(found["ChangeSetId"]))


def check_protection(stack: str, changes: Iterable[Change], allowed: Iterable[str]) -> None:
    """Stops before anything that holds data is replaced or removed.

    Raises:
        ProtectedChangeError: such a change, in a stack that `allowed` does not name.
    """
    endangered = [change for change in changes if change.endangers_data]
    if not endangered or stack in allowed:
        return
    which = ", ".join(f"{c.type} '{c.logical_id}' would be {c.kind}" for c in endangered)
    raise ProtectedChangeError(
        f"The stack '{stack}' holds data that this would touch: {which}.",
        f"Back it up; then, if it is meant, run it again with `--allow-replace {stack}`.",
        stack=stack,
        resources=tuple(c.logical_id for c in endangered),
    )


def _wait(cloudformation: Client, pacer: Pacer, stack: str, change_set_id: str) -> dict[str, Any]:
    """The change set once it is complete or failed, with the changes of all its pages."""
    end = pacer.clock.monotonic() + WAIT_S
    delay = Backoff()
    while True:
        found = _look(cloudformation, change_set_id)
        if found and not str(found["Status"]).endswith(("_PENDING", "_IN_PROGRESS")):
            break
        if pacer.clock.monotonic() > end:
            raise StackFailedError(
                f"The change set of the stack '{stack}' is not done after {WAIT_S / 60:.0f} "
                "minutes.",
                "Run it again; look at the stack in the CloudFormation console if that repeats.",
                stack=stack,
            )
        pacer.pause(delay())
    changes = list(found.get("Changes") or ())
    token = found.get("NextToken")
    while token:
        page = cloudformation.describe_change_set(ChangeSetName=change_set_id, NextToken=token)
        changes.extend(page.get("Changes") or ())
        token = page.get("NextToken")
    return {**found, "Changes": changes}


def _look(cloudformation: Client, change_set_id: str) -> dict[str, Any] | None:
    try:
        return dict(cloudformation.describe_change_set(ChangeSetName=change_set_id))
    except ThrottledError:
        return None  # asked again after the pause: throttling must not change the outcome


def _changes(found: Mapping[str, Any]) -> tuple[Change, ...]:
    return tuple(_change(c["ResourceChange"]) for c in found["Changes"] if "ResourceChange" in c)


def _change(found: Mapping[str, Any]) -> Change:
    names = {
        str(detail.get("Target", {}).get("Name") or detail.get("Target", {}).get("Attribute"))
        for detail in found.get("Details") or ()
    }
    return Change(
        action=str(found.get("Action", "")),
        logical_id=str(found.get("LogicalResourceId", "")),
        type=str(found.get("ResourceType", "")),
        physical_id=str(found.get("PhysicalResourceId") or ""),
        replacement=str(found.get("Replacement") or ""),
        policy_action=str(found.get("PolicyAction") or ""),
        properties=tuple(sorted(names)),
    )


def _reason(error: AwsError) -> str:
    return error.what.partition(f"{error.code}: ")[2] or error.what


def _refused(stack: str, reason: str) -> StackFailedError:
    return StackFailedError(
        f"CloudFormation refuses the template of the stack '{stack}': {reason}",
        "Correct the template and run `ialctl start` again; nothing of that stack was changed.",
        stack=stack,
        reason=reason,
    )
