"""The nearest vectors by DynamoDB's own vector index (`SearchVectors`).

What is known of it: tables on demand only; 1 to 100 results; the cosine distance is 0 for the same
direction, 2 for the opposite; a search names the user, whom the index is divided by; it follows
the table within seconds; just after it was made it may be unknown to some searches. It counts as
no security boundary, so whose a result is, is looked at here again.

Searches go to a host of their own (`search-dynamodb.REGION`), which botocore knows: so they go by
its client, not by the quick one, whose connections are to one host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from core.aws.capacity import Consumed, item_size
from core.aws.codec import Item
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import AwsError, EndpointAnswerError, UsageError
from core.llm.embedder import FloatArray
from core.memory.chunks import user_chunk
from core.memory.index.nearest import Nearest
from core.memory.keys import check_user
from core.memory.vectors import checked_vector
from core.resilience.retry import Retrier, RetryPolicy

VECTOR_INDEX = "VectorIndex"
VECTOR_ATTRIBUTE = "vector"
USER_ATTRIBUTE = "user_id"
MOST_RESULTS = 100
YOUNG_S = 60.0
"""How long after opening an index a search that it refuses is tried again."""
_REFUSED = RetryPolicy(attempts=6, base_delay_s=0.1, max_delay_s=1.0, total_s=3.0)
_REEMBED = "Choose the embedder that the stored vectors are of, or embed them again."
_DIMENSIONS_DIFFER = re.compile(r"dimension", re.IGNORECASE)


class SearchClient(Protocol):
    """What this needs of an AWS client: `AwsSession.client("dynamodb")`."""

    def __getattr__(self, name: str, /) -> Callable[..., dict[str, Any]]:
        """The operation called `name`."""


class Clients(Protocol):
    """Gives the client of a service; `core.aws.session.AwsSession` is one."""

    def client(self, service: str) -> Any:
        """The client of a service, such as "dynamodb"."""


class NativeVectors:
    """`VectorSearch` by a table's vector index. Thread-safe.

    It answers with at most 100, whatever the limit; all cosines are exact. Whether it looks at
    every vector is the service's affair.
    """

    def __init__(
        self,
        client: SearchClient,
        table_name: str,
        index_name: str,
        dimensions: int,
        clock: Clock = SYSTEM_CLOCK,
        policy: RetryPolicy = _REFUSED,
    ) -> None:
        """The index called `index_name`, of vectors of `dimensions` numbers; sends nothing yet.

        `policy` is for searches that an index refuses because it is new.
        """
        self._client = client
        self._table_name, self._index_name = table_name, index_name
        self._dimensions = dimensions
        self._clock = clock
        self._opened_s = clock.monotonic()
        self._answered = False
        self._retrier = Retrier(policy, self._too_young, clock)

    def nearest(self, user_id: str, vector: FloatArray, limit: int) -> Nearest:
        """At most `limit` (and 100) of the user's messages; see `VectorSearch.nearest`.

        Raises:
            UsageError: dimensions, vector, limit or user id can't be used.
            AwsError: there is no such index any more, or it is being filled; or throttled.
            TargetError: there is no answer, or one that is none.
        """
        request = self._request(user_id, vector, limit)
        try:
            answer = self._retrier(lambda: self._client.search_vectors(**request))
        except AwsError as error:
            if error.code == "ValidationException" and _DIMENSIONS_DIFFER.search(error.what):
                # The index was made anew since, for others.
                raise UsageError(error.what, _REEMBED, table=self._table_name) from error
            raise
        self._answered = True
        return _nearest(answer, user_id)

    def _request(self, user_id: str, vector: FloatArray, limit: int) -> dict[str, Any]:
        check_user(user_id)
        if limit < 1:
            raise UsageError(f"{limit} messages can't be searched for.", "Ask for 1 or more.")
        query = checked_vector(vector)
        if query.size != self._dimensions:
            raise self._differs(query.size)
        return {
            "TableName": self._table_name,
            "IndexName": self._index_name,
            "SearchVector": [{"N": text} for text in _texts(query)],
            "TopK": min(limit, MOST_RESULTS),
            "SearchConditionExpression": "#user = :user",
            "ExpressionAttributeNames": {"#user": USER_ATTRIBUTE},
            "ExpressionAttributeValues": {":user": {"S": user_id}},
            "ProjectionExpression": "user_chunk, embedding_id",
            "ReturnConsumedCapacity": "TOTAL",
        }

    def _too_young(self, error: BaseException) -> bool:
        """Whether an index refuses because it is new; one that has answered is not."""
        if not isinstance(error, AwsError) or error.code != "ValidationException":
            return False
        young = self._clock.monotonic() - self._opened_s < YOUNG_S
        return young and not self._answered and not _DIMENSIONS_DIFFER.search(error.what)

    def _differs(self, dimensions: int) -> UsageError:
        return UsageError(
            f"The query's vector has {dimensions} dimensions; those of the vector index "
            f"'{self._index_name}' have {self._dimensions}.",
            _REEMBED,
            table=self._table_name,
        )


def open_native(
    session: Clients,
    table_name: str,
    index_name: str = VECTOR_INDEX,
    clock: Clock = SYSTEM_CLOCK,
) -> NativeVectors | None:
    """The table's vector index, if it has one that can be searched; asks the table once.

    Raises:
        AwsError, TargetError: the table is not there, or can't be asked.
    """
    dimensions = has_vector_index(session, table_name, index_name)
    if dimensions is None:
        return None
    client = session.client("dynamodb")
    return NativeVectors(client, table_name, index_name, dimensions, clock)


def has_vector_index(
    session: Clients, table_name: str, index_name: str = VECTOR_INDEX
) -> int | None:
    """The dimensions of the table's vector index; None where there is none that can be searched.

    It can be searched when it is active and filled, by cosine, over `vector`, for one user.

    Raises:
        AwsError, TargetError: the table is not there, or can't be asked.
    """
    answer = session.client("dynamodb").describe_table(TableName=table_name)
    for index in answer["Table"].get("VectorIndexes") or []:
        if index.get("IndexName") == index_name and _usable(index):
            return int(index["Dimensions"])
    return None


def native_attributes(vector: FloatArray) -> Item:
    """What an item needs beside its `user_id` to stand in the vector index: a list of numbers.

    Raises:
        UsageError: the vector can't be stored.
    """
    return {VECTOR_ATTRIBUTE: [float(text) for text in _texts(checked_vector(vector))]}


def _usable(index: Mapping[str, Any]) -> bool:
    hashed = [
        element.get("AttributeName")
        for element in index.get("SearchSchema") or []
        if element.get("SearchSchemaElementType") == "HASH"
    ]
    return (
        index.get("IndexStatus") == "ACTIVE"
        and not index.get("Backfilling")
        and index.get("DistanceFunction") == "COSINE"
        and index.get("VectorAttribute", {}).get("AttributeName") == VECTOR_ATTRIBUTE
        and hashed == [USER_ATTRIBUTE]
    )


def _texts(vector: FloatArray) -> list[str]:
    # The shortest decimals that are these numbers as float32: half as many bytes to send.
    texts: list[str] = vector.astype(np.float32).astype(np.str_).tolist()
    return texts


def _nearest(answer: Mapping[str, Any], user_id: str) -> Nearest:
    items = []
    found = []
    try:
        for result in answer.get("SearchResults") or []:
            item = result["Item"]
            items.append(item)
            place = str(item["embedding_id"]["S"])
            if item["user_chunk"]["S"] == user_chunk(user_id, place):
                found.append((1.0 - float(result["Score"]), place))
        metered = float((answer.get("ConsumedCapacity") or {}).get("VectorSearchRequestBytes", 0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EndpointAnswerError(
            "The answer to SearchVectors is not one of DynamoDB: a result has no key or no score.",
            "Is that an endpoint with vector indexes? Check `--endpoint-url`.",
        ) from error
    # Of vectors just as near, the newest first: always the same order.
    found.sort(reverse=True)
    cosines = np.clip(np.array([cosine for cosine, _ in found], np.float32), -1, 1)
    consumed = Consumed(requests=1, rounds=1, bytes=sum(map(item_size, items)))
    places = tuple(place for _, place in found)
    return Nearest(places, cosines, consumed, exact=True, searched_bytes=metered)
