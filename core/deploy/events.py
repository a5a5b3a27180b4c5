"""Follows what CloudFormation does to a stack, by its events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.clock import Clock
from core.deploy.client import Client, pages, says_missing
from core.deploy.progress import Backoff, Pacer
from core.deploy.stacks import find_stack, in_progress
from core.errors import AwsError, StackFailedError, ThrottledError

_CANCELLED = ("Resource creation cancelled", "Resource update cancelled")


@dataclass(frozen=True)
class StackEvent:
    """One event of a stack."""

    id: str
    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str
    token: str


@dataclass(frozen=True)
class Outcome:
    """How an operation ended, and its events in time order."""

    status: str
    events: tuple[StackEvent, ...]


@dataclass(frozen=True)
class Limits:
    """How long to wait, in seconds.

    `stale_s` is for an emulator that may be killed in the middle: an operation of which nothing
    has been heard for that long has no one working on it any more. On AWS it is None.
    """

    operation_s: float = 3 * 3600.0
    stale_s: float | None = None


class Follower:
    """Follows operations on stacks. Throttled polling only slows it down. Thread-safe."""

    def __init__(self, cloudformation: Client, pacer: Pacer, limits: Limits) -> None:
        self._cloudformation = cloudformation
        self._pacer = pacer
        self._limits = limits

    def follow(
        self, stack_id: str, token: str, tell: Callable[[StackEvent], None] | None = None
    ) -> Outcome:
        """Waits for the end of the operation that carries `token`.

        Raises:
            StackFailedError: it stalled (field `stalled`), or took longer than the limit.
            InterruptedRunError: the run is to stop.
        """
        seen: dict[str, StackEvent] = {}
        watch = _Watch(self._pacer.clock, self._limits, stack_id)
        delay = Backoff()
        while True:
            fresh = [e for e in self._news(stack_id, seen) if e.token == token]
            for event in fresh:
                if tell:
                    tell(event)
                if _ends(event, stack_id):
                    mine = tuple(e for e in seen.values() if e.token == token)
                    return Outcome(event.status, mine)
            watch.saw(len(seen))
            self._pacer.pause(delay())

    def settle(self, stack_id: str) -> str | None:
        """Waits until nothing is in progress; the status then, or None where the stack is gone.

        Raises: as `follow`.
        """
        seen: dict[str, StackEvent] = {}
        watch = _Watch(self._pacer.clock, self._limits, stack_id)
        delay = Backoff()
        while True:
            status = self._status(stack_id)
            if status is None or not in_progress(status):
                return status
            self._news(stack_id, seen)
            watch.saw(len(seen))
            self._pacer.pause(delay())

    def _status(self, stack_id: str) -> str | None:
        try:
            stack = find_stack(self._cloudformation, stack_id)
        except ThrottledError:
            return "UNKNOWN_IN_PROGRESS"  # asked again after the pause
        return stack.status if stack else None

    def _news(self, stack_id: str, seen: dict[str, StackEvent]) -> list[StackEvent]:
        """Events not in `seen`, in time order; they are added to it."""
        fresh: list[StackEvent] = []
        try:
            for page in pages(self._cloudformation.describe_stack_events, StackName=stack_id):
                events = [_event(e) for e in page.get("StackEvents") or ()]
                fresh.extend(e for e in events if e.id not in seen)
                if any(e.id in seen for e in events):
                    break  # newest come first: the rest is known
        except ThrottledError:
            return []  # half a list would hide an older half: all of it is asked for again
        except AwsError as error:
            if not says_missing(error):
                raise
        fresh.reverse()
        seen.update((e.id, e) for e in fresh)
        return fresh


class _Watch:
    """Notices that an operation has stalled or takes too long."""

    def __init__(self, clock: Clock, limits: Limits, stack_id: str) -> None:
        self._clock, self._limits, self._stack_id = clock, limits, stack_id
        self._start = self._moved = clock.monotonic()
        self._count = -1

    def saw(self, count: int) -> None:
        now = self._clock.monotonic()
        if count != self._count:
            self._count, self._moved = count, now
        stale_s = self._limits.stale_s
        if stale_s is not None and now - self._moved > stale_s:
            raise StackFailedError(
                f"Nothing has moved for {stale_s:.0f} s in the stack '{_name(self._stack_id)}'.",
                "Run `ialctl start` again: it takes the stack up anew.",
                stack=_name(self._stack_id),
                stalled=True,
            )
        if now - self._start > self._limits.operation_s:
            raise StackFailedError(
                f"The stack '{_name(self._stack_id)}' is still in progress after "
                f"{self._limits.operation_s / 60:.0f} minutes.",
                "See its events in the CloudFormation console; then run `ialctl start` again.",
                stack=_name(self._stack_id),
            )


def first_failure(events: Iterable[StackEvent], stack_id: str) -> StackEvent | None:
    """The event that made an operation fail: the first in time; a resource's before the stack's."""
    failed = [
        e for e in events if e.status.endswith("_FAILED") and not e.reason.startswith(_CANCELLED)
    ]
    of_resources = [e for e in failed if e.physical_id != stack_id]
    return next(iter(of_resources or failed), None)


def stack_failed(
    cloudformation: Client, name: str, stack_id: str, outcome: Outcome
) -> StackFailedError:
    """The error that tells why an operation failed: the first failed resource and its reason."""
    first = first_failure(outcome.events, stack_id)
    resource = (first.logical_id, first.type, first.reason) if first else ("", "", "")
    if first is None or first.physical_id == stack_id:
        resource = _validation_failure(cloudformation, stack_id) or resource
    logical_id, kind, reason = resource
    where = f"{kind} '{logical_id}'" if logical_id else "no resource is named"
    return StackFailedError(
        f"The stack '{name}' failed ({outcome.status}): {where}: {reason or 'no reason given'}",
        "Put that right and run `ialctl start` again; what stands already is left as it is.",
        stack=name,
        resource=logical_id,
        resource_type=kind,
        reason=reason,
    )


def _validation_failure(cloudformation: Client, stack_id: str) -> tuple[str, str, str] | None:
    """What early validation found: that stands in operation events only."""
    try:
        answer = cloudformation.describe_events(StackName=stack_id, Filters={"FailedEvents": True})
    except AwsError:
        return None  # an endpoint without it; the stack's own reason has to do
    for event in answer.get("OperationEvents") or ():
        if event.get("EventType") == "VALIDATION_ERROR":
            return (
                str(event.get("LogicalResourceId", "")),
                str(event.get("ResourceType", "")),
                str(event.get("ValidationStatusReason", "")),
            )
    return None


def _ends(event: StackEvent, stack_id: str) -> bool:
    # A nested stack has its own id; a resource may carry the stack's name.
    return event.physical_id == stack_id and not event.status.endswith("_IN_PROGRESS")


def _event(found: Mapping[str, Any]) -> StackEvent:
    return StackEvent(
        id=str(found["EventId"]),
        logical_id=str(found.get("LogicalResourceId", "")),
        physical_id=str(found.get("PhysicalResourceId") or ""),
        type=str(found.get("ResourceType", "")),
        status=str(found.get("ResourceStatus", "")),
        reason=str(found.get("ResourceStatusReason") or ""),
        token=str(found.get("ClientRequestToken") or ""),
    )


def _name(stack_id: str) -> str:
    parts = stack_id.split("/")
    return parts[1] if len(parts) > 1 else stack_id
