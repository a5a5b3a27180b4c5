"""What this package needs of AWS clients: operations by name, answers as dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from core.errors import AwsError


class Client(Protocol):
    """An AWS client: `client.describe_stacks(StackName=…)`; raises errors of ours only."""

    def __getattr__(self, name: str, /) -> Callable[..., dict[str, Any]]:
        """The operation called `name`."""


class Clients(Protocol):
    """Gives the client of a service; `core.aws.session.AwsSession` is one."""

    @property
    def endpoint_url(self) -> str | None:
        """The endpoint, where it is not AWS itself."""

    @property
    def region(self) -> str:
        """The region that clients talk to."""

    def client(self, service: str) -> Client:
        """The client of a service, such as "cloudformation"."""


def pages(operation: Callable[..., dict[str, Any]], **arguments: Any) -> Iterator[dict[str, Any]]:
    """Every page of an operation that goes on by `NextToken`."""
    token: str | None = None
    while True:
        page = operation(**arguments, **({"NextToken": token} if token else {}))
        yield page
        token = page.get("NextToken")
        if not token:
            return


def says_missing(error: AwsError) -> bool:
    """True where CloudFormation says that a stack does not exist (a ValidationError there)."""
    return error.code == "ValidationError" and "does not exist" in error.what
