"""Each way in which two sides may differ: planted by plain boto3, found, named, and put right."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from core.aws.codec import encode_item
from core.errors import DifferenceError
from core.memory.chunks import user_chunk
from core.memory.index.partition import LOG, TERMS
from core.memory.keys import sort_keys, user_date
from core.memory.model import Message
from core.migration.sampling import Mismatch
from core.migration.verifying import Verification
from tests.migrating import Moving, found_heads

DAY_US = 86_400_000_000
MANY = 150
"""More messages than a segment of the index takes."""
_Item = dict[str, Any]
HISTORY_KEY = ("user_date", "timestamp_type")
EMBEDDING_KEY = ("user_chunk", "embedding_id")


@dataclass(frozen=True)
class Case:
    """How something is planted on a user's messages, and what is to be said of it."""

    plant: Callable[[Moving, list[_Item]], None]
    kind: str
    why: str


def lost(moving: Moving, heads: list[_Item]) -> None:
    """A message that only the legacy table has."""
    moving.remove(moving.history, heads[2], *HISTORY_KEY)
    moving.remove(moving.embeddings, _vector_key(heads[2]), *EMBEDDING_KEY)


def changed(moving: Moving, heads: list[_Item], **attributes: Any) -> None:
    """A message with other attributes."""
    moving.put(moving.history, {**heads[2], **attributes})


def extra(moving: Moving, heads: list[_Item]) -> None:
    """A message that only the optimized tables have."""
    head = heads[2]
    time_us = int(head["timestamp"]) + 7
    place = f"{time_us:016d}#{head['role']}"
    more = {"timestamp": time_us, "timestamp_type": place, "message_id": "nobody's"}
    # As somebody's own program may write it, none of the memory's.
    moving.put(moving.history, {**{n: v for n, v in head.items() if n != "sort_key"}, **more})
    vector = _vector(moving, head)
    moving.put(moving.embeddings, {**vector, **_vector_key({**head, **more})})


def on_another_day(moving: Moving, heads: list[_Item]) -> None:
    """A message under the date of the day after."""
    head = heads[2]
    day = user_date(head["user_id"], int(head["timestamp"]) + DAY_US)
    moving.put(moving.history, {**head, "user_date": day})
    moving.remove(moving.history, head, *HISTORY_KEY)


def doubled(moving: Moving, heads: list[_Item]) -> None:
    """The same message at a second place of its own."""
    head = heads[2]
    probe = Message(head["user_id"], "", head["message_id"], int(head["timestamp"]), "user", "")
    _, second, *_ = sort_keys(probe)
    moving.put(moving.history, {**head, "timestamp_type": second})
    moving.put(moving.embeddings, {**_vector(moving, head), **_vector_key(head, second)})


def lone_vector(moving: Moving, heads: list[_Item]) -> None:
    """A vector whose message never was."""
    place = f"{int(heads[2]['timestamp']) + 7:016d}#user"
    moving.put(moving.embeddings, {**_vector(moving, heads[2]), **_vector_key(heads[2], place)})


def without_vector(moving: Moving, heads: list[_Item]) -> None:
    """A message whose text and vector are gone."""
    moving.remove(moving.embeddings, _vector_key(heads[2]), *EMBEDDING_KEY)


def other_text(moving: Moving, heads: list[_Item]) -> None:
    """A vector that carries another text than its message."""
    moving.put(moving.embeddings, {**_vector(moving, heads[2]), "content": "Never said."})


def without_segment(moving: Moving, heads: list[_Item]) -> None:
    """The index without one of its segments."""
    partition = {"user_chunk": f"{heads[0]['user_date'].rpartition('#')[0]}#segments"}
    stands = [i for i in moving.items(moving.embeddings) if partition.items() <= i.items()]
    segment = next(
        i for i in stands if "#s" in i["embedding_id"][2:] and i["embedding_id"][:2] == LOG
    )
    terms = {**partition, "embedding_id": TERMS + segment["embedding_id"].removeprefix(LOG)}
    moving.remove(moving.embeddings, segment, *EMBEDDING_KEY)
    moving.remove(moving.embeddings, terms, *EMBEDDING_KEY)


def gone_but_indexed(moving: Moving, heads: list[_Item]) -> None:
    """The index names a message that never was in the legacy table, and is gone."""
    user, time_us = heads[0]["user_id"], int(heads[0]["timestamp"]) + 11
    message = Message(user, "s", "passing", time_us, "user", "Passing by.")
    with moving.optimized_engine() as engine:
        engine.import_messages(user, [message])
    place = f"{time_us:016d}#user"
    moving.remove(
        moving.history,
        {"user_date": user_date(user, time_us), "timestamp_type": place},
        *HISTORY_KEY,
    )
    moving.remove(moving.embeddings, _vector_key(heads[0], place), *EMBEDDING_KEY)


def lost_part(moving: Moving, heads: list[_Item]) -> None:
    """A part of a large message is gone."""
    user = heads[0]["user_id"]
    part = next(i for i in moving.items(moving.history) if "part" in i and user in i["user_date"])
    moving.remove(moving.history, part, *HISTORY_KEY)


CASES: dict[str, Case] = {
    "lost": Case(lost, "missing", "only the legacy table has it"),
    "a byte of the content": Case(partial(changed, content="Text 2 of it!"), "damaged", "content"),
    "another session": Case(partial(changed, session_id="other"), "changed", "session_id"),
    "a byte of what is carried": Case(partial(changed, channel="e-Mail"), "changed", "channel"),
    "one more": Case(extra, "extra", "only the optimized tables have it"),
    "another day": Case(on_another_day, "misplaced", "a key that is not its own"),
    "twice": Case(doubled, "twice", "more than once"),
    "a vector alone": Case(lone_vector, "vector", "it has no message"),
    "no vector": Case(without_vector, "vector", "no text and vector"),
    "another text beside the vector": Case(other_text, "vector", "another text"),
    "a lost part": Case(lost_part, "damaged", ""),
    "an index without a segment": Case(without_segment, "index", "unindexed"),
    "an index of what is gone": Case(gone_but_indexed, "index", "orphaned"),
}


