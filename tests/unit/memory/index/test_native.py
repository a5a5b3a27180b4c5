"""DynamoDB's own vector index: what is asked, and what is made of odd answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from core.aws.codec import encode_item
from core.aws.session import AwsSession
from core.errors import AwsError, EndpointAnswerError, NotFoundError, UsageError
from core.memory.chunks import user_chunk
from core.memory.index.native import (
    YOUNG_S,
    NativeVectors,
    has_vector_index,
    native_attributes,
    open_native,
)
from core.memory.schema import embeddings_schema
from core.testing.clock import FakeClock
from tests.tables import create_table, vector_index

QUERY = np.array([0.6, 0.8, 0.0], np.float32)


class Endpoint:
    """Answers each search with the next of what it was given; the last one for ever."""

    def __init__(self, *answers: dict[str, Any] | AwsError) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        assert name == "search_vectors"
        return self._search

    def _search(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, AwsError):
            raise answer
        return answer


def result(place: str, score: float, user_id: str = "me") -> dict[str, Any]:
    """A result of the user's."""
    item = {"user_chunk": {"S": user_chunk(user_id, place)}, "embedding_id": {"S": place}}
    return {"Item": item, "Score": score}


def answered(*results: dict[str, Any]) -> dict[str, Any]:
    """The answer to a search."""
    metered = {"VectorSearchRequestBytes": 96.0}
    return {"SearchResults": list(results), "ConsumedCapacity": metered}


def refused(message: str) -> AwsError:
    """The endpoint calls the search invalid."""
    text = f"SearchVectors failed with ValidationException: {message}"
    return AwsError(text, code="ValidationException", status=400)


NEW = refused("The table does not have the specified index: VectorIndex")
FILLING = refused("Cannot search backfilling vector index: VectorIndex")


def opened(endpoint: Endpoint, clock: FakeClock) -> NativeVectors:
    """The index of three dimensions, just opened."""
    return NativeVectors(endpoint, "table", "VectorIndex", 3, clock)


def test_a_search_names_its_user_and_asks_for_keys_only() -> None:
    """One request: the query as numbers, at most a hundred results, and nothing but keys."""
    endpoint = Endpoint(answered())
    opened(endpoint, FakeClock()).nearest("me#1", QUERY, 500)
    (asked,) = endpoint.asked
    assert asked["SearchVector"] == [{"N": "0.6"}, {"N": "0.8"}, {"N": "0.0"}]
    assert asked["TopK"] == 100
    assert asked["SearchConditionExpression"] == "#user = :user"
    assert asked["ExpressionAttributeNames"] == {"#user": "user_id"}
    assert asked["ExpressionAttributeValues"] == {":user": {"S": "me#1"}}
    assert asked["ProjectionExpression"] == "user_chunk, embedding_id"


def test_distances_become_cosines() -> None:
    """Best first, one less the distance each; of equals the newest first; the cost is told."""
    endpoint = Endpoint(answered(result("2", 1.5), result("1", 0.25), result("3", 0.25)))
    found = opened(endpoint, FakeClock()).nearest("me", QUERY, 10)
    assert found.places == ("3", "1", "2")
    assert found.cosines.tolist() == [0.75, 0.75, -0.5]
    assert found.exact
    assert found.searched_bytes == 96
    assert (found.consumed.requests, found.consumed.rounds) == (1, 1)
    assert found.consumed.bytes > 0


def test_what_is_another_users_is_left_out() -> None:
    """The service's filter is no wall: a result that stands elsewhere is not taken."""
    endpoint = Endpoint(answered(result("1", 0.0, "me2"), result("2", 0.5)))
    assert opened(endpoint, FakeClock()).nearest("me", QUERY, 10).places == ("2",)


def test_a_new_index_is_waited_for() -> None:
    """Just after it was made an index may refuse; a moment later it answers."""
    endpoint, clock = Endpoint(NEW, FILLING, answered(result("1", 0.5))), FakeClock()
    assert opened(endpoint, clock).nearest("me", QUERY, 10).places == ("1",)
    assert len(endpoint.asked) == 3


def test_the_waiting_has_an_end() -> None:
    """An index that never answers is an error within seconds."""
    endpoint, clock = Endpoint(FILLING), FakeClock()
    with pytest.raises(AwsError, match="backfilling"):
        opened(endpoint, clock).nearest("me", QUERY, 10)
    assert 1 < len(endpoint.asked) <= 6
    assert sum(clock.slept) <= 3


