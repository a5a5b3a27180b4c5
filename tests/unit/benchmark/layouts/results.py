"""Results for tests: of the shape that a run makes, with figures of the test's own."""

from __future__ import annotations

import random
from typing import Any

from core.benchmark.layouts.contenders import LEGACY, OPTIMIZED
from core.benchmark.layouts.plan import OPERATIONS
from core.benchmark.layouts.result import SCHEMA

COUNTS = {
    "requests": 2.0,
    "rounds": 1.0,
    "read_units": 1.5,
    "write_units": 0.0,
    "index_write_units": 0.0,
    "bytes": 4000.0,
    "embeddings": 1.0,
    "embedding_calls": 1.0,
    "tries": 2.0,
}
CONDITIONS: dict[str, Any] = {
    "where": "the endpoint http://127.0.0.1:1",
    "figures": "units by DynamoDB's capacity rules, billed by nobody",
    "embedder": {"model": "hashing-v1", "dimensions": 384},
    "rtt_ms": 0.0,
    "embedding_ms": 0.0,
    "dataset": None,
    "digest": None,
    "sizes": [100],
    "histories": [1],
    "effort": {"blocks": 20},
}


def row(layout: str, operation: str, *, slower: float = 1.0, seed: int = 1, **other: Any) -> Any:
    """A row whose times are `slower` times as long as they would be.

    The machine is busy with something else, more and less, by `seed`; calls differ by 5% besides.
    """
    rng = random.Random(f"{seed}/{layout}/{operation}")
    busy = [1 + abs(rng.gauss(0, 0.3)) for _ in range(20)]
    own = [[slower * load * rng.gauss(5.0, 0.25) for _ in range(8)] for load in busy]
    reference = [[load * rng.gauss(1.0, 0.05) for _ in range(8)] for load in busy]
    times = dict.fromkeys(("p50", "p90", "p99", "p99.9", "max", "mean"), 5.0 * slower)
    about = {"layout": layout, "operation": operation, "scenario": "100", "messages": 100}
    return {
        **about,
        **COUNTS,
        "calls": 160,
        "errors": {},
        "latency_ms": times,
        "endpoint_ms": times,
        "own_ms": times,
        "curve": [[0.5, 5.0 * slower], [0.99, 9.0 * slower]],
        "per_second": 200.0,
        "recall": 0.9,
        "times": own,
        "reference": reference,
        **other,
    }


def rows(seed: int = 1, **slower: float) -> list[Any]:
    """A row for every operation and layout; `slower` names operations of the optimized one."""
    return [
        row(layout, name, seed=seed, slower=slower.get(name, 1.0) if layout == OPTIMIZED else 1.0)
        for name in OPERATIONS
        for layout in (LEGACY, OPTIMIZED)
    ]


def result(measurements: list[Any]) -> dict[str, Any]:
    """A result around rows."""
    run = {"id": "1", "started_at": "2026-11-01T10:00:00Z", "seconds": 60.0, "seed": 1}
    machine = {"processor": "p", "cores": 2, "memory_bytes": 2**30, "system": "s", "python": "3"}
    machine["load_before"] = 0.1
    return {
        "schema": SCHEMA,
        "run": {**run, "version": "0.1.0"},
        "conditions": CONDITIONS,
        "machine": {**machine, "binary": False, "versions": {"ialctl": "0.1.0"}},
        "measurements": measurements,
        **dict.fromkeys(("ratios", "hit_rates", "memory", "claims", "mixed", "load", "peers"), ()),
        "profiles": {},
        "losses": None,
        "answer": [],
    }
