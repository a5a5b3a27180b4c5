"""Messages as they stand in the optimized history, and where each may stand. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.aws.codec import encode_item
from core.aws.requests import Condition, Test, equals
from core.memory.items import LEAVING
from core.memory.model import Message
from core.migration.transform import Mapped, head_digest, places_of


@dataclass(frozen=True)
class Standing:
    """A message as it stands: its key, its id, its digest, and its head."""

    user_date: str
    place: str
    message_id: str
    digest: bytes
    head: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        """Partition key and sort key."""
        return self.user_date, self.place


@dataclass(frozen=True)
class Wanted:
    """Which messages are looked for: ids of one user's, and the times and roles to look at."""

    user_id: str
    ids: frozenset[str]
    times: frozenset[tuple[int, str]]


def leaving(one: Mapped | None, standing: Sequence[Standing]) -> list[Standing]:
    """Those that go once the message stands as it is wanted: all but one at a place of its own."""
    if one is None:
        return list(standing)
    day, places = own_places(one)
    own = [s for s in standing if s.user_date == day and s.place in places]
    return [s for s in standing if s not in own[:1]]


def gone_from_index(one: Mapped | None, standing: Sequence[Standing]) -> list[tuple[str, str]]:
    """The users and sort keys that the index shows no more once the message stands as wanted."""
    kept = own_places(one) if one is not None else ("", [])
    return [
        (str(s.head["user_id"]), s.place)
        for s in leaving(one, standing)
        # Under its own key on a day that is not its own: it stays there, on the right one.
        if s.user_date == kept[0] or s.place not in kept[1]
    ]


def wanted_of(messages: Iterable[Message]) -> Wanted:
    """Where any of these versions of one message may stand."""
    found = list(messages)
    return Wanted(
        found[0].user_id,
        frozenset(m.message_id for m in found),
        frozenset((m.timestamp_us, m.role) for m in found),
    )


def own_places(one: Mapped) -> tuple[str, list[str]]:
    """The partition and the sort keys at which a message may stand."""
    m = one.message
    return places_of(m.user_id, m.timestamp_us, m.role, m.message_id)


def name_of(one: Mapped) -> tuple[str, str]:
    """A message's user and id."""
    return one.message.user_id, one.message.message_id


def first_place(one: Mapped) -> tuple[str, str]:
    """The key at which a message stands unless another one does."""
    day, places = own_places(one)
    return day, places[0]


def as_it_was(standing: Standing, *, marked: bool = False) -> Condition:
    """Holds while the very content stands that was read, and the mark if there is to be one."""
    tests = equals("message_id", standing.message_id).tests
    tests += (Test(LEAVING, "present"),) if marked else ()
    if "content_hash" in standing.head:
        tests += equals("content_hash", standing.head["content_hash"]).tests
    return Condition(tests)


def share_parts(standing: Standing, one: Mapped) -> bool:
    """Whether the parts of both are the same items: those of one id and content."""
    own = (one.message.message_id, one.stored.head["content_hash"])
    return (standing.message_id, standing.head.get("content_hash")) == own


def is_same(head: Mapping[str, Any] | None, one: Mapped) -> bool:
    """Whether a head is this very message, with this content."""
    names = ("user_id", "message_id", "content_hash")
    return head is not None and all(head.get(name) == one.stored.head[name] for name in names)


def standing_of(head: Mapping[str, Any]) -> Standing:
    """A head as it was read."""
    day, place = str(head["user_date"]), str(head["timestamp_type"])
    return Standing(day, place, str(head["message_id"]), head_digest(encode_item(head)), head)
