"""A backup against tables that stand: those it was taken of, or restored ones."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from core.aws.session import AwsSession
from core.backup.comparing import Comparer, Comparison, Target
from core.backup.final_items import FinalItems
from core.backup.opening import Backup
from core.backup.plans import describe
from core.backup.progress import Observer, Progress, no_observer
from core.backup.table_settings import read_settings
from core.clock import Clock
from core.transfer.patience import Stop


def compare_tables(
    session: AwsSession,
    backup: Backup,
    targets: Mapping[str, str],
    temporary: Path,
    clock: Clock,
    *,
    max_rcu: float | None = None,
    observe: Observer = no_observer,
    stop: Stop = lambda: False,
) -> tuple[Comparison, ...]:
    """Each table of `targets` (names in the backup, to names of tables) against the backup.

    Raises:
        NotFoundError: a table does not stand.
        DamagedError: the backup can't be read to its end.
        InterruptedRunError: somebody asked to stop.
    """
    comparer = Comparer(session, temporary, clock, max_rcu=max_rcu, observe=observe, stop=stop)
    found = []
    for source in backup.tables:
        name = targets.get(source.table)
        if name is None:
            continue
        keys = source.keys or describe(session, name).keys
        ttl = read_settings(session, name).ttl
        with FinalItems(backup.place, source, keys) as final:
            compared = comparer.compare(
                Target(name, keys, ttl, with_leases=name != source.table), partial(iter, final)
            )
        found.append(compared)
        of = compared.expected
        observe(Progress(name, "done", of, 0, compared.read_units, of))
    return tuple(found)
