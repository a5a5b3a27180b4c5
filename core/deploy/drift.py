"""Drift: what CloudFormation finds changed behind its back, stack by stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.deploy.client import Client, pages
from core.deploy.progress import Backoff, Pacer
from core.deploy.stacks import Stack
from core.deploy.tables import Difference
from core.errors import DeployError

WAIT_S = 600.0


def detect_drift(cloudformation: Client, stack: Stack, pacer: Pacer) -> tuple[Difference, ...]:
    """What differs between a stack's template and its resources.

    Raises:
        DeployError: the detection failed as a whole, or does not end.
    """
    answer = cloudformation.detect_stack_drift(StackName=stack.id)
    detection = str(answer["StackDriftDetectionId"])
    _wait(cloudformation, stack, detection, pacer)
    found: list[Difference] = []
    for page in pages(
        cloudformation.describe_stack_resource_drifts,
        StackName=stack.id,
        StackResourceDriftStatusFilters=["MODIFIED", "DELETED"],
    ):
        for resource in page.get("StackResourceDrifts") or ():
            found.extend(_differences(stack.name, resource))
    return tuple(found)


def _wait(cloudformation: Client, stack: Stack, detection: str, pacer: Pacer) -> None:
    end = pacer.clock.monotonic() + WAIT_S
    delay = Backoff()
    while True:
        status = cloudformation.describe_stack_drift_detection_status(
            StackDriftDetectionId=detection
        )
        if status["DetectionStatus"] == "DETECTION_COMPLETE":
            return
        # A type that can't be checked fails the detection, and the others are checked all the
        # same: then there is a drift status, and the resources tell.
        if status["DetectionStatus"] == "DETECTION_FAILED" and status.get("StackDriftStatus"):
            return
        if status["DetectionStatus"] == "DETECTION_FAILED" or pacer.clock.monotonic() > end:
            reason = status.get("DetectionStatusReason") or "it does not end"
            raise DeployError(
                f"The drift of the stack '{stack.name}' can't be found out: {reason}.",
                "Run `ialctl drift` again; `ialctl status` shows what stands.",
                stack=stack.name,
            )
        pacer.pause(delay())


def _differences(stack: str, resource: Mapping[str, Any]) -> Iterator[Difference]:
    logical_id = str(resource.get("LogicalResourceId", ""))
    if resource.get("StackResourceDriftStatus") == "DELETED":
        physical_id = str(resource.get("PhysicalResourceId", ""))
        yield Difference(stack, logical_id, "resource", physical_id, "deleted")
        return
    for difference in resource.get("PropertyDifferences") or ():
        yield Difference(
            stack,
            logical_id,
            str(difference.get("PropertyPath", "")),
            str(difference.get("ExpectedValue", "")),
            str(difference.get("ActualValue", "")),
        )
