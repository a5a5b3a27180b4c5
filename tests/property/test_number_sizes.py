"""The quick size of a number, and of a list of them, is the emulator's own."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from core.local.number_sizes import quick_number_size, quick_value_size

TEXTS = st.one_of(
    st.from_regex(r"[-+]?0{0,3}[0-9]{0,40}(\.[0-9]{0,40})?0{0,3}", fullmatch=True),
    st.from_regex(r"[0-9]{1,9}(\.[0-9]{0,9})?([eE][-+]?[0-9]{1,3})?", fullmatch=True),
    st.floats(-1, 1).map(repr),
    st.integers().map(str),
    st.text(max_size=5),
    st.sampled_from(["", "-", ".", "-.", "--1", "-+1", " 1", "1 ", "١", "²", "1.2.3", "-0", "0.0"]),
)
VALUES = st.recursive(
    st.one_of(
        TEXTS.map(lambda text: {"N": text}),
        st.text(max_size=9).map(lambda text: {"S": text}),
        st.sampled_from([{"BOOL": True}, {"NULL": True}, {}, {"N": "1", "S": "x"}, None, "N"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5).map(lambda held: {"L": held}),
        st.lists(TEXTS, max_size=9).map(lambda held: {"L": [{"N": text} for text in held]}),
    ),
    max_leaves=8,
)


@settings(max_examples=1000)
@given(text=TEXTS)
def test_every_text_has_the_same_size(text: str) -> None:
    """Whole numbers, fractions, zeros on either side, exponents, and what is no number."""
    assert quick_number_size(_number_size)(text) == _number_size(text)


@given(value=st.integers() | st.none() | st.floats(allow_nan=False))
def test_what_is_no_text_has_the_same_size(value: object) -> None:
    """Numbers that were not written as text, as a careless client sends them."""
    assert quick_number_size(_number_size)(value) == _number_size(value)


@settings(max_examples=300)
@given(value=VALUES)
def test_every_value_has_the_same_size(value: object) -> None:
    """Vectors, lists of other things, lists in lists, and what is no value."""
    quick = quick_value_size(_value_size, quick_number_size(_number_size))
    assert quick(value) == _value_size(value)


def _number_size(value: object) -> int:
    return _unwrapped("_number_size_bytes", value)


def _value_size(value: object) -> int:
    return _unwrapped("_attribute_value_size", value)


def _unwrapped(name: str, value: object) -> int:
    from ministack.services import dynamodb

    # Other tests of this process may have laid the quick one around it.
    function = getattr(dynamodb, name)
    while getattr(function, "__closure__", None):
        cells = dict(zip(function.__code__.co_freevars, function.__closure__, strict=True))
        function = cells["original"].cell_contents
    found: int = function(value)
    return found
