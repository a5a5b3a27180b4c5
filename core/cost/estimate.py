"""All that `ialctl cost` answers, in one value: bills, the claim, terms compared, advice."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.cost.advice import Advice, Claim, advise, claim
from core.cost.bill import Bill
from core.cost.consumption import PlaceUse
from core.cost.model import Case, monthly
from core.cost.price_table import ChosenPrices
from core.cost.profile import LAYOUTS
from core.cost.sources import Profiles
from core.cost.standing import also_standing, derived_usage, layout_of, standing_bill
from core.cost.usage import BILLINGS, EMBEDDERS, Terms, Usage
from core.cost.vector_index import VectorIndexCost, compare


@dataclass(frozen=True)
class Scenario:
    """The same use with another embedder or other legacy items, dollars a month."""

    embedder: str
    legacy_items: str
    legacy: float
    optimized: float

    @property
    def share(self) -> float:
        """The share of the legacy layout's cost that is saved; below 0 it costs more."""
        return 1 - self.optimized / self.legacy if self.legacy else 0.0

    def plain(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return dataclasses.asdict(self) | {"saved": round(self.share, 6)}


@dataclass(frozen=True)
class Estimate:
    """What both layouts cost a month; `measured` names the layout whose bill is measured.

    `also_standing` is what the other layout's tables cost a month by the same measure, where they
    stand too; it is in neither bill.
    """

    usage: Usage
    terms: Terms
    prices: ChosenPrices
    profiles: Profiles
    legacy: Bill
    optimized: Bill
    by_terms: Mapping[str, Mapping[str, float]]
    scenarios: tuple[Scenario, ...]
    vector_index: VectorIndexCost
    advice: tuple[Advice, ...]
    measured: str | None = None
    also_standing: float = 0.0

    @property
    def claim(self) -> Claim:
        """The claimed saving, held against these bills."""
        return claim(self.legacy, self.optimized)

    def plain(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        kinds = dict.fromkeys(LAYOUTS, "modelled")
        if self.measured:
            kinds[self.measured] = "measured"
        return {
            "month_hours": 730,
            "usage": dataclasses.asdict(self.usage),
            "terms": dataclasses.asdict(self.terms),
            "prices": self.prices.prices.to_json()
            | {"source": self.prices.source, "age_days": self.prices.age_days},
            "profiles": {
                "source": self.profiles.source,
                **{layout: self.profiles.of(layout).to_json() for layout in LAYOUTS},
            },
            "labels": kinds,
            "legacy": self.legacy.plain(),
            "optimized": self.optimized.plain(),
            "also_standing": round(self.also_standing, 6),
            "saved": round(self.legacy.total - self.optimized.total, 6),
            "claim": self.claim.plain(),
            "by_terms": self.by_terms,
            "scenarios": [scenario.plain() for scenario in self.scenarios],
            "vector_index": self.vector_index.plain(),
            "advice": [advice.plain() for advice in self.advice],
        }


def estimate(usage: Usage, terms: Terms, prices: ChosenPrices, profiles: Profiles) -> Estimate:
    """Both bills, modelled."""
    table = prices.prices
    legacy, optimized = (monthly(profiles.of(layout), usage, table, terms) for layout in LAYOUTS)
    case = Case(profiles.optimized, usage, table, terms)
    return Estimate(
        usage=usage,
        terms=terms,
        prices=prices,
        profiles=profiles,
        legacy=legacy,
        optimized=optimized,
        by_terms={
            billing: _totals(usage, terms, prices, profiles, billing) for billing in BILLINGS
        },
        scenarios=tuple(_scenarios(usage, terms, prices, profiles)),
        vector_index=compare(case),
        advice=advise(case, profiles.legacy),
    )


def estimate_standing(
    uses: Sequence[PlaceUse],
    given: Usage,
    terms: Terms,
    prices: ChosenPrices,
    profiles: Profiles,
) -> Estimate:
    """The bill of what stands, measured, beside the other layout's, modelled for the same use.

    Raises:
        UsageError: no table stands, or nothing was written.
    """
    layout = layout_of(uses)
    profile = profiles.of(layout)
    usage = derived_usage(profile, uses, given)
    modelled = estimate(usage, terms, prices, profiles)
    bill = standing_bill(profile, uses, usage, prices.prices, terms)
    other = also_standing(layout, uses, prices.prices)
    found = dataclasses.replace(modelled, measured=layout, also_standing=other)
    if layout == "legacy":
        return dataclasses.replace(found, legacy=bill)
    return dataclasses.replace(found, optimized=bill)


def _totals(
    usage: Usage, terms: Terms, prices: ChosenPrices, profiles: Profiles, billing: str
) -> dict[str, float]:
    changed = dataclasses.replace(terms, billing=billing)
    return {
        layout: round(monthly(profiles.of(layout), usage, prices.prices, changed).total, 6)
        for layout in LAYOUTS
    }


def _scenarios(
    usage: Usage, terms: Terms, prices: ChosenPrices, profiles: Profiles
) -> Iterator[Scenario]:
    """Each embedder with each kind of legacy items that there is a profile of."""
    kinds = {profiles.legacy_items: profiles.legacy, **profiles.other_legacies}
    for embedder in EMBEDDERS:
        changed = dataclasses.replace(terms, embedder=embedder)
        table = prices.prices
        optimized = monthly(profiles.optimized, usage, table, changed).total
        for items, profile in kinds.items():
            legacy = monthly(profile, usage, table, changed).total
            yield Scenario(embedder, items, round(legacy, 6), round(optimized, 6))
