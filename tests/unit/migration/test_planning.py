"""What a plan counts, exactly or by estimate, and in flat memory."""

from __future__ import annotations

import time

import pytest

from core.aws.codec import WireItem
from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK
from core.errors import NotFoundError
from core.llm.hashing import DEFAULT_DIMENSIONS
from core.memory.parts import open_parts
from core.memory.schema import embeddings_schema, history_schema
from core.migration.planning import plan
from core.migration.surveying import Distinct, Survey
from core.migration.wiring import Options, Wiring
from core.settings import Settings
from tests.legacy_tables import (
    OTHER_DIMENSIONS,
    create_legacy_table,
    fill_legacy,
    legacy_items,
)


@pytest.fixture
def survey(settings: Settings, aws: AwsSession) -> Survey:
    """A survey that nothing was counted in."""
    with open_parts(settings, aws) as parts:
        schemas = (history_schema("t"), embeddings_schema("t"))
        return Survey(parts.items, *schemas, DEFAULT_DIMENSIONS)


def counted(survey: Survey, *items: WireItem) -> Survey:
    """The survey with these counted."""
    for item in items:
        survey.add(item, time.time())
    return survey


def item(**attributes: str) -> WireItem:
    """An item of one user's, whatever else it says."""
    plain = {"user_id": "ada", "sort_key": "2024-05-01T10:00:00Z", "content": "Hello."}
    return {name: {"S": value} for name, value in (plain | attributes).items()}


def test_every_variety_is_counted(survey: Survey) -> None:
    """Each item is expired, a message, or can't be mapped; vectors are told by their length."""
    counts = counted(survey, *legacy_items(520, users=5, unmappable=3)).counts
    assert counts.items == 520 == counts.expired + counts.messages + counts.unmapped
    assert counts.unmapped == 3
    assert set(counts.vectors) == {DEFAULT_DIMENSIONS, OTHER_DIMENSIONS}
    assert counts.without_vector == counts.messages - counts.vectors[DEFAULT_DIMENSIONS]
    assert {"channel", "labels", "summary"} <= set(counts.unknown)
    assert min(counts.undated, counts.without_session, counts.compressed) > 0
    assert survey.users.count == 5
    assert survey.collisions > 0


def test_collisions_are_those_of_user_time_and_role(survey: Survey) -> None:
    """Another user's, or another role's, is none."""
    counted(
        survey,
        item(timestamp="2024-05-01T10:00:00Z", role="user"),
        item(timestamp="1714557600", role="user", sort_key="b"),
        item(timestamp="2024-05-01T10:00:00Z", role="assistant", sort_key="c"),
        item(timestamp="2024-05-01T10:00:00Z", role="user", user_id="ben"),
    )
    assert survey.collisions == 1


def test_reasons_are_told_once_with_the_first_keys(survey: Survey) -> None:
    """However many items share one; five of their keys are named."""
    roles = ("r" * (70 + number) for number in range(9))
    (one,) = counted(
        survey, *(item(role=role, sort_key=f"k{n}") for n, role in enumerate(roles))
    ).unmapped
    assert one.count == 9
    assert [key for _, key in one.examples] == ["k0", "k1", "k2", "k3", "k4"]
    assert "64 is the limit" in one.reason


def test_what_is_long_is_shortened_in_samples(survey: Survey) -> None:
    """A sample shows vectors by their length, and no more than a line of any text."""
    counted(survey, *legacy_items(200, users=3))
    shown = [v for s in survey.samples for v in (*s.legacy.values(), *s.head.values())]
    assert 0 < len(survey.samples) <= 3
    assert max(map(len, shown)) <= 60


def test_many_different_things_are_counted_in_bounded_memory() -> None:
    """Exact while they are few, within some percent beyond."""
    few, many = Distinct(), Distinct(1000)
    for number in range(900):
        few.add(number % 300)
    for number in range(40_000):
        many.add(number // 2)
    assert (few.count, few.again, few.is_exact) == (300, 600, True)
    assert not many.is_exact
    assert many.count == pytest.approx(20_000, rel=0.15)
    assert many.again == pytest.approx(20_000, rel=0.15)


def test_a_sample_is_told_as_one(settings: Settings, aws: AwsSession) -> None:
    """Where not all was read the counts are multiplied; where all was, they are exact."""
    create_legacy_table(aws, settings.project)
    with Wiring(aws, settings, SYSTEM_CLOCK, Options()) as wiring:
        empty = plan(wiring, settings.project)
        assert (empty.exact, empty.counts.items, empty.cost.write_units) == (True, 0, 0)
        fill_legacy(aws, settings.project, items=500, users=50, large=8)
        whole = plan(wiring, settings.project)
        part = plan(wiring, settings.project, 50)
    assert (whole.exact, whole.counts.items, whole.users) == (True, 500, 50)
    assert not whole.ground.deployed
    assert [one.items for one in whole.left] == [None] * 4
    if not part.exact:
        assert part.about(part.counts.items) == 500
    assert part.cost.write_units == pytest.approx(whole.cost.write_units, rel=0.5)


def test_without_a_legacy_table_there_is_nothing_to_plan(
    settings: Settings, aws: AwsSession
) -> None:
    """It says so, and that the project may be another one."""
    with (
        Wiring(aws, settings, SYSTEM_CLOCK, Options()) as wiring,
        pytest.raises(NotFoundError, match="There is no table"),
    ):
        plan(wiring, settings.project)
