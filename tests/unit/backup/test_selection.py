"""Of a backup exactly what is wanted is taken: a user's, a session's, those of a span of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.aws.codec import encode_item
from core.backup.selection import Selection, selector
from core.errors import UsageError
from core.memory.items import to_items
from core.memory.keys import encoded, parts_partition, sort_keys
from core.memory.model import Message
from core.transfer.lines import Keys

HOUR_US = 3_600_000_000
START_US = 1_778_248_560_000_000
Wire = Mapping[str, Any]
UNKNOWN = Keys((("id", "S"),))
"""Keys that no table of the memory has: its name alone tells what it is."""


def message(user: str, session: str, hour: int, content: str = "hello") -> Message:
    """A message of a user's session, so many hours after the start."""
    return Message(
        user_id=user,
        session_id=session,
        message_id=f"{user}-{session}-{hour}",
        timestamp_us=START_US + hour * HOUR_US,
        role="user",
        content=content,
    )


def history(messages: Sequence[Message]) -> dict[str, list[Wire]]:
    """The items of each message in conversation-history-v2, by its id."""
    made: dict[str, list[Wire]] = {}
    for one in messages:
        stored = to_items(one)
        head = {**stored.head, "timestamp_type": next(iter(sort_keys(one)))}
        items = [head, *stored.parts, *([stored.note] if stored.note else [])]
        made[one.message_id] = [encode_item(item) for item in items]
    return made


def chosen(
    selection: Selection, table: str, items: Sequence[Wire], keys: Keys = UNKNOWN
) -> list[Wire]:
    """The items that are selected, in their order."""
    found, _ = selector(selection, table, keys)
    assert found is not None
    for item in items:
        found.look(item)
    return [item for item in items if found.wants(item)]


# So much that it needs parts, however well it is compressed.
LARGE = "".join(chr(0x4E00 + (n * 7919 + n * n * 31) % 20_000) for n in range(400_000))


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (Selection(), ["a#b-s-0", "a#b-t-5", "a-s-1", "c-s-2"]),
        (Selection(user="a#b"), ["a#b-s-0", "a#b-t-5"]),
        (Selection(user="a"), ["a-s-1"]),
        (Selection(session="s"), ["a#b-s-0", "a-s-1", "c-s-2"]),
        (Selection(user="a#b", session="t"), ["a#b-t-5"]),
        (Selection(from_us=START_US + HOUR_US), ["a#b-t-5", "a-s-1", "c-s-2"]),
        (Selection(to_us=START_US + HOUR_US), ["a#b-s-0"]),
        (
            Selection(from_us=START_US + HOUR_US, to_us=START_US + 5 * HOUR_US),
            ["a-s-1", "c-s-2"],
        ),
        (Selection(user="nobody"), []),
    ],
)
def test_messages_are_selected_with_their_parts(selection: Selection, wanted: list[str]) -> None:
    """A large message comes with all its parts and its note, or not at all."""
    by_id = history(
        [
            message("a#b", "s", 0),
            message("a#b", "t", 5, LARGE),
            message("a", "s", 1, LARGE),
            message("c", "s", 2),
        ]
    )
    assert len(by_id["a-s-1"]) >= 4
    # Parts first: where an item stands in a backup says nothing of what it belongs to.
    items = [item for found in by_id.values() for item in reversed(found)]
    expected = [item for name in by_id if name in wanted for item in reversed(by_id[name])]
    assert chosen(selection, "ial-conversation-history-v2", items) == expected


def test_vectors_are_selected_and_the_index_only_with_its_whole_user() -> None:
    """Vectors go with their messages; packed segments hold more than a session."""
    segment = encode_item({"user_chunk": "a%23b#segments", "embedding_id": "L#1#e1"})
    vector = encode_item(
        {
            "user_chunk": "a%23b#03",
            "embedding_id": f"{START_US:016d}#user",
            "session_id": "s",
            "user_id": "a#b",
        }
    )
    other = encode_item({"user_chunk": "a#03", "embedding_id": "x", "session_id": "s"})
    items, table = [segment, vector, other], "ial-conversation-embeddings"
    assert chosen(Selection(user="a#b"), table, items) == [segment, vector]
    assert chosen(Selection(user="a#b", session="s"), table, items) == [vector]
    assert chosen(Selection(from_us=START_US), table, items) == [vector]
    assert chosen(Selection(to_us=START_US), table, items) == []
    assert "`ialctl index" in selector(Selection(session="s"), table, UNKNOWN)[1]
    assert selector(Selection(user="a"), table, UNKNOWN)[1] == ""


