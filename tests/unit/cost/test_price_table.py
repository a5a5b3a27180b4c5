"""Prices: shipped, fetched from a price list over HTTP, saved, damaged, old."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from core.cost.offers import PriceList
from core.cost.price_table import PriceTable
from core.cost.prices import US_EAST_1, Prices
from core.errors import EndpointAnswerError, EndpointUnreachableError, StorageError, UsageError
from core.testing.clock import FakeClock
from tests.unit.cost.price_server import offer, price_server

# 21 November 2026, 00:00 UTC.
NOW_S = 1_795_219_200.0
IRELAND = "eu-west-1"


def _table(folder: Path, url: str = "http://127.0.0.1:1", **options: Any) -> PriceTable:
    return PriceTable(
        folder, FakeClock(NOW_S), PriceList(url, connect_s=1.0, read_s=2.0, **options)
    )


def test_what_is_fetched_is_saved_and_used_from_then_on(tmp_path: Path) -> None:
    """By usage type, without the region's prefix; the free band and foreign types passed over."""
    with price_server({IRELAND: offer("EU-")}) as url:
        fetched = _table(tmp_path, url).refresh(IRELAND)
    prices = fetched.prices
    assert (prices.region, prices.as_of) == (IRELAND, "2026-11-03")
    assert prices.million_read_units == pytest.approx(0.14)
    assert prices.million_write_units == pytest.approx(0.70)
    assert prices.ia_million_read_units == pytest.approx(0.17)
    assert prices.ia_storage_gib_month == pytest.approx(0.11)
    assert prices.storage_gib_month == pytest.approx(0.28)
    assert prices.read_capacity_hour == pytest.approx(0.00014)
    assert prices.stream_read == pytest.approx(2.2e-7)
    # Not in that list: as shipped.
    assert prices.write_capacity_hour == US_EAST_1.write_capacity_hour
    assert prices.s3_gib_month == US_EAST_1.s3_gib_month
    chosen = _table(tmp_path).choose(IRELAND)
    assert (chosen.prices, chosen.age_days) == (prices, 18)
    assert [path.name for path in tmp_path.iterdir()] == [f"{IRELAND}.json"]


@pytest.mark.parametrize("prefix", ["", "USW2-", "APN1-", "USE1-"])
def test_each_regions_prefix_is_known(tmp_path: Path, prefix: str) -> None:
    """`IA-` is a table class, never a region; so no price is taken for another."""
    with price_server({"us-west-2": offer(prefix)}) as url:
        prices = _table(tmp_path, url).refresh("us-west-2").prices
    assert prices.million_read_units == pytest.approx(0.14)
    assert prices.ia_million_write_units == pytest.approx(0.85)


def test_without_a_refresh_the_shipped_prices_are_used(tmp_path: Path) -> None:
    """Nothing is fetched; for another region it says whose they are."""
    chosen = _table(tmp_path / "none").choose("us-east-1")
    assert (chosen.prices, chosen.source, chosen.age_days) == (US_EAST_1, "shipped", 81)
    assert chosen.note is None
    assert "--refresh" in _table(tmp_path).choose(IRELAND).source


def test_old_prices_are_used_with_a_note(tmp_path: Path) -> None:
    """After 180 days."""
    clock = FakeClock(NOW_S + 100 * 86_400)
    note = PriceTable(tmp_path, clock).choose("us-east-1").note
    assert note is not None
    assert "181 days old" in note


BAD: list[tuple[bytes | dict[str, Any], str]] = [
    (b"", "is not one"),
    (b"<html>Access denied</html>", "is not one"),
    (b"[]", "lacks 'ReadRequestUnits'"),
    (b"{}", "lacks 'ReadRequestUnits'"),
    (orjson.dumps(offer())[:2_000], "is not one"),
    (offer(publicationDate=None), "lacks 'publicationDate'"),
    (offer(products={}), "lacks 'ReadRequestUnits'"),
    (offer(products={"a": None}), "is not one"),
    (offer(products={"a": {}}), "is not one"),
    (offer(terms={"OnDemand": {"SKU00000": {"a": {"priceDimensions": 1}}}}), "is not one"),
    (offer(publicationDate="yesterday"), "lacks 'publicationDate'"),
]


