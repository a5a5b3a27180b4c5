"""What a layout costs a month: a profile's units, times how often, times a price. Pure.

The formula and its sources stand in `docs/cost.md`, with examples worked by hand. Each part here
is a few lines of the bill; nothing is rounded before it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.cost.bill import Bill, Line
from core.cost.prices import GIB, Prices
from core.cost.profile import Profile
from core.cost.usage import HOURS_A_MONTH, Terms, Usage

MILLION = 1_000_000
_SECONDS_A_MONTH = HOURS_A_MONTH * 3600
FREE_GIB, FREE_ALARMS, FREE_DASHBOARDS = 25.0, 10, 3
# Tables and indexes that a layout's messages go through: each is provisioned with a unit at least.
_PLACES = {"legacy": 1, "optimized": 5}


@dataclass(frozen=True)
class Rates:
    """Dollars for a million units and for a GiB a month, on some terms."""

    read: float
    write: float
    storage: float
    how: str


@dataclass(frozen=True)
class Case:
    """One layout, used and paid for in one way."""

    profile: Profile
    usage: Usage
    prices: Prices
    terms: Terms

    @property
    def rates(self) -> Rates:
        """What units and storage cost."""
        return rates(self.prices, self.terms)

    @property
    def watched(self) -> bool:
        """Whether alarms and dashboard are deployed for it."""
        return self.profile.layout == "optimized"

    def gib(self, bytes_per_message: float) -> float:
        """GiB that stand, at so many bytes a message."""
        return self.usage.standing * bytes_per_message / GIB


def monthly(profile: Profile, usage: Usage, prices: Prices, terms: Terms) -> Bill:
    """What `profile`'s layout costs a month."""
    case = Case(profile, usage, prices, terms)
    parts = (_read, _write, _least, _storage, _indexes, _backups, _streams)
    lines = [line for part in parts for line in part(case)]
    lines += [*_alarms(case), *_key(case), *_embeddings(case), *_free(case)]
    return Bill(profile.layout, tuple(lines))


def rates(prices: Prices, terms: Terms) -> Rates:
    """What units and storage cost on these terms.

    A provisioned unit serves a request unit each second at most; what is provisioned is the mean
    times the peak over the utilisation, all month.
    """
    if terms.billing == "standard-ia":
        return Rates(
            prices.ia_million_read_units,
            prices.ia_million_write_units,
            prices.ia_storage_gib_month,
            "Standard-IA, on demand",
        )
    if terms.billing == "provisioned":
        hours = MILLION / 3600 * terms.peak_to_mean / terms.utilisation
        return Rates(
            prices.read_capacity_hour * hours,
            prices.write_capacity_hour * hours,
            prices.storage_gib_month,
            f"provisioned for {terms.peak_to_mean:g} times the mean "
            f"at {terms.utilisation:.0%} utilisation",
        )
    return Rates(
        prices.million_read_units, prices.million_write_units, prices.storage_gib_month, "on demand"
    )


def _reads(case: Case, component: str, what: str, units: float, why: str) -> Line:
    price = case.rates.read
    return Line(component, what, units / MILLION, "million read units", price, why)


def _writes(case: Case, component: str, what: str, units: float, why: str) -> Line:
    price = case.rates.write
    return Line(component, what, units / MILLION, "million write units", price, why)


def _stored(case: Case, component: str, what: str, size: float, why: str) -> Line:
    price = case.rates.storage
    return Line(component, what, case.gib(size), "GiB-month", price, why)


def _read(case: Case) -> tuple[Line, ...]:
    profile, usage = case.profile, case.usage
    context = profile.context_units(usage.history, usage.cold_share)
    amounts = (
        ("appends", usage.messages, profile.append_rru),
        ("contexts", usage.contexts, context),
        ("searches", usage.searches, profile.search_rru),
        ("newest messages", usage.recents, profile.recent_rru),
    )
    return tuple(
        _reads(case, "read", what, count * units, f"{count:,.0f} {what} of {units:.3g} units")
        for what, count, units in amounts
    )


def _write(case: Case) -> tuple[Line, ...]:
    count, units = case.usage.messages, case.profile.append_wru
    why = f"{count:,.0f} messages of {units:.3g} units, indexes of the history included"
    return (_writes(case, "write", "messages", count * units, why),)


def _least(case: Case) -> tuple[Line, ...]:
    """What is provisioned beyond what is used, where that is less than a unit a table."""
    if case.terms.billing != "provisioned":
        return ()
    usage, profile, prices = case.usage, case.profile, case.prices
    reads = sum(line.amount for line in (*_read(case), *_indexes(case)[:1])) * MILLION
    writes = usage.messages * (profile.append_wru + profile.index_wru)
    headroom = case.terms.peak_to_mean / case.terms.utilisation / _SECONDS_A_MONTH
    why = f"{_PLACES[profile.layout]} tables and indexes of one unit each at least"
    found = (
        ("read", reads, prices.read_capacity_hour),
        ("write", writes, prices.write_capacity_hour),
    )
    return tuple(
        Line(kind, "least capacity", missing * HOURS_A_MONTH, "unit-hours", price, why)
        for kind, units, price in found
        if (missing := _PLACES[profile.layout] - units * headroom) > 0
    )