@pytest.mark.parametrize(
    "timestamp",
    ["2026-05-08T13:56:00", "2026-05-08T13:56:00+00:00", 1_778_248_560, 1_778_248_560_000],
)
def test_legacy_messages_are_selected_however_their_time_is_written(timestamp: object) -> None:
    """Texts with and without zone, seconds and milliseconds are the same instant."""
    item = encode_item({"user_id": "u", "sort_key": "k", "timestamp": timestamp, "session_id": "s"})
    table = "ial-conversation-history"
    assert chosen(Selection(from_us=START_US, to_us=START_US + 1), table, [item]) == [item]
    assert chosen(Selection(from_us=START_US + 1), table, [item]) == []
    assert chosen(Selection(user="u", session="s"), table, [item]) == [item]
    assert chosen(Selection(user="U"), table, [item]) == []


def test_other_tables_are_selected_by_attributes_of_these_names() -> None:
    """What an item does not say matches no bound."""
    items = [
        encode_item({"id": "1", "user_id": "u", "timestamp": START_US}),
        encode_item({"id": "2", "user_id": "u", "session_id": "s"}),
        encode_item({"id": "3", "timestamp": "no time"}),
        encode_item({"id": "4", "timestamp": True}),
    ]
    assert chosen(Selection(user="u"), "mine", items) == items[:2]
    assert chosen(Selection(session="s"), "mine", items) == items[1:2]
    assert chosen(Selection(from_us=0), "mine", items) == items[:1]


def test_what_tells_of_nobody_is_left_out_and_said() -> None:
    """Tables without users or times give nothing of a selection, and a sentence."""
    for table in ("ial-conversation-cache", "ial-operations"):
        found, note = selector(Selection(user="u"), table, UNKNOWN)
        assert found is None
        assert "nothing of it is restored" in note
    assert selector(Selection(from_us=1), "ial-token-usage", UNKNOWN)[0] is None
    assert selector(Selection(), "ial-operations", UNKNOWN)[0] is not None


@pytest.mark.parametrize(
    "selection", [Selection(user=""), Selection(session=""), Selection(from_us=5, to_us=5)]
)
def test_what_selects_nothing_is_refused(selection: Selection) -> None:
    """Empty names and spans are a wrong use."""
    with pytest.raises(UsageError):
        selection.check()


def test_each_selection_has_its_own_tag() -> None:
    """A restore of one selection is never taken for that of another."""
    several = [Selection(), Selection(user="a"), Selection(session="a"), Selection(from_us=1)]
    assert len({one.tag for one in several}) == len(several)
    assert Selection().tag == ""


def test_a_restored_table_is_known_by_its_keys() -> None:
    """Under whatever name: parts come with their messages, and a cache has nobody's items."""
    by_id = history([message("a", "s", 1, LARGE), message("b", "s", 1, LARGE)])
    items = [item for found in by_id.values() for item in found]
    keys = Keys((("user_date", "S"), ("timestamp_type", "S")))
    for selection in (Selection(user="a"), Selection(user="a", session="s")):
        assert chosen(selection, "ial-conversation-history-v2-r1", items, keys) == by_id["a-s-1"]
    cache = Keys((("cache_key", "S"),))
    assert selector(Selection(user="a"), "ial-conversation-cache-r1", cache)[0] is None


def test_the_time_of_a_vector_is_that_of_its_id() -> None:
    """Microseconds of the first days of the epoch look like seconds, as a number."""
    early_us = 1_700_000_000
    vector = encode_item(
        {
            "user_chunk": "a#03",
            "embedding_id": f"{early_us:016d}#user",
            "session_id": "s",
            "timestamp": early_us,
        }
    )
    table = "ial-conversation-embeddings"
    assert chosen(Selection(to_us=early_us + 1), table, [vector]) == [vector]
    assert chosen(Selection(from_us=early_us + 1), table, [vector]) == []


ids = st.text(alphabet="ab#%25é", min_size=1, max_size=4)


@given(owners=st.lists(ids, min_size=1, max_size=5, unique=True), wanted=ids, session=ids)
def test_nothing_of_another_user_comes_over(owners: list[str], wanted: str, session: str) -> None:
    """Ids that begin, hold or encode one another: each user's items, notes and vectors alone."""
    mine: list[Wire] = []
    items: list[Wire] = []
    for owner in owners:
        found = [i for one in history([message(owner, session, 1)]).values() for i in one]
        found += [
            encode_item({"user_date": f"{encoded(owner)}#parts", "timestamp_type": "1"}),
            encode_item({"user_date": parts_partition(owner, wanted), "timestamp_type": "x#0"}),
        ]
        items += found
        mine += found if owner == wanted else []
    assert chosen(Selection(user=wanted), "x-conversation-history-v2", items) == mine
    heads = [item for item in mine if "session_id" in item]
    whole = Selection(user=wanted, session=session)
    assert chosen(whole, "x-conversation-history-v2", items) == heads
    vectors = {
        owner: [
            encode_item({"user_chunk": f"{encoded(owner)}#{chunk}", "embedding_id": "e"})
            for chunk in ("03", "segments")
        ]
        for owner in owners
    }
    every = [vector for found in vectors.values() for vector in found]
    found = chosen(Selection(user=wanted), "x-conversation-embeddings", every)
    assert found == vectors.get(wanted, [])