@dataclass(frozen=True)
class Outcome:
    """What was found of what was planted, and what stood before and after the repair."""

    found: Verification
    repaired: Verification
    then: Verification
    named: Mapping[str, tuple[str, str]]
    """User and legacy sort key by case."""
    was: Mapping[tuple[str, ...], Any]
    is_: Mapping[tuple[str, ...], Any]
    refused: DifferenceError
    same_heads: bool

    def of(self, name: str) -> list[Mismatch]:
        """What was said of a case's user."""
        return [m for m in self.found.mismatches if m.user_id == self.named[name][0]]


@pytest.fixture(scope="module")
def outcome(endpoint_url: str, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A migrated table, each case planted on a user of its own, then repaired."""
    project = f"t-{uuid.uuid4().hex[:12]}"
    moving = Moving.make(endpoint_url, project, tmp_path_factory.mktemp("mismatches"))
    for number, name in enumerate(CASES):
        moving.put_many(moving.legacy, list(_conversation(number, name)))
    moving.migrator(embed=True).run()
    assert moving.verify().equal
    was, before = _all(moving), found_heads(moving)
    named = {}
    for number, case in enumerate(CASES.values()):
        user = _user(number)
        heads = [head for head in moving.heads() if head["user_id"] == user]
        named[list(CASES)[number]] = (user, str(heads[2]["sort_key"]))
        case.plant(moving, heads)
    found = moving.verify()
    with pytest.raises(DifferenceError) as refused:
        moving.migrator().cut_over()
    repaired, then = moving.verify(repair=True), moving.verify()
    return Outcome(
        found, repaired, then, named, was, _all(moving), refused.value,
        found_heads(moving) == before,
    )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_mismatch_is_found_and_named(outcome: Outcome, name: str) -> None:
    """Verification tells of each what it is, whose it is, and where it stands."""
    case, (user, sort_key) = CASES[name], outcome.named[name]
    said = [m for m in outcome.of(name) if m.kind == case.kind and case.why in m.why]
    assert said, outcome.of(name)
    if case.kind in ("missing", "damaged", "changed", "misplaced", "twice"):
        assert {(m.user_id, m.sort_key) for m in said} == {(user, sort_key)}


def test_a_difference_blocks_the_cut_over(outcome: Outcome) -> None:
    """As long as anything differs nobody is sent to the optimized tables."""
    assert not outcome.found.equal
    assert "not verified" in outcome.refused.what


def test_a_repair_heals_all_of_it(outcome: Outcome) -> None:
    """After a repair nothing differs, and a second verification says the same."""
    assert outcome.repaired.mismatches == ()
    assert outcome.repaired.repaired >= len(CASES)
    assert outcome.then.mismatches == ()
    assert outcome.same_heads


def test_a_repair_changes_nothing_else(outcome: Outcome) -> None:
    """Whatever was not planted on stands as it stood, byte for byte."""
    touched = {
        key for key in outcome.was.keys() | outcome.is_.keys()
        if outcome.was.get(key) != outcome.is_.get(key)
    }  # fmt: skip
    users = {_user(number) for number in range(len(CASES))}
    per_user = {user: sum(key[1].startswith(f"{user}#") for key in touched) for user in users}
    assert sum(per_user.values()) == len(touched)
    assert max(per_user.values()) <= 2, per_user
    assert not any(key[0] == "legacy" for key in touched)


def _user(number: int) -> str:
    return f"user-{number:02d}"


def _conversation(number: int, name: str) -> list[Any]:
    count = MANY if "index" in name else 6
    items: list[Any] = []
    for n in range(count):
        when = f"2024-05-{1 + n // 24:02d}T{n % 24:02d}:00:00+00:00"
        content = f"Text {n} of it."
        large: dict[str, bytes] = {}
        if name == "a lost part" and n == 2:
            # What is carried along takes the room in which the compressed text would find place.
            rng = random.Random(5)
            content = "".join(map(chr, rng.choices(range(128), k=195_000)))
            large = {"raw": rng.randbytes(200_000)}
        items.append(
            {
                **large,
                "user_id": _user(number),
                "sort_key": f"{when}#{n}",
                "timestamp": when,
                "session_id": "s",
                "role": "user",
                "content": content,
                "channel": "e-mail",
            }
        )
    return [encode_item(item) for item in items]


def _all(moving: Moving) -> dict[tuple[str, ...], Any]:
    """Every item but the index's runs, whose keys are drawn anew each time."""
    keys = {
        "legacy": (moving.legacy, ("user_id", "sort_key")),
        "history": (moving.history, HISTORY_KEY),
        "embeddings": (moving.embeddings, EMBEDDING_KEY),
    }
    return {
        (side, *(str(item[name]) for name in names)): item
        for side, (table, names) in keys.items()
        for item in moving.items(table)
        if not str(item.get("user_chunk", "")).endswith("#segments")
    }


def _vector_key(head: Mapping[str, Any], place: str | None = None) -> _Item:
    at = place or str(head["timestamp_type"])
    return {"user_chunk": user_chunk(head["user_id"], at), "embedding_id": at}


def _vector(moving: Moving, head: Mapping[str, Any]) -> _Item:
    key = _vector_key(head)
    return next(i for i in moving.items(moving.embeddings) if key.items() <= i.items())
