"""What the two sides are given from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from core.aws.codec import WireItem

T = TypeVar("T")
R = TypeVar("R")


class Each(Protocol):
    """Does the same for many things: `map`, or that of a pool."""

    def __call__(self, function: Callable[[T], R], things: Iterable[T], /) -> Iterator[R]:
        """What came of each, in their order."""


class Insert(Protocol):
    """Inserts items where nothing stands; answers those at whose key something does."""

    def __call__(self, items: Sequence[WireItem]) -> Sequence[WireItem]:
        """Inserts them."""
