"""What was once claimed of the optimized layout, and what is measured of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.benchmark.layouts.contenders import LEGACY


@dataclass(frozen=True)
class Claim:
    """A claimed change of a figure, such as -0.9 for 90% less."""

    name: str
    claimed: float
    operation: str
    quantity: str
    unit: str


CLAIMS = (
    Claim("context, time", -0.90, "context_warm", "p50_ms", "ms"),
    Claim("search, time", -0.95, "search", "p50_ms", "ms"),
    Claim("context, read units", -0.80, "context_warm", "read_units", "RCU"),
    Claim("context, memory", -0.85, "memory", "peak_bytes", "bytes"),
    Claim("cost, no model", -0.61, "cost", "hashing", "$"),
    Claim("cost, Titan V2", -0.61, "cost", "titan", "$"),
)


@dataclass(frozen=True)
class Verdict:
    """A claim beside what was found.

    `label` says how the figures came about. `against` is the engine that was compared with: the
    legacy one as it was, or one that searches the whole history, and so finds as much.
    """

    claim: Claim
    messages: int
    legacy: float
    optimized: float
    label: str
    against: str = LEGACY

    @property
    def change(self) -> float | None:
        """How much more (above 0) or less the optimized layout takes; None of nothing."""
        return self.optimized / self.legacy - 1 if self.legacy else None

    @property
    def holds(self) -> bool:
        """Whether it is as good as was claimed, or better."""
        return self.change is not None and self.change <= self.claim.claimed

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "name": self.claim.name,
            "messages": self.messages,
            "unit": self.claim.unit,
            "legacy": self.legacy,
            "optimized": self.optimized,
            "change": None if self.change is None else round(self.change, 4),
            "claimed": self.claim.claimed,
            "holds": self.holds,
            "label": self.label,
            "against": self.against,
        }
