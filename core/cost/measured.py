"""The profiles that are shipped: what the layouts consume where nobody measured here yet.

Measured by `ialctl benchmark` with made conversations of 100, 1,000 and 10,000 messages, seed 1,
feature hashing of 384 dimensions; units by DynamoDB's capacity rules. Legacy items that carry their
vectors are counted by the same rules, for a model's vectors: hashing leaves most of a vector empty.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from core.cost.profile import Profile

_HOW = "shipped: ialctl benchmark, 2026-11-22, made conversations, units by the capacity rules"

LEGACY = Profile(
    layout="legacy",
    source=_HOW,
    append_rru=0.0,
    append_wru=1.017,
    index_rru=0.0,
    index_wru=0.0,
    recent_rru=1.0,
    search_rru=4.667,
    context_rru=((100, 5.0), (1_000, 4.5)),
    context_cold_rru=((100, 5.0), (1_000, 4.5)),
    stored_bytes=467.6,
    gsi_bytes=0.0,
    vector_bytes=0.0,
    embeddings_per_message=0.0,
    embeddings_per_context=101.0,
    tokens_per_message=56.4,
)
"""A message is one small item, without a vector; each context embeds its hundred messages anew."""

LEGACY_INLINE = dataclasses.replace(
    LEGACY,
    source=f"{_HOW}; legacy items with vectors inline",
    append_wru=5.0,
    recent_rru=11.5,
    search_rru=56.5,
    context_rru=((100, 56.5),),
    context_cold_rru=((100, 56.5),),
    stored_bytes=4_702.0,
    embeddings_per_message=1.0,
    embeddings_per_context=1.0,
)
"""As many installs have it: the vector in the item, as a list of numbers, read with every read."""

OPTIMIZED = Profile(
    layout="optimized",
    source=_HOW,
    append_rru=0.0,
    append_wru=3.104,
    index_rru=0.046,
    index_wru=3.5,
    recent_rru=1.0,
    search_rru=1.979,
    context_rru=((100, 2.45), (1_000, 5.888), (10_000, 8.838)),
    context_cold_rru=((100, 14.0), (1_000, 24.0), (10_000, 81.5)),
    stored_bytes=791.4,
    gsi_bytes=1_364.4,
    vector_bytes=1_059.5,
    embeddings_per_message=1.0,
    embeddings_per_context=0.492,
    tokens_per_message=56.4,
)

SHIPPED: Mapping[str, Profile] = {"legacy": LEGACY, "optimized": OPTIMIZED}
