"""What would cost less, and by how much: each saving is the difference of two bills. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.cost.bill import Bill
from core.cost.model import FREE_GIB, Case, monthly
from core.cost.profile import Profile
from core.cost.usage import BILLINGS
from core.cost.vector_index import compare

_SHORTEST_DAYS = 2
CLAIMED_SAVING = 0.61
"""The share of the cost that the optimized layout was once claimed to save."""


@dataclass(frozen=True)
class Advice:
    """One thing to change: dollars a month it saves (below 0: it costs more), and what it means."""

    name: str
    what: str
    saving: float
    means: str

    def plain(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return dataclasses.asdict(self) | {"saving": round(self.saving, 6)}


@dataclass(frozen=True)
class Claim:
    """A claim held against what came out: shares of the cost saved, 0.61 for 61%."""

    claimed: float
    modelled: float

    @property
    def holds(self) -> bool:
        """Whether at least as much is saved as was claimed."""
        return self.modelled >= self.claimed

    def plain(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {"claimed": self.claimed, "modelled": round(self.modelled, 6), "holds": self.holds}


def claim(legacy: Bill, optimized: Bill) -> Claim:
    """The claim of 61%, held against two bills."""
    share = 1 - optimized.total / legacy.total if legacy.total else 0.0
    return Claim(CLAIMED_SAVING, share)


def advise(case: Case, legacy: Profile) -> tuple[Advice, ...]:
    """What to change about `case`, the optimized layout; what saves most comes first."""
    makers: tuple[Callable[[Case], tuple[Advice, ...]], ...] = (
        _billing,
        _shorter,
        _embedder,
        _recovery,
        _alarms,
        _vector_index,
        _free_tier,
    )
    found = [advice for make in makers for advice in make(case)]
    found.append(_migrate(case, legacy))
    return tuple(sorted(found, key=lambda a: -a.saving))


def _bill(case: Case) -> Bill:
    return monthly(case.profile, case.usage, case.prices, case.terms)


def _saving(case: Case, **terms: Any) -> float:
    changed = dataclasses.replace(case, terms=dataclasses.replace(case.terms, **terms))
    return _bill(case).total - _bill(changed).total


def _migrate(case: Case, legacy: Profile) -> Advice:
    standing = monthly(legacy, case.usage, case.prices, case.terms).total
    return Advice(
        "migrate",
        "Leave the legacy layout (`ialctl migrate`)",
        standing - _bill(case).total,
        "contexts out of the whole history, not of the last 100 messages",
    )


def _billing(case: Case) -> tuple[Advice, ...]:
    terms = case.terms
    means = {
        "on-demand": "no capacity to plan; nothing is throttled for a peak",
        "provisioned": f"throttles above {terms.peak_to_mean:g} times the mean; "
        f"pays where the peak is below {_break_even(case):.3g} times",
        "standard-ia": "pays where storage is over about 0.4 of reads and writes; "
        "the class can be changed twice in 30 days",
    }
    return tuple(
        Advice(billing, f"Pay {_words(billing)}", _saving(case, billing=billing), means[billing])
        for billing in BILLINGS
        if billing != terms.billing
    )


def _break_even(case: Case) -> float:
    """The ratio of peak to mean at which provisioned writes cost what they cost on demand."""
    an_hour = case.prices.million_write_units * 3600 / 1_000_000
    return an_hour * case.terms.utilisation / case.prices.write_capacity_hour


def _words(billing: str) -> str:
    return {"on-demand": "on demand", "provisioned": "for provisioned capacity"}.get(
        billing, "for Standard-IA tables"
    )


def _shorter(case: Case) -> tuple[Advice, ...]:
    days = case.usage.history_days
    if days < _SHORTEST_DAYS:
        return ()
    usage = dataclasses.replace(case.usage, history_days=days / 2)
    shorter = dataclasses.replace(case, usage=usage)
    archived = shorter.gib(case.profile.stored_bytes) * case.prices.s3_gib_month
    return (
        Advice(
            "history",
            f"Keep {days / 2:g} days in the tables, the {days / 2:g} before in the archive "
            "(`ialctl archive`)",
            _bill(case).total - _bill(shorter).total - archived,
            "contexts no longer find what is archived; `ialctl import` brings it back",
        ),
    )


def _embedder(case: Case) -> tuple[Advice, ...]:
    other = "hashing" if case.terms.embedder == "titan" else "titan"
    what = {"hashing": "Embed by hashing", "titan": "Embed by Titan V2"}[other]
    means = {
        "hashing": "finds by words and their parts, not by meaning",
        "titan": "finds by meaning too",
    }[other]
    return (Advice("embedder", what, _saving(case, embedder=other), means),)


def _recovery(case: Case) -> tuple[Advice, ...]:
    if not case.terms.pitr:
        return ()
    means = "no way back to a second of the last 35 days, and no exports by AWS"
    return (Advice("recovery", "Give up point-in-time recovery", _saving(case, pitr=False), means),)


def _alarms(case: Case) -> tuple[Advice, ...]:
    if not (case.terms.alarms or case.terms.dashboards):
        return ()
    saving = _saving(case, alarms=0, dashboards=0)
    means = "nobody is told of throttles and errors; the account's free tier may cover them"
    return (Advice("alarms", "Do without alarms and dashboard", saving, means),)


def _vector_index(case: Case) -> tuple[Advice, ...]:
    if case.terms.billing == "provisioned":
        return ()  # vector indexes stand on tables on demand only
    means = "for searches by vector alone; segments stay, for the words"
    saving = compare(case).saving
    return (Advice("vector-index", "Search by the table's own vector index", saving, means),)


def _free_tier(case: Case) -> tuple[Advice, ...]:
    if case.terms.free_tier:
        return ()
    means = f"{FREE_GIB:g} GB, 10 alarms, 3 dashboards, where nothing else uses them up"
    saving = _saving(case, free_tier=True)
    return (Advice("free-tier", "Count the account's free tier (--free-tier)", saving, means),)
