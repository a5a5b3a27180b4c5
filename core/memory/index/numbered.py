"""Things numbered as they come."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Numbered(Generic[T]):
    """Numbers things from 0, equal ones alike. Not thread-safe. `things` are in that order."""

    def __init__(self) -> None:
        self.things: list[T] = []
        self._numbers: dict[T, int] = {}

    def number(self, thing: T) -> int:
        """Its number; a new one if it has none."""
        found = self._numbers.setdefault(thing, len(self.things))
        if found == len(self.things):
            self.things.append(thing)
        return found

    def known(self, thing: T) -> int | None:
        """Its number, if it has one."""
        return self._numbers.get(thing)