@pytest.mark.parametrize("old_by", ["answers", "age"])
def test_an_index_that_is_not_new_is_not_waited_for(old_by: str) -> None:
    """One that has answered, or is known for a minute, and is refused now, is gone."""
    endpoint, clock = Endpoint(answered(), NEW), FakeClock()
    native = opened(endpoint, clock)
    if old_by == "age":
        endpoint = Endpoint(NEW)
        native = opened(endpoint, clock)
        clock.advance(YOUNG_S)
    else:
        native.nearest("me", QUERY, 10)
    before = len(endpoint.asked)
    with pytest.raises(AwsError):
        native.nearest("me", QUERY, 10)
    assert len(endpoint.asked) - before == 1
    assert clock.slept == []


def test_an_index_of_other_dimensions_is_told_at_once() -> None:
    """Made anew for another model: a usage error with its cure, not tried again."""
    message = "Input search vector dimension 3 does not match vector index dimension 4"
    endpoint = Endpoint(refused(message))
    with pytest.raises(UsageError, match="dimension 3 does not match") as caught:
        opened(endpoint, FakeClock()).nearest("me", QUERY, 10)
    assert caught.value.cure is not None
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(
    "rubbish",
    [
        {"SearchResults": [{"Item": {}, "Score": 0.1}]},
        {"SearchResults": [{"Score": 0.1}]},
        {"SearchResults": [{"Item": result("1", 0)["Item"]}]},
        {"SearchResults": [{"Item": result("1", 0)["Item"], "Score": "near"}]},
        {"SearchResults": [7]},
        {"SearchResults": 7},
        {"ConsumedCapacity": {"VectorSearchRequestBytes": "much"}},
    ],
)
def test_an_answer_that_is_none_is_told(rubbish: dict[str, Any]) -> None:
    """No key, no score, no list: something else than DynamoDB answered."""
    with pytest.raises(EndpointAnswerError, match="SearchVectors"):
        opened(Endpoint(rubbish), FakeClock()).nearest("me", QUERY, 10)


def test_attributes_hold_the_same_numbers() -> None:
    """What is stored is the vector as float32, in few digits."""
    vector = np.random.default_rng(1).standard_normal(200).astype(np.float32)
    vector[:3] = 0, 1e-12, -3e9
    (written,) = encode_item(native_attributes(vector)).values()
    texts = [number["N"] for number in written["L"]]
    assert (np.array(texts, np.float32) == vector).all()
    assert max(map(len, texts)) <= 16
    with pytest.raises(UsageError):
        native_attributes(np.full(3, np.nan, np.float32))


def test_a_table_says_which_index_it_has(aws: AwsSession, project: str) -> None:
    """Its dimensions once it can be searched; nothing for a table without, or while it fills."""
    other = embeddings_schema(f"{project}-b")
    create_table(aws, other, vectors=3)
    if (
        not aws.client("dynamodb")
        .describe_table(TableName=other.name)["Table"]
        .get("VectorIndexes")
    ):
        pytest.skip("this endpoint has no vector indexes")
    plain = embeddings_schema(project)
    create_table(aws, plain)
    assert has_vector_index(aws, plain.name) is None
    assert open_native(aws, plain.name) is None
    dynamodb = aws.client("dynamodb")
    dynamodb.update_table(
        TableName=plain.name,
        AttributeDefinitions=[{"AttributeName": "user_id", "AttributeType": "S"}],
        VectorIndexUpdates=[{"Create": vector_index(3)}],
    )
    assert has_vector_index(aws, plain.name) is None
    assert has_vector_index(aws, other.name) == 3
    assert has_vector_index(aws, other.name, "AnotherIndex") is None
    with pytest.raises(NotFoundError):
        has_vector_index(aws, f"{project}-none")


@pytest.mark.parametrize(
    "changed",
    [
        {"IndexStatus": "CREATING"},
        {"Backfilling": True},
        {"DistanceFunction": "EUCLIDEAN"},
        {"VectorAttribute": {"AttributeName": "other"}},
        {"SearchSchema": []},
        {"SearchSchema": [{"AttributeName": "x", "SearchSchemaElementType": "HASH"}]},
    ],
)
def test_an_index_of_another_kind_is_none(changed: dict[str, Any]) -> None:
    """Not filled, not by cosine, not a user's own: its answers would be wrong ones."""
    usable = {**vector_index(3), "IndexStatus": "ACTIVE", "Backfilling": False}

    class Described:
        def __init__(self, index: dict[str, Any]) -> None:
            self._index = index

        def client(self, service: str) -> Described:
            return self

        def describe_table(self, **_: Any) -> dict[str, Any]:
            return {"Table": {"VectorIndexes": [self._index]}}

    assert has_vector_index(Described(usable), "t") == 3
    assert has_vector_index(Described({**usable, **changed}), "t") is None
