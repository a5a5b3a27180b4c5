"""A CloudFormation that plays sequences of stack events, one event a poll, as AWS sends them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.deploy.apply import Request, StackDeployer
from core.deploy.events import Limits
from core.deploy.phases import Phase
from core.deploy.progress import Pacer, Progress
from core.deploy.template import read_template
from core.errors import AwsError, IalError
from core.testing.clock import CountingIds, FakeClock

STACK = "p-domain-thing"
STACK_ID = f"arn:aws:cloudformation:us-east-1:1:stack/{STACK}/1"
Event = tuple[str, str, str]
"""Logical id ("stack" for the stack itself), status, reason."""

PLAIN = """
Parameters:
  ProjectName: {Type: String}
Resources:
  Topic: {Type: "AWS::SNS::Topic"}
"""


def ends(status: str, reason: str = "") -> list[Event]:
    """A sequence in which only the stack says something."""
    return [("stack", status, reason)]


class StubCloudFormation:
    """One stack. `sequences` holds, by operation, what happens after it is called."""

    def __init__(
        self,
        status: str | None = None,
        *,
        running: Sequence[Event] = (),
        change_set: dict[str, Any] | None = None,
        interrupts: Sequence[IalError] = (),
        resources: Sequence[dict[str, Any]] = (),
        **sequences: list[Event],
    ) -> None:
        self.status = status
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._change_set = change_set or {"Status": "CREATE_COMPLETE", "Changes": []}
        self._sequences = sequences
        self._queue: list[tuple[Event, str]] = [(event, "theirs") for event in running]
        self._events: list[dict[str, Any]] = []
        self._interrupts = list(interrupts)
        self._resources = list(resources)

    def names(self) -> list[str]:
        """The operations that changed something, in order."""
        readers = ("describe", "list")
        return [name for name, _ in self.calls if not name.startswith(readers)]

    def arguments(self, operation: str) -> dict[str, Any]:
        """What the last call of an operation was given."""
        return next(given for name, given in reversed(self.calls) if name == operation)

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(**given: Any) -> dict[str, Any]:
            self.calls.append((name, given))
            answer = getattr(self, f"_do_{name}", None)
            if answer is not None:
                return dict(answer(given))
            token = str(given.get("ClientRequestToken", ""))
            self._queue += [(event, token) for event in self._sequences.get(name, [])]
            return {}

        return call

    def _do_describe_stacks(self, given: dict[str, Any]) -> dict[str, Any]:
        self._advance()
        by_id = given["StackName"] == STACK_ID
        if self.status is None or (self.status == "DELETE_COMPLETE" and not by_id):
            raise AwsError("Stack does not exist", code="ValidationError")
        return {"Stacks": [{"StackName": STACK, "StackId": STACK_ID, "StackStatus": self.status}]}

    def _do_describe_stack_events(self, given: dict[str, Any]) -> dict[str, Any]:
        if self._interrupts:
            raise self._interrupts.pop(0)
        self._advance()
        return {"StackEvents": list(reversed(self._events))}

    def _do_create_change_set(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["ChangeSetType"] != "UPDATE":
            self.status = "REVIEW_IN_PROGRESS"
        return {"Id": "change-set", "StackId": STACK_ID}

    def _do_describe_change_set(self, given: dict[str, Any]) -> dict[str, Any]:
        return self._change_set

    def _do_list_change_sets(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"Summaries": []}

    def _do_list_stack_resources(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"StackResourceSummaries": self._resources}

    def _advance(self) -> None:
        if not self._queue:
            return
        (logical_id, status, reason), token = self._queue.pop(0)
        of_stack = logical_id == "stack"
        if of_stack:
            self.status = status
        self._events.append(
            {
                "EventId": str(len(self._events)),
                "LogicalResourceId": STACK if of_stack else logical_id,
                "PhysicalResourceId": STACK_ID if of_stack else f"physical-{logical_id}",
                "ResourceType": "AWS::CloudFormation::Stack" if of_stack else "AWS::SNS::Topic",
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
                "ClientRequestToken": token,
            }
        )


class StubClients:
    """Gives the one stub, whatever is asked for."""

    endpoint_url: str | None = None
    region = "us-east-1"

    def __init__(self, stub: StubCloudFormation) -> None:
        self.stub = stub

    def client(self, service: str) -> StubCloudFormation:
        """The stub."""
        return self.stub


def make_phase(folder: Path, text: str = PLAIN, name: str = "01-domain/01-thing") -> Phase:
    """A phase from a template's text."""
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    number, _, domain = path.parent.name.partition("-")
    file_number, _, stem = path.stem.partition("-")
    return Phase(int(number), domain, int(file_number), stem, read_template(path))


class Bench:
    """A deployer over a stub, with a clock moved by its own waiting."""

    def __init__(
        self,
        stub: StubCloudFormation,
        *,
        limits: Limits | None = None,
        allow_replace: tuple[str, ...] = (),
    ) -> None:
        self.stub, self.clock = stub, FakeClock()
        self.pacer = Pacer(self.clock)
        self.told: list[Progress] = []
        request = Request("p", "1", {"ProjectName": "p"}, allow_replace)
        self.deployer = StackDeployer(
            StubClients(stub),
            request,
            self.pacer,
            limits or Limits(),
            CountingIds(),
            self.told.append,
        )