@pytest.mark.parametrize(("body", "told"), BAD)
def test_what_is_no_price_list_is_refused(
    tmp_path: Path, body: bytes | dict[str, Any], told: str
) -> None:
    """Whatever answers; the saved prices stay, and nothing is left behind."""
    with price_server({IRELAND: offer("EU-")}) as url:
        before = _table(tmp_path, url).refresh(IRELAND)
    with (
        price_server({IRELAND: body}) as url,
        pytest.raises(EndpointAnswerError, match=told) as raised,
    ):
        _table(tmp_path, url).refresh(IRELAND)
    assert raised.value.exit_code == 4
    assert "--refresh" in (raised.value.cure or "")
    assert _table(tmp_path).choose(IRELAND) == before
    assert [path.name for path in tmp_path.iterdir()] == [f"{IRELAND}.json"]


def test_a_list_that_never_ends_is_cut_off(tmp_path: Path) -> None:
    """At a bound, not when the disk is full."""
    with (
        price_server({IRELAND: offer("EU-")}) as url,
        pytest.raises(EndpointAnswerError, match="larger than 1,000 bytes"),
    ):
        _table(tmp_path, url, most_bytes=1_000).refresh(IRELAND)


class _Racing(FakeClock):
    """A minute passes between two looks."""

    def monotonic(self) -> float:
        """A minute later than before."""
        self.advance(60)
        return super().monotonic()


def test_a_list_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    """However steadily it drips."""
    with (
        price_server({IRELAND: offer("EU-")}) as url,
        pytest.raises(EndpointUnreachableError, match="not there after 30 seconds"),
    ):
        _table(tmp_path, url, total_s=30.0, clock=_Racing()).refresh(IRELAND)


def test_a_region_without_a_list_is_told(tmp_path: Path) -> None:
    """AWS answers 404 where there is no such region."""
    with price_server({}) as url, pytest.raises(EndpointAnswerError, match="404 for zz-east-9"):
        _table(tmp_path, url).refresh("zz-east-9")


def test_an_unreachable_list_is_one_sentence(tmp_path: Path) -> None:
    """Exit 4; no address of an object, and what to do."""
    with pytest.raises(EndpointUnreachableError) as raised:
        _table(tmp_path).refresh(IRELAND)
    assert raised.value.exit_code == 4
    assert "0x" not in raised.value.what
    assert "host=" not in raised.value.what
    assert raised.value.what.endswith(".")


@pytest.mark.parametrize("region", ["../../etc/passwd", "", "EU", "eu-west-1/x", "http://x"])
def test_what_is_no_region_fetches_nothing(tmp_path: Path, region: str) -> None:
    """It becomes part of an address and of a file's name."""
    with pytest.raises(UsageError, match="no AWS region"):
        _table(tmp_path).refresh(region)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "saved",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        orjson.dumps(US_EAST_1.to_json() | {"region": ""}),
        orjson.dumps(US_EAST_1.to_json() | {"alarm_month": -1}),
        orjson.dumps(US_EAST_1.to_json() | {"alarm_month": True}),
        orjson.dumps(US_EAST_1.to_json() | {"alarm_month": "free"}),
        orjson.dumps(US_EAST_1.to_json() | {"as_of": "long ago"}),
        orjson.dumps(US_EAST_1.to_json() | {"extra": 1}),
    ],
)
def test_damaged_saved_prices_are_refused(tmp_path: Path, saved: bytes) -> None:
    """With the way out, which works."""
    (tmp_path / f"{IRELAND}.json").write_bytes(saved)
    with pytest.raises(UsageError) as raised:
        _table(tmp_path).choose(IRELAND)
    assert "ialctl cost --refresh" in (raised.value.cure or "")
    with price_server({IRELAND: offer("EU-")}) as url:
        _table(tmp_path, url).refresh(IRELAND)
    assert _table(tmp_path).choose(IRELAND).prices.region == IRELAND


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    """A file stands where the folder should."""
    (tmp_path / "prices").write_text("")
    with (
        price_server({IRELAND: offer("EU-")}) as url,
        pytest.raises(StorageError, match="can't be kept"),
    ):
        _table(tmp_path / "prices", url).refresh(IRELAND)


def test_prices_survive_json() -> None:
    """What is written is what is read."""
    assert Prices.from_json(orjson.loads(orjson.dumps(US_EAST_1.to_json()))) == US_EAST_1
