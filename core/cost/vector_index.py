"""DynamoDB's own vector index against the packed segments: what either takes a month. Pure.

The index comes in addition: segments also hold the terms that search by words needs, so they stay.
Prices: AWS's price list (writes and searches by GB, storage as table storage, at least 1 KB a
request). A search was seen to be metered at about 80 KB by a third party; AWS promises no figure.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from core.cost.model import MILLION, Case
from core.cost.prices import GIB

DIMENSIONS = 384
SEARCH_BYTES = 80 * 1024
LEAST_BYTES = 1024
_FLOAT_BYTES = 4
_KEY_BYTES = 100
# A float32 as a decimal number in a list: nine digits, half of them below zero, and the element.
_NUMBER_BYTES = 7.5
_WRITE_UNIT_BYTES = 1024


@dataclass(frozen=True)
class VectorIndexCost:
    """Dollars a month: what searches take either way, and what the index adds.

    `native_writes` and `native_storage` are the index's own and those of the vectors that stand in
    the items as lists of numbers for it.
    """

    segment_searches: float
    native_searches: float
    native_writes: float
    native_storage: float

    @property
    def native(self) -> float:
        """All that the vector index takes."""
        return self.native_searches + self.native_writes + self.native_storage

    @property
    def saving(self) -> float:
        """What is saved by searching the vector index; below 0 it costs more."""
        return self.segment_searches - self.native

    def plain(self) -> dict[str, float]:
        """As plain data, for JSON."""
        return {name: round(value, 6) for name, value in dataclasses.asdict(self).items()}


def compare(case: Case, dimensions: int = DIMENSIONS) -> VectorIndexCost:
    """The two ways of searching by vector alone, of vectors with so many dimensions."""
    usage, prices, rates = case.usage, case.prices, case.rates
    entry = max(LEAST_BYTES, dimensions * _FLOAT_BYTES + _KEY_BYTES)
    listed = dimensions * _NUMBER_BYTES
    written = usage.messages * entry / GIB * prices.vector_write_gib
    larger = usage.messages * listed / _WRITE_UNIT_BYTES / MILLION * rates.write
    return VectorIndexCost(
        segment_searches=usage.searches * case.profile.search_rru / MILLION * rates.read,
        native_searches=usage.searches * SEARCH_BYTES / GIB * prices.vector_search_gib,
        native_writes=written + larger,
        native_storage=case.gib(entry + listed) * rates.storage,
    )
