"""What `ialctl cost` shows: a table of at most 80 columns, the claim, and advice."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from core.cost.advice import Advice
from core.cost.bill import Bill, named
from core.cost.consumption import MOST_DAYS, Place
from core.cost.estimate import Estimate, estimate, estimate_standing
from core.cost.offers import PriceList
from core.cost.price_table import ChosenPrices, PriceTable
from core.cost.sources import choose_profiles
from core.cost.usage import BILLINGS, EMBEDDERS, Terms, Usage
from core.cost.vector_index import DIMENSIONS
from core.errors import UsageError

if TYPE_CHECKING:
    from core.cost.consumption import PlaceUse
    from core.settings import Settings
    from ialctl.context import AppContext

WIDTH = 80
_HUGE = 1e7
_NAME, _SUM = 38, 14
_TERMS = {
    "on-demand": "on demand",
    "provisioned": "provisioned",
    "standard-ia": "Standard-IA",
}


@dataclass(frozen=True)
class Question:
    """What the command line asks."""

    usage: Usage
    terms: Terms
    from_file: Path | None
    legacy_vectors: str | None
    refresh: bool
    measured: bool | None
    days: int

    def answer(self, context: AppContext, price_list: PriceList | None = None) -> Estimate:
        """Both bills; measured where that is asked for, or the target is AWS itself.

        `price_list` is fetched from in place of AWS's own.

        Raises:
            UsageError: a file, a price or a figure can't be used, or nothing can be measured.
            TargetError: price list or services can't be reached.
        """
        folder = context.settings.project_state_dir / "benchmarks"
        profiles = choose_profiles(self.from_file, folder, legacy_vectors=self.legacy_vectors)
        prices = self._prices(context, price_list)
        measured = self.measured
        if measured is None:
            measured = context.settings.target == "aws"
        if not measured:
            return estimate(self.usage, self.terms, prices, profiles)
        uses = measured_uses(context, self.days)
        return estimate_standing(uses, self.usage, self.terms, prices, profiles)

    def _prices(self, context: AppContext, price_list: PriceList | None) -> ChosenPrices:
        region = _region(context)
        folder = context.settings.state_dir / "prices"
        table = PriceTable(folder, context.clock, price_list)
        return table.refresh(region) if self.refresh else table.choose(region)


def show(context: AppContext, found: Estimate, *, lines: bool) -> None:
    """Hands the answer to the output."""
    from ialctl.output import plain

    for note in (*found.profiles.notes, found.prices.note):
        if note:
            context.output.note(note)
    context.output.result("cost", found.plain(), lambda: plain(table(found, lines=lines)))


def chosen_embedder(named_one: str | None, settings: Settings) -> str:
    """What is billed for embeddings: Bedrock's by the token, others where they run."""
    if named_one is not None:
        return named_one
    return EMBEDDERS[1] if settings.embedder == "bedrock" else EMBEDDERS[0]


def measured_uses(context: AppContext, days: int) -> tuple[PlaceUse, ...]:
    """What CloudWatch tells of the project's tables.

    Raises:
        UsageError: more days than CloudWatch answers for by the hour.
    """
    from core.cost.consumption import measure

    if not 1 <= days <= MOST_DAYS:
        raise UsageError(f"--days is {days}.", f"Name 1 to {MOST_DAYS}.")
    session = context.session
    clients = session.client("dynamodb"), session.client("cloudwatch")
    return measure(*clients, _places(context.settings.project), days, context.clock.time())


def table(found: Estimate, *, lines: bool) -> str:
    """All of it, for people."""
    blocks = [
        _head(found),
        _bills(found),
        _verdict(found),
        _scenarios(found),
        _by_terms(found),
        _vectors(found),
        _advice(found),
    ]
    if lines:
        blocks[2:2] = [_lines(found.legacy), _lines(found.optimized)]
    return "\n\n".join(blocks)


def _region(context: AppContext) -> str:
    if context.settings.region or context.settings.target == "local":
        return context.settings.region or "us-east-1"
    return context.session.region


def _places(project: str) -> tuple[Place, ...]:
    from core.memory.schema import (
        embeddings_schema,
        history_schema,
        legacy_cache_schema,
        legacy_schemas,
    )

    legacy = (*legacy_schemas(project), legacy_cache_schema(project))
    return (
        Place(history_schema(project).name, "optimized"),
        Place(embeddings_schema(project).name, "optimized", searched=True),
        *(Place(schema.name, "legacy") for schema in legacy),
    )


