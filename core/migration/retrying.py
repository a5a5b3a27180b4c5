"""Moving what could not be moved before: the items that a migration noted as failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.migration.copying import failure_of
from core.migration.journal import Failure
from core.migration.legacy import wire
from core.migration.merging import Engine
from core.migration.running import Tools
from core.migration.standing import wanted_of
from core.migration.transform import UnmappableError, is_expired, mapped


@dataclass(frozen=True)
class Retried:
    """What came of items that had failed: moved, gone meanwhile, and failed again.

    `kept` are those too large for the legacy table: they stand in the optimized ones.
    """

    moved: int = 0
    gone: int = 0
    failed: int = 0
    kept: int = 0


def retry(tools: Tools, leading: Engine, keep: Callable[[], None]) -> Retried:
    """Tries every item again that is noted as failed; may be killed and made again."""
    counts = {"moved": 0, "gone": 0, "failed": 0, "kept": 0}
    for failure in list(tools.journal.failures()):
        keep()
        counts[_one(tools, failure, leading)] += 1
    return Retried(**counts)


def _one(tools: Tools, failure: Failure, leading: Engine) -> str:
    if failure.side != "legacy":
        return "kept"
    wiring, key = tools.wiring, (failure.user_id, failure.sort_key)
    item = wiring.legacy.get_many([key]).get(key)
    if item is None or is_expired(wire(item), wiring.clock.time()):
        tools.failures.settled(failure)
        return "gone"
    try:
        one = mapped(wire(item))
    except UnmappableError as error:
        tools.failures.add(failure_of(wire(item), error), wire(item))
        return "failed"
    found = wiring.optimized.standing([wanted_of([one.message])])
    standing = [there for some in found.values() for there in some]
    # What engines have written since is newer than what could not be moved then.
    if not (standing and leading == "optimized"):
        wiring.optimized.bring(one, standing, thorough=True)
    tools.failures.settled(failure)
    return "moved"