def _storage(case: Case) -> tuple[Line, ...]:
    size = case.profile.stored_bytes
    why = f"{case.usage.standing:,.0f} messages of {size:,.0f} bytes"
    return (_stored(case, "storage", "messages", size, why),)


def _indexes(case: Case) -> tuple[Line, ...]:
    profile, count = case.profile, case.usage.messages
    standing = case.usage.standing
    return (
        _reads(
            case,
            "indexes",
            "index work, reads",
            count * profile.index_rru,
            f"{count:,.0f} messages of {profile.index_rru:.3g} units",
        ),
        _writes(
            case,
            "indexes",
            "index work, writes",
            count * profile.index_wru,
            f"{count:,.0f} messages of {profile.index_wru:.3g} units",
        ),
        _stored(
            case,
            "indexes",
            "secondary indexes",
            profile.gsi_bytes,
            f"{standing:,.0f} messages of {profile.gsi_bytes:,.0f} bytes",
        ),
        _stored(
            case,
            "indexes",
            "vectors and search index",
            profile.vector_bytes,
            f"{standing:,.0f} messages of {profile.vector_bytes:,.0f} bytes",
        ),
    )


def _backups(case: Case) -> tuple[Line, ...]:
    """Of tables alone: no backup is billed for secondary indexes."""
    terms, prices = case.terms, case.prices
    size = case.gib(case.profile.stored_bytes + case.profile.vector_bytes)
    lines = []
    if terms.pitr:
        why = "tables without their indexes; the templates switch it on"
        price = prices.pitr_gib_month
        lines.append(Line("backups", "point-in-time recovery", size, "GiB-month", price, why))
    if terms.exports_per_month:
        made, kept = terms.exports_per_month * size, terms.exports_kept * size
        lines += [
            Line(
                "backups",
                "exports",
                made,
                "GiB",
                prices.export_gib,
                f"{terms.exports_per_month:g} a month, each of all tables",
            ),
            Line(
                "backups",
                "exports in S3",
                kept,
                "GiB-month",
                prices.s3_gib_month,
                f"{terms.exports_kept:g} are kept; taken as large as the tables",
            ),
        ]
    return tuple(lines)


def _streams(case: Case) -> tuple[Line, ...]:
    why = "nothing reads the streams but a migration or an incremental backup, while it runs"
    return (Line("streams", "reads of streams", 0.0, "requests", case.prices.stream_read, why),)


def _alarms(case: Case) -> tuple[Line, ...]:
    if not case.watched:
        return ()
    prices, terms = case.prices, case.terms
    why = "deployed for the optimized tables: phases/60-observability"
    return (
        Line("alarms", "alarms", terms.alarms, "alarms", prices.alarm_month, why),
        Line("alarms", "dashboard", terms.dashboards, "dashboards", prices.dashboard_month, why),
    )


def _key(case: Case) -> tuple[Line, ...]:
    why = "the templates encrypt with a key of the project's own"
    return (Line("key", "key", 1.0, "keys", case.prices.key_month, why),)


def _embeddings(case: Case) -> tuple[Line, ...]:
    if case.terms.embedder == "hashing":
        why = "hashing is computed where the engine runs"
        return (Line("embeddings", "texts", 0.0, "million tokens", 0.0, why),)
    profile, usage = case.profile, case.usage
    # Nobody embeds anew more messages than there are, and the question.
    asked = min(profile.embeddings_per_context, usage.history + 1)
    made = (
        ("messages", usage.messages, profile.embeddings_per_message),
        ("contexts", usage.contexts, asked),
        ("searches", usage.searches, asked),
    )
    tokens, price = profile.tokens_per_message, case.prices.titan_million_tokens
    return tuple(
        Line(
            "embeddings",
            what,
            count * each * tokens / MILLION,
            "million tokens",
            price,
            f"{count:,.0f} {what}, {each:.4g} texts each, {tokens:.4g} tokens a text",
        )
        for what, count, each in made
    )


def _free(case: Case) -> tuple[Line, ...]:
    """What an account's free tier takes off, where nothing else in the account uses it up."""
    if not case.terms.free_tier:
        return ()
    standard = case.terms.billing != "standard-ia"
    size = case.gib(case.profile.bytes_per_message) if standard else 0.0
    alarms = min(case.terms.alarms, FREE_ALARMS) if case.watched else 0
    boards = min(case.terms.dashboards, FREE_DASHBOARDS) if case.watched else 0
    prices, why = case.prices, "an account's, if nothing else uses it up"
    return (
        Line(
            "free tier", "storage", -min(size, FREE_GIB), "GiB-month", prices.storage_gib_month, why
        ),
        Line("free tier", "alarms", -float(alarms), "alarms", prices.alarm_month, why),
        Line("free tier", "dashboard", -float(boards), "dashboards", prices.dashboard_month, why),
    )
