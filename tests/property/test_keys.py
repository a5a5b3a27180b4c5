"""No user id reaches into another's keys, and keys sort as time goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from core.memory import fence, keys
from core.memory.model import Message, shorten, summary_line
from core.memory.tokens import estimate_tokens, token_weight

ids = st.text(min_size=1, max_size=50).filter(
    lambda t: not any("\ud800" <= c < "\ue000" for c in t)
)
times = st.integers(0, keys.LATEST_US)
odd = st.text(alphabet=st.sampled_from("ab<>/|[]\n\r\u2028\x00\u200b stored_conversation"))


def _message(user: str, when: int, role: str = "user", message_id: str = "m") -> Message:
    return Message(user, "s", message_id, when, role, "x")


@given(ids, ids, times)
def test_partitions_of_different_users_differ(one: str, other: str, when: int) -> None:
    """A partition key belongs to one user only, and so does the prefix of all of them."""
    if one == other:
        return
    assert keys.user_date(one, when) != keys.user_date(other, when)
    assert not keys.user_date(other, when).startswith(keys.user_prefix(one))
    assert not keys.parts_partition(other, "m").startswith(keys.user_prefix(one))


@given(ids)
def test_encoding_round_trips(text: str) -> None:
    """What was encoded is decoded as it was, and holds no separator."""
    assert "#" not in keys.encoded(text)
    assert keys.decoded(keys.encoded(text)) == text


@given(times, times)
def test_sort_keys_sort_as_time_goes(one: int, other: int) -> None:
    """Keys compare as their times do, over the whole range."""
    first, second = (next(keys.sort_keys(_message("u", when))) for when in (one, other))
    assert (first < second) == (one < other) or one == other


@given(times)
def test_days_hold_their_times(when: int) -> None:
    """A time lies between its day's beginning and a day later."""
    begin = keys.day_start_us(keys.user_date("a#b", when))
    assert begin <= when < begin + 86_400_000_000


@given(ids, st.text(min_size=1, max_size=10).filter(str.isascii))
def test_accepted_messages_fit_into_keys(user: str, role: str) -> None:
    """What the check lets through stays under DynamoDB's limits for keys."""
    message = _message(user, keys.LATEST_US, role, user)
    keys.check_message(message)
    assert len(keys.user_date(user, message.timestamp_us).encode()) <= 2048
    assert all(len(key.encode()) <= 1024 for key in keys.sort_keys(message))


def test_the_limit_of_a_user_id_is_the_limit_of_the_key() -> None:
    """The longest id that passes just fits; one more byte is refused with the limit named."""
    longest = keys.PARTITION_KEY_BYTES - len("#parts#2026-01-01")
    keys.check_user("x" * longest)
    assert len(keys.user_date("x" * longest, 0)) <= keys.PARTITION_KEY_BYTES
    with pytest.raises(UsageError, match=f"{longest} is the limit"):
        keys.check_user("x" * (longest + 1))
    with pytest.raises(UsageError, match="is the limit"):
        keys.check_user("#" * longest)


@given(st.text(max_size=400), st.integers(2, 200))
def test_short_forms_stay_within_their_limit(text: str, limit: int) -> None:
    """A shortened text is never longer than asked, and a short one stays whole."""
    assert len(shorten(text, limit)) <= limit
    assert shorten(text, len(text) + 1) == text
    assert len(summary_line(text)) <= 80


@given(odd)
def test_stored_text_never_begins_a_line_nor_closes_the_fence(text: str) -> None:
    """Whatever was stored: inside the fence its lines begin with a bar, and no tag survives."""
    shown = fence.quoted(text)
    assert all(line.startswith("  | ") for line in shown.splitlines()[1:])
    assert f"</{fence.TAG}" not in shown
    assert f"<{fence.TAG}" not in shown
    assert "\x00" not in shown
    assert len(fence.label(text).splitlines()) <= 1


@given(st.text(), st.text())
def test_token_estimates_of_lines_add_up(one: str, other: str) -> None:
    """The estimate of lines is that of each; so a budget of lines holds for the whole."""
    whole = token_weight(f"{one}\n{other}\n")
    assert whole == pytest.approx(token_weight(f"{one}\n") + token_weight(f"{other}\n"))
    parts = estimate_tokens(f"{one}\n") + estimate_tokens(f"{other}\n")
    assert estimate_tokens(f"{one}\n{other}\n") <= parts


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("Der Zug nach München fährt morgen früh um sieben Uhr ab.", 13),
        ("Поезд в Москву отправляется завтра рано утром.", 13),
        ("去北京的火车明天一大早出发，我们需要提前买票。", 21),
        ("[2023-05-08 13:56 | Caroline | lexical] ", 23),
        ("d41d8cd98f00b204e9800998ecf8427e", 30),
    ],
)
def test_token_estimates_are_not_below_a_tokenizers_count(text: str, counted: int) -> None:
    """Of ordinary text of several scripts and of codes, at least what a tokenizer counted."""
    assert counted <= estimate_tokens(text) <= 2.5 * counted
