"""What a run measures with, while its tables stand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.aws.capacity import TableSchema
from core.aws.session import AwsSession
from core.benchmark.layouts.contenders import LegacyContender, OptimizedContender
from core.benchmark.layouts.opening import Opener
from core.benchmark.layouts.plan import Plan

OURS = 3
"""Tables of both layouts: legacy history, history, embeddings; those of peers come after."""


@dataclass(frozen=True)
class Stand:
    """The tables, filled, and both contenders over them."""

    opener: Opener
    session: AwsSession
    schemas: Sequence[TableSchema]
    contenders: tuple[LegacyContender, OptimizedContender]

    @property
    def figures(self) -> str:
        """Where units come from, in words."""
        if self.session.endpoint_url is None:
            return "units as AWS reported them"
        return "units by DynamoDB's capacity rules, billed by nobody"

    def conditions(self, plan: Plan) -> dict[str, Any]:
        """Under what a result holds; only results with the same ones can be compared."""
        model = self.contenders[0].model
        return {
            "where": self.session.where,
            "figures": self.figures,
            "embedder": {"model": model.model, "dimensions": model.dimensions},
            "rtt_ms": plan.rtt_ms,
            "embedding_ms": plan.embedding_ms,
            "dataset": plan.dataset,
            "digest": plan.digest,
            "sizes": [s.messages for s in plan.scenarios],
            "histories": [len(s.histories) for s in plan.scenarios],
            "effort": dataclasses.asdict(plan.effort),
        }
