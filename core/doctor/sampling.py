"""A bounded sample of both tables: how large partitions are, and whether users' data agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.aws.capacity import TableSchema
from core.aws.codec import decode_item
from core.aws.session import AwsSession
from core.clock import Clock, Random
from core.doctor.finding import Finding, ok, skipped, trouble, warning
from core.doctor.reaching import Client
from core.errors import InterruptedRunError, NotFoundError
from core.memory.generations import generation_of
from core.memory.schema import (
    USER_TIME_INDEX,
    embeddings_schema,
    history_schema,
    legacy_history_schema,
)
from core.validation.validator import Validator

PAGE = 200
USERS = 3
MOST_MESSAGES = 5000
"""Of the users that are read whole by a look round, together."""
MOST_RCU = 1000.0
LOOK_S = 3.0
_SEGMENTS = 3
_OF_SEGMENTS = 1000
_SETTLE_S = 0.3

Items = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Sample:
    """Items of both tables, with a few attributes each; `whole` where there are no more."""

    history: Items
    embeddings: Items
    whole: bool

    def vectors(self, generation: str) -> Items:
        """Those of messages, of a generation of the index."""
        return [
            item
            for item in self.embeddings
            if "message_id" in item and generation_of(str(item["user_chunk"])) == generation
        ]

    @property
    def users(self) -> tuple[str, ...]:
        """Whose messages are among it, the fewest first: they cost least to look at."""
        counts = Counter(str(item["user_id"]) for item in self.history if "user_id" in item)
        return tuple(sorted(counts, key=lambda user: (counts[user], user)))


NO_SAMPLE = Sample((), (), whole=True)


def take_sample(session: AwsSession, project: str, rng: Random) -> Sample:
    """Reads a page of each table, and of large ones a few more from places drawn by chance.

    Tables that do not stand have no items.
    """
    dynamodb = session.dynamodb()
    history, first = _items(dynamodb, history_schema(project), ("user_id",), rng)
    names = ("message_id", "model", "dimensions")
    embeddings, second = _items(dynamodb, embeddings_schema(project), names, rng)
    return Sample(history, embeddings, first and second)


def legacy_sample(session: AwsSession, project: str, rng: Random) -> Items:
    """As `take_sample`, of the legacy history's keys."""
    return _items(session.dynamodb(), legacy_history_schema(project), (), rng)[0]


def _items(
    dynamodb: Client, schema: TableSchema, attributes: Sequence[str], rng: Random
) -> tuple[Items, bool]:
    names = {f"#a{n}": name for n, name in enumerate((*schema.keys, *attributes))}
    request = {
        "TableName": schema.name,
        "Limit": PAGE,
        "ProjectionExpression": ", ".join(names),
        "ExpressionAttributeNames": names,
    }
    try:
        page = dynamodb.scan(**request)
    except NotFoundError:
        return (), True
    found = list(page.get("Items") or ())
    whole = not page.get("LastEvaluatedKey")
    for _ in range(0 if whole else _SEGMENTS):
        segment = rng.randrange(_OF_SEGMENTS)
        page = dynamodb.scan(**request, Segment=segment, TotalSegments=_OF_SEGMENTS)
        found += page.get("Items") or ()
    return [decode_item(item) for item in found], whole


def partitions_finding(
    dynamodb: Client, schema: TableSchema, items: Items, *, legacy: bool = False
) -> Finding:
    """How large the largest partition is that the sample met: one page of it is counted."""
    counts = Counter(str(item[schema.hash_key]) for item in items if schema.hash_key in item)
    if not counts:
        return ok("hot partitions", "no messages yet")
    largest, _ = counts.most_common(1)[0]
    answer = dynamodb.query(
        TableName=schema.name,
        Select="COUNT",
        KeyConditionExpression="#k = :v",
        ExpressionAttributeNames={"#k": schema.hash_key},
        ExpressionAttributeValues={":v": {"S": largest}},
    )
    count, more = int(answer.get("Count", 0)), bool(answer.get("LastEvaluatedKey"))
    if not more:
        found = f"of {len(counts)} sampled, the largest holds {count:,} messages, below 1 MB"
        return ok("hot partitions", found)
    found = f"'{largest}' holds over {count:,} messages, more than 1 MB"
    if legacy:
        means = "The legacy layout keeps a user in one partition: each read drags all along."
        return warning("hot partitions", found, means, "`ialctl migrate`")
    means = "One user writes that much a day: above 1,000 writes a second it is throttled."
    cure = "Is one user id used for many people? Give each their own: partitions are by user."
    return warning("hot partitions", found, means, cure)


def agreement_finding(
    session: AwsSession, project: str, generation: str, sample: Sample, clock: Clock
) -> Finding:
    """Whether messages, vectors and index of a few users agree."""
    end_s = clock.monotonic() + LOOK_S
    looked, messages, wrong = 0, 0, Counter[str]()
    for user in _small(session.dynamodb(), project, sample.users):
        try:
            with Validator(
                session,
                project,
                clock,
                user=user,
                max_rcu=MOST_RCU,
                stop=lambda: clock.monotonic() > end_s,
                settle_s=_SETTLE_S,
                generation=generation,
            ) as validator:
                found = validator.run()
        except InterruptedRunError:
            break  # the time is over: those before it were looked at
        looked, messages = looked + 1, messages + found.messages
        wrong.update({f.about.sentence: f.count for f in found.violations})
    if wrong:
        sentence, count = wrong.most_common(1)[0]
        what = f"{wrong.total()} in {looked} users: {sentence} ({count})"
        means = "Searches may miss messages, or contexts lack them."
        cure = "`ialctl validate` looks at all; with --repair it puts most of it right."
        return trouble("agreement", what, means, cure)
    if not looked:
        why = "no messages yet" if not sample.users else "the users sampled are too large"
        return skipped("agreement", f"{why}; `ialctl validate` looks at all")
    users = f"{looked} user{'s' * (looked != 1)}"
    found_words = f"{users}, {messages} messages: vectors and index agree"
    return ok("agreement", f"{found_words}; `ialctl validate` looks at all")


def _small(dynamodb: Client, project: str, users: Sequence[str]) -> Iterator[str]:
    """Users that can be read whole in a moment, USERS of them at most."""
    found, left = 0, MOST_MESSAGES
    for user in users[: 2 * USERS]:
        answer = dynamodb.query(
            TableName=history_schema(project).name,
            IndexName=USER_TIME_INDEX,
            Select="COUNT",
            Limit=left,
            KeyConditionExpression="user_id = :u",
            ExpressionAttributeValues={":u": {"S": user}},
        )
        if answer.get("LastEvaluatedKey"):
            continue
        yield user
        found, left = found + 1, left - int(answer.get("Count", 0))
        if found == USERS or left <= 0:
            return
