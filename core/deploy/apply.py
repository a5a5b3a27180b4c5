"""The procedure for one stack: from whatever state it is in to the one its template describes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from core.clock import Ids
from core.deploy.adopt import check_not_made_over, find_retained, import_request
from core.deploy.changes import (
    ChangeSet,
    check_protection,
    create_change_set,
    drop_left_over_change_sets,
)
from core.deploy.client import Client, Clients
from core.deploy.events import Follower, Limits, StackEvent, stack_failed
from core.deploy.indexes import with_lost_indexes
from core.deploy.phases import Phase
from core.deploy.progress import Observer, Pacer, Progress, State
from core.deploy.resolve import Resolver, Scope
from core.deploy.send import parameter_arguments, parameter_values, template_arguments
from core.deploy.stacks import (
    Stack,
    Step,
    exported_values,
    find_stack,
    in_progress,
    stack_resources,
    stack_tags,
    succeeded,
)
from core.deploy.template import INLINE_LIMIT_BYTES
from core.errors import StackFailedError

_MOST_STEPS = 8


@dataclass(frozen=True)
class Request:
    """What every stack of a deployment is deployed with."""

    project: str
    account: str
    parameters: Mapping[str, str]
    allow_replace: Collection[str] = ()


class StackDeployer:
    """Deploys stacks, one call each. Thread-safe."""

    def __init__(
        self,
        clients: Clients,
        request: Request,
        pacer: Pacer,
        limits: Limits,
        ids: Ids,
        observer: Observer,
    ) -> None:
        self._clients, self._request, self._pacer = clients, request, pacer
        self._ids, self._observer = ids, observer
        self._follower = Follower(self._cloudformation, pacer, limits)

    @property
    def _cloudformation(self) -> Client:
        return self._clients.client("cloudformation")

    def deploy(self, phase: Phase) -> bool:
        """Brings the phase's stack up to its template; True if anything changed.

        Raises:
            StackFailedError: it failed; names the first failed resource and the reason.
            ProtectedChangeError: it would replace or remove what holds data.
            DeployError, UsageError: it can't be tried.
        """
        stack = self._prepare(phase)
        adopted = False
        if stack is None:
            stack = self._adopt(phase)
            adopted = stack is not None
        return self._bring_up(phase, stack) or adopted

    def scope(self, phase: Phase, stack: Stack | None) -> Scope:
        """What references in the phase's template come to."""
        previous = stack.parameters if stack else {}
        needs_exports = "Fn::ImportValue" in str(phase.template.body)
        return Scope(
            parameter_values(phase.template, self._request.parameters, previous),
            self._clients.region,
            self._request.account,
            exported_values(self._cloudformation) if needs_exports else {},
        )

    def _prepare(self, phase: Phase) -> Stack | None:
        """Takes the stack to a state to start from: None (create) or one that can be updated."""
        name = phase.stack_name(self._request.project)
        stack = find_stack(self._cloudformation, name)
        for _ in range(_MOST_STEPS):
            if stack is None or stack.step is Step.CREATE:
                return None
            if stack.step is Step.UPDATE:
                drop_left_over_change_sets(self._cloudformation, stack.id)
                return stack
            self._tell(phase, "preparing", f"{stack.status}: {stack.step.value}")
            if not self._step(phase, stack):
                return stack
            stack = find_stack(self._cloudformation, name)
        status = stack.status if stack else "gone"
        raise StackFailedError(
            f"The stack '{name}' can't be brought into a state to start from; it stays {status}.",
            "Look at its events in the CloudFormation console, or delete it there.",
            stack=name,
        )

    def _step(self, phase: Phase, stack: Stack) -> bool:
        """One step towards a usable state; False where the stack is to be updated as it is."""
        token = self._ids()
        if stack.step is Step.WAIT:
            return self._wait(phase, stack)
        if stack.step is Step.CONTINUE_ROLLBACK:
            self._continue_rollback(stack, token)
        elif stack.step is Step.ROLL_BACK:
            self._cloudformation.rollback_stack(StackName=stack.id, ClientRequestToken=token)
        else:
            self._delete(stack, token)
        outcome = self._follower.follow(stack.id, token)
        if outcome.status in ("DELETE_FAILED", "UPDATE_ROLLBACK_FAILED", "ROLLBACK_FAILED"):
            raise stack_failed(self._cloudformation, stack.name, stack.id, outcome)
        return True

    def _wait(self, phase: Phase, stack: Stack) -> bool:
        try:
            self._follower.settle(stack.id)
        except StackFailedError as error:
            if not error.fields.get("stalled"):
                raise
            # Only ever raised for an emulator that was killed in the middle: no one will end this
            # operation. It lets a stack in that state be deleted, or updated in place; the latter
            # touches no table that stands.
            self._tell(phase, "preparing", f"{stack.status}, and no one is at it: taken up anew")
            if not stack.status.startswith("DELETE"):
                return False
            self._cloudformation.delete_stack(StackName=stack.id)
            self._follower.settle(stack.id)
        return True

    def _continue_rollback(self, stack: Stack, token: str) -> None:
        # Only resources whose rollback failed may be skipped, and only once it failed again; so
        # the first try skips none.
        self._cloudformation.continue_update_rollback(StackName=stack.id, ClientRequestToken=token)

    def _delete(self, stack: Stack, token: str) -> None:
        arguments: dict[str, Any] = {}
        if stack.step is Step.DELETE_AGAIN:
            failed = [
                str(r["LogicalResourceId"])
                for r in stack_resources(self._cloudformation, stack.id)
                if r.get("ResourceStatus") == "DELETE_FAILED"
            ]
            # What can't be deleted is kept, and adopted by the stack made next.
            arguments = {"RetainResources": failed} if failed else {}
        elif stack.status == "REVIEW_IN_PROGRESS":
            drop_left_over_change_sets(self._cloudformation, stack.id)
        self._cloudformation.delete_stack(StackName=stack.id, ClientRequestToken=token, **arguments)

    def _adopt(self, phase: Phase) -> Stack | None:
        resolver = Resolver(phase.template, self.scope(phase, None))
        retained = find_retained(self._clients, phase.template, resolver)
        if not retained:
            return None
        self._tell(phase, "deploying", f"adopting {', '.join(r.logical_id for r in retained)}")
        change_set = self._change_set(phase, None, import_request(phase.template, retained))
        self._execute(phase, change_set)
        return find_stack(self._cloudformation, phase.stack_name(self._request.project))

    def _bring_up(self, phase: Phase, stack: Stack | None) -> bool:
        bucket = stack_bucket(self._clients, self._request.project, phase)
        change_set = self._change_set(
            phase,
            stack,
            {
                "ChangeSetType": "UPDATE" if stack else "CREATE",
                **template_arguments(self._clients, phase.template, bucket),
            },
        )
        if change_set.empty:
            return False
        self._execute(phase, change_set, stack)
        return True

    def _change_set(self, phase: Phase, stack: Stack | None, how: Mapping[str, Any]) -> ChangeSet:
        self._tell(phase, "preparing")
        previous = stack.parameters if stack else {}
        request: dict[str, Any] = {
            "StackName": phase.stack_name(self._request.project),
            "Parameters": parameter_arguments(phase.template, self._request.parameters, previous),
            **how,
        }
        if how["ChangeSetType"] != "IMPORT":  # an import may change nothing else, tags included
            request["Tags"] = stack_tags(self._request.project, phase.id)
        return create_change_set(self._cloudformation, self._pacer, self._ids(), request)

    def _execute(self, phase: Phase, change_set: ChangeSet, stack: Stack | None = None) -> None:
        name = phase.stack_name(self._request.project)
        changes = change_set.changes
        if stack is not None:
            dynamodb = self._clients.client("dynamodb")
            scope = self.scope(phase, stack)
            changes = with_lost_indexes(dynamodb, phase, scope, changes)
            self._check_added(phase, stack, scope, {c.logical_id for c in changes if c.adds})
        check_protection(name, changes, self._request.allow_replace)
        # The last safe point: from here on CloudFormation works, whatever becomes of us.
        self._pacer.check()
        self._pacer.keep()
        self._tell(phase, "deploying")
        token = self._ids()
        self._cloudformation.execute_change_set(
            ChangeSetName=change_set.id, ClientRequestToken=token
        )
        outcome = self._follower.follow(
            change_set.stack_id, token, lambda event: self._tell_event(phase, event)
        )
        if not succeeded(outcome.status):
            raise stack_failed(self._cloudformation, name, change_set.stack_id, outcome)

    def _check_added(self, phase: Phase, stack: Stack, scope: Scope, added: set[str]) -> None:
        # One still in progress had its emulator killed: what it made lately is its own.
        if added and not in_progress(stack.status):
            resolver = Resolver(phase.template, scope)
            check_not_made_over(find_retained(self._clients, phase.template, resolver, added))

    def _tell(self, phase: Phase, state: State, detail: str = "") -> None:
        name = phase.stack_name(self._request.project)
        self._observer(Progress(phase.id, name, state, detail))

    def _tell_event(self, phase: Phase, event: StackEvent) -> None:
        reason = f": {event.reason}" if event.status.endswith("_FAILED") else ""
        self._tell(phase, "deploying", f"{event.logical_id} {event.status}{reason}")


def stack_bucket(clients: Clients, project: str, phase: Phase) -> str | None:
    """The backup bucket, if this template needs it and it stands."""
    if phase.template.size_bytes <= INLINE_LIMIT_BYTES:
        return None
    return exported_values(clients.client("cloudformation")).get(f"{project}-BackupBucket")
