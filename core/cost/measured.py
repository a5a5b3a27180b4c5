"""The profiles that are shipped: what the layouts consume where nobody measured here yet.

Counted by DynamoDB's capacity rules over 100, 1,000 and 10,000 messages of 250 bytes of one user,
saved two by two, vectors of 384 dimensions. A search is one by vector alone, at 1,000 messages.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from core.cost.profile import Profile

_HOW = "shipped: counted 2026-11-21 by the capacity rules, 250-byte messages, 384 dimensions"

LEGACY = Profile(
    layout="legacy",
    source=_HOW,
    append_rru=0.0,
    append_wru=1.0,
    index_rru=0.0,
    index_wru=0.0,
    recent_rru=1.0,
    search_rru=5.0,
    context_rru=((100, 5.0),),
    context_cold_rru=((100, 5.0),),
    stored_bytes=509.5,
    gsi_bytes=0.0,
    vector_bytes=0.0,
    embeddings_per_message=0.0,
    embeddings_per_context=101.0,
    tokens_per_message=66.5,
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
    append_wru=3.0,
    index_rru=0.044,
    index_wru=3.0,
    recent_rru=1.0,
    search_rru=40.0,
    context_rru=((100, 3.5), (1_000, 10.0), (10_000, 9.0)),
    context_cold_rru=((100, 14.5), (1_000, 22.5), (10_000, 76.0)),
    stored_bytes=903.0,
    gsi_bytes=1_390.5,
    vector_bytes=1_092.0,
    embeddings_per_message=1.0,
    embeddings_per_context=1.0,
    tokens_per_message=66.5,
)

SHIPPED: Mapping[str, Profile] = {"legacy": LEGACY, "optimized": OPTIMIZED}
