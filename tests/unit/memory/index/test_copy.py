"""What a process knows of the words of a user's messages, and how it comes to know them."""

from __future__ import annotations

import numpy as np

from core.memory.index.copy import UserIndex
from core.memory.index.known import TEXT_CHARACTERS, Text
from core.memory.index.rows import Indexed, Rows, rows_of
from core.memory.index.words import hashed
from core.memory.model import Message

NOW_S = 1_780_000_000.0
KEY = "segment"
TEXTS = ("The dog barks at a dog.", "A cat. " + "miaow " * TEXT_CHARACTERS, "The dog sleeps.")


def test_a_text_that_was_read_says_its_words_and_its_segment_does_not_say_them_again() -> None:
    """Whether texts come first or not at all, the same rows hold the same words as often."""
    whole, cold = _index(), _index()
    whole.apply(KEY, 1, _rows())
    cold.apply(KEY, 1, _rows().block)
    assert not cold.corpus(NOW_S).worded.any()
    for _ in range(2):
        cold.learn(_place(0), Text.of(_message(0)), None)
    assert cold.corpus(NOW_S).worded.tolist() == [True, False, False]
    assert _found(cold, "dog") == {0: 2}
    assert KEY in cold.terms_missing
    cold.apply_terms(KEY, _rows().terms)
    assert cold.corpus(NOW_S).worded.all()
    for word in ("dog", "cat", "miaow", "may"):
        assert _found(cold, word) == _found(whole, word)
    assert np.array_equal(cold.column("lengths"), whole.column("lengths"))


def test_a_text_of_which_only_the_beginning_is_at_hand_says_nothing_of_its_words() -> None:
    """Its segment does: the rest may hold what is asked for."""
    index = _index()
    index.apply(KEY, 1, _rows().block)
    index.learn(_place(1), Text.of(_message(1)), None)
    assert index.knows(1)
    assert not index.corpus(NOW_S).worded.any()
    index.apply_terms(KEY, _rows().terms)
    assert _found(index, "miaow") == {1: 255}


def _index() -> UserIndex:
    return UserIndex("ada", "hashing-v1", 16)


def _message(n: int) -> Message:
    return Message("ada", "s", f"m{n}", _time(n), "user", TEXTS[n])


def _time(n: int) -> int:
    return int(NOW_S) * 1_000_000 + n


def _place(n: int) -> str:
    return f"{_time(n):016d}#user"


def _rows() -> Rows:
    return rows_of([Indexed(_message(n), _place(n)) for n in range(len(TEXTS))], "hashing-v1", 16)


def _found(index: UserIndex, word: str) -> dict[int, int]:
    rows, counts = index.corpus(NOW_S).postings(hashed(word))
    found = dict.fromkeys(rows.tolist(), 0)
    for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
        found[row] += count
    return found
