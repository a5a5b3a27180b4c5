"""A migration's plan, made and shown."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from core.migration.surveying import SideBySide
from ialctl.context import AppContext
from ialctl.migrating import Given, make_options
from ialctl.output import Column, plain, printable, table
from ialctl.words import counted, duration_words, size_words

if TYPE_CHECKING:
    from rich.console import Group

    from core.migration.planning import Plan

_SIDES = (
    Column("ATTRIBUTE", "name"),
    Column("LEGACY ITEM", "legacy"),
    Column("OPTIMIZED HEAD", "head"),
)
_NAMES = 8
_CELL_CHARS = 26
_NAME_CHARS = 20


def made_plan(context: AppContext, given: Given, sample: int | None) -> Plan:
    """The plan of `sample` items; None: of all.

    Raises:
        NotFoundError: there is no legacy table.
    """
    from core.migration.planning import plan
    from core.migration.wiring import Wiring
    from ialctl.interrupts import stop_wish

    options = make_options(context, given)
    with (
        stop_wish() as stop,
        Wiring(context.session, context.settings, context.clock, options, stop) as wiring,
    ):
        return plan(wiring, context.settings.project, sample, stop)


def show_plan(made: Plan) -> Group:
    """A plan for a person to read."""
    from rich.console import Group

    parts: list[Any] = [plain("\n".join((*_counted(made), *_unmapped(made))))]
    for number, sample in enumerate(made.samples, 1):
        parts += [plain(f"\nSample {number}, before and after:"), table(_side_rows(sample), _SIDES)]
    rest = (*_left_lines(made), "", *_cost_lines(made), "", *_ground_lines(made))
    return Group(*parts, plain("\n" + "\n".join(rest)))


def _counted(made: Plan) -> Iterator[str]:
    counts = made.counts
    about = "" if made.exact else f", estimated from {made.read:,} of them"
    yield f"{made.ground.table}: {_n(made, counts.items)} items{about}"
    yield f"  size          {size_words(round(counts.bytes * made.factor))}"
    yield f"  users         {made.users:,}{'' if made.exact else ' among those read'}"
    yield f"  to copy       {_n(made, counts.messages)} messages"
    rows = (
        ("expired", counts.expired, "left behind"),
        ("undated", counts.undated, "stand at 1970, marked `undated`"),
        ("no session", counts.without_session, "get the session 'unknown'"),
        ("same time", made.collisions, "and role as another: their keys get a suffix"),
        ("compressed", counts.compressed, "too large for one item as they are"),
        ("split", counts.split, "too large for one item even so: in parts"),
    )
    for name, count, why in rows:
        if count:
            yield f"  {name:<13} {_n(made, count)} {why}"
    yield from _vectors(made)
    if counts.unknown:
        named = [f"{name} ({n:,})" for name, n in counts.unknown.most_common(_NAMES)]
        more = len(counts.unknown) - _NAMES
        yield "  carried along attributes that the memory does not know:"
        for begin in range(0, len(named), 4):
            yield f"                {', '.join(named[begin : begin + 4])}"
        if more > 0:
            yield f"                and {more} more"


def _vectors(made: Plan) -> Iterator[str]:
    counts = made.counts
    for size, count in sorted(counts.vectors.items()):
        if size == made.dimensions:
            yield f"  vectors       {_n(made, count)} inline of {size} numbers, as many as"
            yield f"                '{made.model}' makes: taken for its own. Are they another"
            yield "                model's? Then: `--vectors remake`"
        else:
            yield f"  vectors       {_n(made, count)} inline of {size} numbers: kept, not used"
    if counts.without_vector:
        tokens = made.about(counts.tokens_without_vector)
        yield f"  no vector     {_n(made, counts.without_vector)}: '{made.model}' makes them, of"
        yield f"                about {tokens:,} tokens"


def _unmapped(made: Plan) -> Iterator[str]:
    if not made.unmapped:
        yield "  not mapped    none" + ("" if made.exact else " of those read")
        return
    noun = "item" if made.exact and made.counts.unmapped == 1 else "items"
    yield f"  not mapped    {_n(made, made.counts.unmapped)} {noun}, to go to a file:"
    for one in made.unmapped:
        yield from wrap(
            f"{one.count:,}: {one.reason}", 76, initial_indent="    ", subsequent_indent="      "
        )
        for user, key in one.examples:
            yield f"      {user:.30} · {key:.40}"
    yield "    Put them right, or allow so many: `--max-failed`."


def _left_lines(made: Plan) -> Iterator[str]:
    yield "The other legacy tables are not needed, and stay where they are:"
    for one in made.left:
        name = one.name.removeprefix(made.ground.table.removesuffix("conversation-history"))
        items = "none" if one.items is None else f"{one.items:,}"
        yield f"  {name:<19} {items:>9}  {one.why.removeprefix('not needed: ')}"


def _cost_lines(made: Plan) -> Iterator[str]:
    cost = made.cost
    yield f"Cost, about:  ${cost.dollars:,.2f} in us-east-1, on demand"
    yield f"  reads       {cost.read_units:,.0f} units, of the copy and of a verification"
    yield f"  writes      {cost.write_units:,.0f} units, indexes and vectors among them"
    yield f"  storage     ${cost.stored_dollars_month:,.2f} a month"
    yield (
        f"  time        {duration_words(cost.seconds)} at {cost.read_rate:,.0f} read and "
        f"{cost.write_rate:,.0f} write units/s"
    )


def _ground_lines(made: Plan) -> Iterator[str]:
    ground = made.ground
    stream = "on" if ground.has_stream else "off: it will be turned on"
    yield f"Legacy table: stream {stream};"
    yield (
        f"  deletion protection {'on' if ground.deletion_protection else 'off'}; point-in-time "
        f"recovery {'on' if ground.point_in_time_recovery else 'off'}"
    )
    deployed = "stand" if ground.deployed else "are not deployed yet: `ialctl start`"
    yield f"The optimized tables {deployed}."
    yield f"Active engine: {ground.engine}."


def _side_rows(sample: SideBySide) -> list[dict[str, str]]:
    names = [*sample.legacy, *(name for name in sample.head if name not in sample.legacy)]
    return [
        {
            "name": printable(name)[:_NAME_CHARS],
            "legacy": _cell(sample.legacy.get(name, "")),
            "head": _cell(sample.head.get(name, "")),
        }
        for name in names
    ]


def _cell(text: str) -> str:
    flat = " ".join(printable(text).split())
    return flat if len(flat) <= _CELL_CHARS else flat[: _CELL_CHARS - 1] + "…"


def _n(made: Plan, count: int) -> str:
    return f"{count:,}" if made.exact else f"about {made.about(count):,}"


def summary(made: Plan) -> str:
    """A plan in one line."""
    count = _n(made, made.counts.messages)
    failing = f", {_n(made, made.counts.unmapped)} not mapped" if made.counts.unmapped else ""
    size = size_words(round(made.counts.bytes * made.factor))
    return f"{count} messages of {counted(made.users, 'user')}, {size}{failing}"
