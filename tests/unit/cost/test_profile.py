"""What a layout consumes: read strictly, looked up between what was measured."""

from __future__ import annotations

import math

import orjson
import pytest

from core.cost.profile import Profile, at
from core.errors import UsageError

PLAIN = {
    "layout": "optimized",
    "source": "counted by hand",
    "append_rru": 0.0,
    "append_wru": 3.0,
    "index_rru": 0.0,
    "index_wru": 1,
    "recent_rru": 1.0,
    "search_rru": 8.0,
    "context_rru": [[100, 2.0], [1000, 4.0]],
    "context_cold_rru": [[100, 10.0]],
    "stored_bytes": 500.0,
    "gsi_bytes": 600.0,
    "vector_bytes": 700.0,
    "embeddings_per_message": 1.0,
    "embeddings_per_context": 1.0,
    "tokens_per_message": 60.0,
}


def test_a_profile_survives_json() -> None:
    """What is written is what is read."""
    profile = Profile.from_json(PLAIN)
    assert Profile.from_json(orjson.loads(orjson.dumps(profile.to_json()))) == profile
    assert profile.bytes_per_message == 1_800.0


@pytest.mark.parametrize(
    ("size", "units"), [(0, 2.0), (100, 2.0), (550, 3.0), (1_000, 4.0), (90_000, 4.0)]
)
def test_between_two_measured_sizes_it_is_a_line(size: int, units: float) -> None:
    """And outside of them what was measured last."""
    assert at(((100, 2.0), (1_000, 4.0)), size) == pytest.approx(units)


def test_cold_contexts_count_by_their_share() -> None:
    """A quarter of them cold: three parts warm, one part cold."""
    assert Profile.from_json(PLAIN).context_units(550, 0.25) == pytest.approx(0.75 * 3 + 0.25 * 10)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"append_wru": -1}, "'append_wru' is -1; it should be a number from 0 to 1e+12"),
        ({"append_wru": 1e300}, "'append_wru' is 1e+300"),
        ({"append_wru": True}, "'append_wru' is True"),
        ({"append_wru": "3"}, "'append_wru' is '3'"),
        ({"search_rru": math.nan}, "'search_rru' is nan"),
        ({"search_rru": math.inf}, "'search_rru' is inf"),
        ({"layout": "best"}, "'layout' is 'best'; it should be legacy or optimized"),
        ({"source": " "}, "'source'"),
        ({"context_rru": []}, "'context_rru' is []"),
        ({"context_rru": [[1000, 2.0], [100, 1.0]]}, "messages rising"),
        ({"context_rru": [[100, 2.0], [100, 1.0]]}, "messages rising"),
        ({"context_rru": [[100]]}, "'context_rru' is [100]"),
        ({"context_rru": [[1.5, 2.0]]}, "'context_rru' is [1.5, 2.0]"),
        ({"context_cold_rru": [[100, -2.0]]}, "'context_cold_rru' is -2.0"),
        ({"speed": 1.0}, "unknown field 'speed'"),
    ],
)
def test_what_can_not_be_used_is_refused_by_name(changed: dict[str, object], told: str) -> None:
    """One sentence that names the field, and what to do."""
    with pytest.raises(UsageError) as raised:
        Profile.from_json(PLAIN | changed)
    assert told in raised.value.what
    assert raised.value.cure


@pytest.mark.parametrize("data", [None, [], "x", {}, {"layout": "legacy"}])
def test_what_is_no_profile_is_refused(data: object) -> None:
    """Not even a missing field is guessed."""
    with pytest.raises(UsageError, match="A cost profile"):
        Profile.from_json(data)
