"""The round figures that the examples of docs/cost.md are worked with."""

from __future__ import annotations

import dataclasses

from core.cost.profile import Profile

LEGACY = Profile(
    layout="legacy",
    source="round figures",
    append_rru=0,
    append_wru=1,
    index_rru=0,
    index_wru=0,
    recent_rru=1,
    search_rru=5,
    context_rru=((100, 5),),
    context_cold_rru=((100, 5),),
    stored_bytes=512,
    gsi_bytes=0,
    vector_bytes=0,
    embeddings_per_message=0,
    embeddings_per_context=101,
    tokens_per_message=50,
)
OPTIMIZED = dataclasses.replace(
    LEGACY,
    layout="optimized",
    append_wru=3,
    index_wru=3,
    search_rru=20,
    context_rru=((1024, 2), (5120, 4)),
    context_cold_rru=((1024, 20), (5120, 60)),
    stored_bytes=1024,
    gsi_bytes=1536,
    vector_bytes=1024,
    embeddings_per_message=1,
    embeddings_per_context=1,
)
