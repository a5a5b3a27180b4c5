"""What a question is embedded without."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.memory.index.names import ROLES, without_names


@pytest.mark.parametrize(
    ("query", "names", "left"),
    [
        ("When did Caroline's dog die?", ["Caroline"], "When did dog die?"),
        ("when did CAROLINE’S dog die?", ["Caroline"], "when did dog die?"),
        ("What is James' car?", ["James"], "What is car?"),
        ("Is Ann in the annex?", ["Ann"], "Is in the annex?"),
        ("Did Ada  Lovelace call ada?", ["Ada Lovelace"], "Did call ?"),
        ("Did Ada Lovelace call?", ["Ada", "Ada Lovelace"], "Did call?"),
        ("Will Will come with his will?", ["Will"], "come with his will?"),
        ("Which van did van Gogh like?", ["Vincent van Gogh"], "Which did like?"),
        ("What did the user tell the assistant?", ["user", "Assistant"], None),
        ("Who is C++ (bot)?", ["C++ (bot)"], "Who is ?"),
        ("小明什么时候去北京", ["小明"], "什么时候去北京"),
        ("Où est Jose\u0301 ?", ["Jos\u00e9"], "Où est ?"),
        ("What did 🦊 say?", ["🦊"], "What did say?"),
        ("Nobody  is named  here", ["Ada"], None),
        ("Ada?", ["Ada"], None),
        ("Ada", ["", "   ", "Ada"], None),
        ("", ["Ada"], None),
    ],
)
def test_names_are_taken_out(query: str, names: list[str], left: str | None) -> None:
    """Whole names go, in any case and with their 's; what is no name stays, and some word does."""
    assert without_names(query, names) == (query if left is None else left)


hostile = st.text(st.sampled_from("aAbß '’.*+?()[]{}|\\^$#-\n\té🦊名ſİ"), max_size=12) | st.text(
    max_size=12
)


@given(hostile, st.lists(hostile, max_size=4))
def test_any_name_is_taken_as_text(query: str, names: list[str]) -> None:
    """Whatever a name holds, a query of words keeps some of them, in order and unchanged."""
    left = without_names(query, names)
    assert bool(re.search(r"\w", query)) <= bool(re.search(r"\w", left))
    assert left == query or len(left) <= len(query)


@given(st.lists(st.sampled_from(["the", "dog", "ran", "home"]), min_size=1), st.integers(0, 9))
def test_a_plain_name_is_gone_wherever_it_stood(words: list[str], place: int) -> None:
    """A name leaves the rest as it was."""
    whole = [*words[:place], "Melanie's", *words[place:]]
    assert without_names(" ".join(whole), ["Melanie"]) == " ".join(words)


@given(st.lists(st.sampled_from(sorted(ROLES)), min_size=1))
def test_roles_are_words(roles: list[str]) -> None:
    """A question about "the user" keeps the word."""
    query = f"what did the {' and the '.join(roles)} say"
    assert without_names(query, roles) == query
