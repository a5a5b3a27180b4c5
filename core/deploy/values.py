"""The values that a deployment answers with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.deploy.changes import Change
from core.deploy.tables import Difference
from core.errors import IalError

Action = Literal["create", "update", "recover", "unchanged"]


@dataclass(frozen=True)
class StackPlan:
    """What would be done with one stack."""

    phase: str
    stack: str
    action: Action
    status: str
    changes: tuple[Change, ...] = ()
    note: str = ""

    @property
    def endangered(self) -> tuple[Change, ...]:
        """Changes that would replace or remove what holds data."""
        return tuple(change for change in self.changes if change.endangers_data)


@dataclass(frozen=True)
class Plan:
    """What a deployment would do, in levels: the stacks of one are deployed side by side."""

    levels: tuple[tuple[StackPlan, ...], ...]

    @property
    def stacks(self) -> tuple[StackPlan, ...]:
        """All stacks in order."""
        return tuple(stack for level in self.levels for stack in level)

    @property
    def changes_anything(self) -> bool:
        """Whether any stack would be touched."""
        return any(stack.action != "unchanged" for stack in self.stacks)


@dataclass(frozen=True)
class StackResult:
    """What became of one stack."""

    phase: str
    stack: str
    state: Literal["done", "unchanged", "failed", "skipped"]
    tables: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    error: IalError | None = None


@dataclass(frozen=True)
class Result:
    """What became of a deployment."""

    stacks: tuple[StackResult, ...]

    @property
    def changed(self) -> bool:
        """Whether anything was changed."""
        return any(stack.state == "done" for stack in self.stacks)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that stand."""
        return tuple(table for stack in self.stacks for table in stack.tables)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """What verification found."""
        return tuple(d for stack in self.stacks for d in stack.differences)

    @property
    def failed(self) -> tuple[StackResult, ...]:
        """The stacks that failed, in order."""
        return tuple(stack for stack in self.stacks if stack.state == "failed")


@dataclass(frozen=True)
class TableStatus:
    """A table as it stands."""

    name: str
    status: str
    items: int
    size_bytes: int


@dataclass(frozen=True)
class StackStatus:
    """A phase's stack as it stands; `status` is empty where it does not."""

    phase: str
    stack: str
    status: str
    reason: str
    optional: bool
    tables: Sequence[TableStatus] = ()


@dataclass(frozen=True)
class Status:
    """What stands of a project."""

    stacks: tuple[StackStatus, ...]
    engine: str
    others: tuple[str, ...] = ()

    @property
    def deployed(self) -> bool:
        """Whether any stack stands."""
        return any(stack.status for stack in self.stacks)


@dataclass(frozen=True)
class Destroyed:
    """What was taken down, and what was kept."""

    stacks: tuple[str, ...]
    deleted: tuple[str, ...]
    kept: tuple[str, ...]
