"""A month's bill: lines that each say what, how much of it, at what price, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

COMPONENTS = (
    "read",
    "write",
    "storage",
    "indexes",
    "backups",
    "streams",
    "alarms",
    "key",
    "embeddings",
    "free tier",
)


@dataclass(frozen=True)
class Line:
    """One line; dollars are always `amount` times `unit_price`, and `why` says how both came."""

    component: str
    what: str
    amount: float
    unit: str
    unit_price: float
    why: str

    @property
    def dollars(self) -> float:
        """What it comes to a month."""
        return self.amount * self.unit_price

    def plain(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return dataclasses.asdict(self) | {"dollars": round(self.dollars, 6)}


@dataclass(frozen=True)
class Bill:
    """What a layout costs a month."""

    layout: str
    lines: tuple[Line, ...]

    @property
    def total(self) -> float:
        """Dollars a month."""
        return sum(line.dollars for line in self.lines)

    def of(self, *components: str) -> float:
        """Dollars a month of these components."""
        return sum(line.dollars for line in self.lines if line.component in components)

    @property
    def components(self) -> tuple[str, ...]:
        """Those that have a line, in their fixed order."""
        return named(line.component for line in self.lines)

    def plain(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            "layout": self.layout,
            "total": round(self.total, 6),
            "components": {name: round(self.of(name), 6) for name in self.components},
            "lines": [line.plain() for line in self.lines],
        }


def named(components: Iterable[str]) -> tuple[str, ...]:
    """Each of them once, in their fixed order."""
    given = set(components)
    return tuple(name for name in COMPONENTS if name in given)