def _head(found: Estimate) -> str:
    usage, terms, prices = found.usage, found.terms, found.prices
    told = (
        f"Dollars a month (730 hours), {prices.prices.region}, {_TERMS[terms.billing]}, "
        f"{terms.embedder} embedder",
        f"{usage.users:,.6g} users, {usage.messages_per_day:.3g} messages a day each, kept "
        f"{usage.history_days:.4g} days; {usage.contexts_per_message:.3g} contexts a message",
        f"Prices: {prices.source}, as of {prices.prices.as_of}",
        f"Units: {found.profiles.source}",
    )
    return "\n".join(_wrapped(part) for part in told)


def _wrapped(text: str, indent: str = "  ") -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _row(name: str, *cells: str) -> str:
    return f"{name:<{_NAME}}" + "".join(f"{cell:>{_SUM}}" for cell in cells)


def _money(dollars: float) -> str:
    """Cents, half a cent rounded up, as by hand; beyond all measure only the size of it."""
    if abs(dollars) >= _HUGE:
        return f"{dollars:.3g}"
    exact = Decimal(repr(round(dollars, 9)))
    cents = exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
    return f"{abs(cents) if cents == 0 else cents:,}"


def _bills(found: Estimate) -> str:
    legacy, optimized = found.legacy, found.optimized
    labels = ["modelled", "modelled", ""]
    if found.measured:
        labels[found.measured == "optimized"] = "measured"
    rows = [_row("COMPONENT", "LEGACY", "OPTIMIZED", "SAVED"), _row("", *labels).rstrip()]
    components = named((*legacy.components, *optimized.components))
    rows += [_sums(name, legacy.of(name), optimized.of(name)) for name in components]
    rows.append(_sums("total", legacy.total, optimized.total))
    return "\n".join(rows)


def _sums(name: str, legacy: float, optimized: float) -> str:
    return _row(name, *map(_money, (legacy, optimized, legacy - optimized)))


def _lines(bill: Bill) -> str:
    return "\n".join([bill.layout.upper(), *_told(bill)])


def _told(bill: Bill) -> Iterator[str]:
    for line in bill.lines:
        sums = f"{line.amount:,.4f} {line.unit} × {line.unit_price:.6g}"
        yield f"{_money(line.dollars):>12}  {line.component}: {line.what}"
        yield textwrap.fill(
            f"{sums} ({line.why})",
            WIDTH,
            initial_indent=" " * 14,
            subsequent_indent=" " * 14,
            break_on_hyphens=False,
        )


def _verdict(found: Estimate) -> str:
    claim = found.claim
    holds = "holds" if claim.holds else "does not hold"
    how = f"{found.measured} measured, the other modelled" if found.measured else "modelled"
    came = f"{claim.modelled:.0%} lower" if claim.modelled >= 0 else f"{-claim.modelled:.0%} higher"
    told = [f"61% lower cost (claimed): {holds}; it is {came} ({how})."]
    if found.also_standing:
        told.append(
            f"The other layout's tables stand too, at {_money(found.also_standing)} a month "
            "(measured), in neither sum."
        )
    return "\n".join(map(_wrapped, told))


def _scenarios(found: Estimate) -> str:
    rows = [_row("THE SAME USE (modelled)", "LEGACY", "OPTIMIZED", "SAVED")]
    for case in found.scenarios:
        sums = (_money(case.legacy), _money(case.optimized), f"{case.share:.0%}")
        rows.append(_row(f"{case.embedder} · {case.legacy_items}", *sums))
    return "\n".join(rows)


def _by_terms(found: Estimate) -> str:
    rows = [_row("TERMS (modelled)", "LEGACY", "OPTIMIZED")]
    for billing in BILLINGS:
        sums = found.by_terms[billing]
        rows.append(_row(_TERMS[billing], _money(sums["legacy"]), _money(sums["optimized"])))
    cheapest = min(BILLINGS, key=lambda billing: found.by_terms[billing]["optimized"])
    rows.append(f"Cheapest for the optimized layout: {_TERMS[cheapest]}.")
    return "\n".join(rows)


def _vectors(found: Estimate) -> str:
    index = found.vector_index
    rows = [
        _row("SEARCH BY VECTOR ALONE (modelled)", "SEARCHES", "WRITES", "STORAGE"),
        _row(
            "packed segments (in the sums above)", _money(index.segment_searches), "", ""
        ).rstrip(),
        _row(
            f"vector index, {DIMENSIONS} dimensions, beside",
            *map(_money, (index.native_searches, index.native_writes, index.native_storage)),
        ),
    ]
    return "\n".join(rows)


def _advice(found: Estimate) -> str:
    return "\n".join(["What else it could be (modelled):", *map(_counsel, found.advice)])


def _counsel(advice: Advice) -> str:
    verb = "saves" if advice.saving >= 0 else "costs"
    text = f"{verb} {_money(abs(advice.saving)):>10}  {advice.what}: {advice.means}."
    return textwrap.fill(
        text, WIDTH, subsequent_indent=" " * 18, break_on_hyphens=False, drop_whitespace=True
    )
