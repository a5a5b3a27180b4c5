"""Stacks as CloudFormation shows them, and what each state lets us do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from core.deploy.client import Client, pages, says_missing
from core.errors import AwsError

PROJECT_TAG = "ialctl:project"
PHASE_TAG = "ialctl:phase"


class Step(Enum):
    """What to do next with a stack."""

    CREATE = "create"
    UPDATE = "update"
    WAIT = "wait for the operation in progress"
    DROP = "delete what a failed creation left"
    ROLL_BACK = "roll the failed update back"
    CONTINUE_ROLLBACK = "continue the failed rollback"
    DELETE_AGAIN = "finish the failed deletion"


# Every state there is; what is in progress is waited for.
STEPS: Mapping[str, Step] = {
    "CREATE_COMPLETE": Step.UPDATE,
    "CREATE_FAILED": Step.DROP,
    "CREATE_IN_PROGRESS": Step.WAIT,
    "DELETE_COMPLETE": Step.CREATE,
    "DELETE_FAILED": Step.DELETE_AGAIN,
    "DELETE_IN_PROGRESS": Step.WAIT,
    "IMPORT_COMPLETE": Step.UPDATE,
    "IMPORT_IN_PROGRESS": Step.WAIT,
    "IMPORT_ROLLBACK_COMPLETE": Step.UPDATE,
    "IMPORT_ROLLBACK_FAILED": Step.DROP,
    "IMPORT_ROLLBACK_IN_PROGRESS": Step.WAIT,
    # A change set was made for it and never executed: no resource stands.
    "REVIEW_IN_PROGRESS": Step.DROP,
    "ROLLBACK_COMPLETE": Step.DROP,
    "ROLLBACK_FAILED": Step.DROP,
    "ROLLBACK_IN_PROGRESS": Step.WAIT,
    "UPDATE_COMPLETE": Step.UPDATE,
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": Step.WAIT,
    "UPDATE_FAILED": Step.ROLL_BACK,
    "UPDATE_IN_PROGRESS": Step.WAIT,
    "UPDATE_ROLLBACK_COMPLETE": Step.UPDATE,
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": Step.WAIT,
    "UPDATE_ROLLBACK_FAILED": Step.CONTINUE_ROLLBACK,
    "UPDATE_ROLLBACK_IN_PROGRESS": Step.WAIT,
}


def in_progress(status: str) -> bool:
    """True where CloudFormation works on it (REVIEW_IN_PROGRESS only waits for us)."""
    return status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS"


def succeeded(status: str) -> bool:
    """True where what was asked for stands: a completed rollback is a failure."""
    return status.endswith("_COMPLETE") and "ROLLBACK" not in status


@dataclass(frozen=True)
class Stack:
    """A stack that stands, in whatever state."""

    name: str
    id: str
    status: str
    reason: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def step(self) -> Step:
        """What to do next with it; an unknown state is waited out."""
        return STEPS.get(self.status, Step.WAIT)


def find_stack(cloudformation: Client, name: str) -> Stack | None:
    """The stack of a name or id, or None where there is none (any more)."""
    try:
        answer = cloudformation.describe_stacks(StackName=name)
    except AwsError as error:
        if says_missing(error):
            return None
        raise
    found = answer.get("Stacks") or []
    return _stack(found[0]) if found else None


def project_stacks(cloudformation: Client, project: str) -> tuple[Stack, ...]:
    """All stacks that carry the project's tag, oldest first."""
    found = [s for page in pages(cloudformation.describe_stacks) for s in page.get("Stacks") or ()]
    found.sort(key=lambda s: str(s.get("CreationTime", "")))
    stacks = map(_stack, found)
    return tuple(s for s in stacks if s.tags.get(PROJECT_TAG) == project)


def stack_resources(cloudformation: Client, stack: str) -> tuple[Mapping[str, Any], ...]:
    """The resources of a stack, as CloudFormation summarises them."""
    return tuple(
        resource
        for page in pages(cloudformation.list_stack_resources, StackName=stack)
        for resource in page.get("StackResourceSummaries") or ()
    )


def stack_tags(project: str, phase: str) -> list[dict[str, str]]:
    """The tags that our stacks carry."""
    return [{"Key": PROJECT_TAG, "Value": project}, {"Key": PHASE_TAG, "Value": phase}]


def exported_values(cloudformation: Client) -> Mapping[str, str]:
    """Every export there is, with its value."""
    return {
        str(export["Name"]): str(export["Value"])
        for page in pages(cloudformation.list_exports)
        for export in page.get("Exports") or ()
    }


def _stack(found: Mapping[str, Any]) -> Stack:
    return Stack(
        name=str(found["StackName"]),
        id=str(found["StackId"]),
        status=str(found["StackStatus"]),
        reason=str(found.get("StackStatusReason") or ""),
        parameters={
            str(p["ParameterKey"]): str(p.get("ParameterValue", ""))
            for p in found.get("Parameters") or ()
        },
        tags={str(t["Key"]): str(t["Value"]) for t in found.get("Tags") or ()},
        outputs={str(o["OutputKey"]): str(o["OutputValue"]) for o in found.get("Outputs") or ()},
    )
