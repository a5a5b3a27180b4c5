"""Values go to DynamoDB's JSON and back without loss."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.aws.codec import decode, encode, number_text, parse_number
from core.errors import UsageError

# DynamoDB's own range; what lies outside is refused.
floats = st.floats(min_value=-1e125, max_value=1e125).filter(lambda f: f == 0 or abs(f) > 1e-129)
# Beyond these, whole floats come back as whole numbers with the digits that were stored.
small_floats = floats.filter(lambda f: abs(f) < 2**53)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**37), 10**37)
    | small_floats
    | st.text()
    | st.binary()
    | st.frozensets(st.text(), min_size=1)
    | st.frozensets(st.binary(), min_size=1)
    | st.frozensets(st.integers(-(10**37), 10**37), min_size=1)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(values)
def test_values_round_trip(value: Any) -> None:
    """Whatever is encoded is decoded as it was."""
    assert decode(encode(value)) == value


@given(values)
def test_the_type_is_kept(value: Any) -> None:
    """Encoding what was decoded gives the same JSON: no type turns into another."""
    wire = encode(value)
    assert encode(decode(wire)).keys() == wire.keys()


@given(floats)
def test_floats_round_trip(value: float) -> None:
    """A float of any size is the same float when it comes back, whatever its type."""
    assert float(decode(encode(value))) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**100), max_value=10**100))
def test_decimals_keep_every_digit(number: Decimal) -> None:
    """A stored number has all its digits when it comes back, or is refused at once."""
    try:
        text = number_text(number)
    except UsageError:
        digits = "".join(map(str, number.as_tuple().digits)).strip("0")
        assert len(digits) > 38 or number.adjusted() < -130
        return
    back = parse_number(text)
    assert Decimal(repr(back) if isinstance(back, float) else back) == number


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, 10**39 + 1, 1e-200, set(), {1, "a"}, object(), {1: 2}]
)
def test_what_dynamodb_has_no_place_for_is_refused(value: Any) -> None:
    """A value that can't be stored is a sentence, not a traceback from below."""
    with pytest.raises(UsageError):
        encode(value)
