"""The bill of what stands, out of what was measured; and the use that it tells of. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from core.cost.bill import Bill, Line
from core.cost.consumption import PlaceUse
from core.cost.model import MILLION, monthly
from core.cost.prices import GIB, Prices
from core.cost.profile import Profile
from core.cost.usage import DAYS_A_MONTH, HOURS_A_MONTH, Terms, Usage
from core.errors import UsageError

_MODELLED = ("streams", "alarms", "key", "embeddings")


def layout_of(uses: Sequence[PlaceUse]) -> str:
    """The layout that more was written to; of two equal ones the optimized.

    Raises:
        UsageError: none of the tables stands.
    """
    if not uses:
        raise UsageError(
            "None of the project's tables stands there, so nothing can be measured.",
            "Deploy with `ialctl start`, or model it with --modelled.",
        )
    written = dict.fromkeys(("optimized", "legacy"), 0.0)
    for use in uses:
        written[use.place.layout] += _a_month(use, use.write_units)
    return max(written, key=lambda layout: written[layout])


def standing_bill(
    profile: Profile, uses: Sequence[PlaceUse], usage: Usage, prices: Prices, terms: Terms
) -> Bill:
    """What the tables of `profile`'s layout cost a month, scaled up from what was measured.

    Alarms, key and embeddings are not in those figures: they are modelled for `usage`.
    """
    own = [use for use in uses if use.place.layout == profile.layout]
    modelled = monthly(profile, usage, prices, terms)
    rest = [line for line in modelled.lines if line.component in _MODELLED]
    return Bill(profile.layout, (*(line for use in own for line in _lines(use, prices)), *rest))


def also_standing(layout: str, uses: Sequence[PlaceUse], prices: Prices) -> float:
    """Dollars a month for the tables of the layouts other than `layout`, which stand as well."""
    others = [use for use in uses if use.place.layout != layout]
    return sum(line.dollars for use in others for line in _lines(use, prices))


def derived_usage(profile: Profile, uses: Sequence[PlaceUse], given: Usage) -> Usage:
    """The use that explains what was measured of `profile`'s layout.

    Writes give the messages, bytes give how long they are kept, and what reads are left after
    searches and reads of the newest ones, as `given`, are contexts. Users, searches and the share
    of cold contexts are taken from `given`.

    Raises:
        UsageError: nothing was written, so nothing can be told; or no users are given.
    """
    own = [use for use in uses if use.place.layout == profile.layout]
    writes = sum(_a_month(use, use.write_units) for use in own)
    each = profile.append_wru + profile.index_wru
    if not (writes and each and given.users):
        raise UsageError(
            "CloudWatch tells of no writes to the project's tables in that time.",
            "Look further back with --days, or model it with --modelled.",
        )
    a_day = writes / each / DAYS_A_MONTH / given.users
    standing = sum(use.stored_bytes for use in own) / profile.bytes_per_message
    usage = dataclasses.replace(
        given, messages_per_day=a_day, history_days=standing / given.users / a_day
    )
    reads = sum(_a_month(use, use.read_units) for use in own) - _other_reads(profile, usage)
    context = profile.context_units(usage.history, usage.cold_share)
    contexts = max(0.0, reads / context) if context else 0.0
    return dataclasses.replace(usage, contexts_per_message=contexts / usage.messages)


def _other_reads(profile: Profile, usage: Usage) -> float:
    return (
        usage.messages * (profile.append_rru + profile.index_rru)
        + usage.searches * profile.search_rru
        + usage.recents * profile.recent_rru
    )


def _a_month(use: PlaceUse, units: float) -> float:
    return units * HOURS_A_MONTH / use.hours


def _lines(use: PlaceUse, prices: Prices) -> list[Line]:
    name = use.place.table + (f"/{use.index}" if use.index else "")
    write = "indexes" if use.place.searched else "write"
    store = "indexes" if use.place.searched or use.index else "storage"
    storage = prices.ia_storage_gib_month if use.infrequent else prices.storage_gib_month
    size = use.stored_bytes / GIB
    lines = [
        *_throughput(use, prices, name, write),
        Line(store, name, size, "GiB-month", storage, "DescribeTable, and 100 bytes an item"),
    ]
    if use.recovery:
        price = prices.pitr_gib_month
        lines.append(Line("backups", name, size, "GiB-month", price, "recovery is switched on"))
    return lines


def _throughput(use: PlaceUse, prices: Prices, name: str, write: str) -> tuple[Line, Line]:
    if use.read_capacity or use.write_capacity:
        why = "what is provisioned, all month"
        read_hours, write_hours = (
            capacity * HOURS_A_MONTH for capacity in (use.read_capacity, use.write_capacity)
        )
        return (
            Line("read", name, read_hours, "unit-hours", prices.read_capacity_hour, why),
            Line(write, name, write_hours, "unit-hours", prices.write_capacity_hour, why),
        )
    reads, writes = (_a_month(use, units) / MILLION for units in (use.read_units, use.write_units))
    read_price, write_price = (
        (prices.ia_million_read_units, prices.ia_million_write_units)
        if use.infrequent
        else (prices.million_read_units, prices.million_write_units)
    )
    why = f"CloudWatch, {use.hours:,.0f} hours, scaled to {HOURS_A_MONTH:,.0f}"
    return (
        Line("read", name, reads, "million read units", read_price, why),
        Line(write, name, writes, "million write units", write_price, why),
    )
