"""Which prices are used: those that were refreshed and saved, else the dated ones shipped."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import orjson

from core.clock import SYSTEM_CLOCK, Clock, iso
from core.cost.offers import PriceList
from core.cost.prices import US_EAST_1, Prices
from core.errors import StorageError, UsageError

OLD_DAYS = 180
_MOST_BYTES = 64 * 1024
_CURE = "Read it anew: `ialctl cost --refresh`, or delete the file."


@dataclass(frozen=True)
class ChosenPrices:
    """Prices, where they came from in words, and how many days old they are."""

    prices: Prices
    source: str
    age_days: int

    @property
    def note(self) -> str | None:
        """What should be known of them, where they are old."""
        if self.age_days <= OLD_DAYS:
            return None
        return f"The prices are {self.age_days} days old: `ialctl cost --refresh` reads AWS's list."


class PriceTable:
    """Saved prices by region, in a folder; safe to be refreshed by several processes at once."""

    def __init__(
        self, folder: Path, clock: Clock = SYSTEM_CLOCK, price_list: PriceList | None = None
    ) -> None:
        """Over `folder`, which need not exist; nothing is fetched but by `refresh`."""
        self._folder = folder
        self._clock = clock
        self._list = price_list or PriceList()

    def choose(self, region: str) -> ChosenPrices:
        """The saved prices of a region, or those shipped.

        Raises:
            UsageError: what is saved is damaged.
            StorageError: it can't be read.
        """
        saved = self._saved(region)
        if saved is not None:
            return self._chosen(saved, "AWS's price list")
        elsewhere = f"; those of {region} come with --refresh" if region != "us-east-1" else ""
        return self._chosen(US_EAST_1, f"shipped{elsewhere}")

    def refresh(self, region: str) -> ChosenPrices:
        """Fetches AWS's price list of a region and saves what it says; raises as `PriceList`."""
        prices = self._list.fetch(region, self._folder)
        scratch = self._folder / f".{region}.{os.getpid()}.part"
        whole = orjson.dumps(prices.to_json(), option=orjson.OPT_INDENT_2)
        try:
            scratch.write_bytes(whole)
            scratch.replace(self._path(region))
        except OSError as error:
            raise self._unusable(self._path(region), error) from error
        return self._chosen(prices, "AWS's price list")

    def _saved(self, region: str) -> Prices | None:
        path = self._path(region)
        try:
            with path.open("rb") as file:
                raw = file.read(_MOST_BYTES)
            prices = Prices.from_json(orjson.loads(raw))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(path, error) from error
        except (orjson.JSONDecodeError, UsageError) as error:
            raise UsageError(f"The saved prices '{path}' are damaged: {error}", _CURE) from error
        return prices

    def _path(self, region: str) -> Path:
        return self._folder / f"{re.sub(r'[^a-z0-9-]', '_', region)}.json"

    def _chosen(self, prices: Prices, source: str) -> ChosenPrices:
        day = prices.as_of if len(prices.as_of) > len("2026-09") else f"{prices.as_of}-01"
        try:
            then = date.fromisoformat(day)
        except ValueError as error:
            what = f"The saved prices are as of '{prices.as_of}', which is no date."
            raise UsageError(what, _CURE) from error
        today = date.fromisoformat(iso(self._clock.time())[:10])
        return ChosenPrices(prices, source, max(0, (today - then).days))

    def _unusable(self, path: Path, error: OSError) -> StorageError:
        return StorageError(
            f"The saved prices '{path}' can't be read or written: {error}.",
            "Make the folder writable, or name another with --state-dir.",
            path=path,
        )
