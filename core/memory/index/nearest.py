"""What finds the vectors nearest to another, whatever does the searching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from core.aws.capacity import Consumed
from core.llm.embedder import FloatArray


@dataclass(frozen=True, eq=False)
class Nearest:
    """The places of the nearest vectors, best first, and the cosine (float32) of each.

    `exact` says that the cosines are those of the vectors themselves, not estimates.
    `searched_bytes` is what a service meters for the search beside `consumed`; 0 for none.
    """

    places: tuple[str, ...]
    cosines: FloatArray
    consumed: Consumed
    exact: bool
    searched_bytes: float = 0.0


class VectorSearch(Protocol):
    """Finds a user's messages by their vectors. Thread-safe.

    Passes `tests/conformance/test_vector_search.py`: of the exact ten nearest it finds 98%. A
    message just stored or deleted may be missing, or still there, for seconds. One that has
    expired may be there for days: who reads its item drops it.
    """

    def nearest(self, user_id: str, vector: FloatArray, limit: int) -> Nearest:
        """At most `limit` of the user's own messages; none for a user who has none.

        Args:
            user_id: whose.
            vector: the query's, of any length but zero.
            limit: how many at most, from 1 on; a search may know a lower bound of its own.

        Raises:
            UsageError: the vector has other dimensions than the stored ones, or no direction;
                the limit is below 1; no message can have this user id.
            AwsError, TargetError: the search is not to be had now.
        """
