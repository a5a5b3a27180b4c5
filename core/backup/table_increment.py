"""One table's changes since a backup, from its stream: of each key what became of it in all."""

from __future__ import annotations

from core.backup import manifest
from core.backup.table_files import TableFiles, Totals
from core.backup.table_scan import ScanResult
from core.clock import Clock
from core.errors import InterruptedRunError
from core.transfer.changes import Changes
from core.transfer.lines import change_line
from core.transfer.patience import Stop
from core.transfer.streams import Stream, StreamPosition


def read_increment(
    files: TableFiles,
    stream: Stream,
    position: StreamPosition,
    until_s: int,
    clock: Clock,
    stop: Stop,
) -> ScanResult:
    """Packs the net changes between a position and a whole second of the service's clock.

    Raises:
        UsageError: the stream does not reach back so far.
        InterruptedRunError: somebody asked to stop.
    """
    started = clock.time()
    packer = files.packer("changes", until_s)
    items = size = 0
    with Changes() as changes:
        reached = stream.read(position, until_s, changes.fold)
        for change in changes.all():
            if stop():
                raise InterruptedRunError("Interrupted.")
            line = change_line(change)
            packer.add([line])
            items, size = items + 1, size + len(line)
    return ScanResult(
        Totals(items, size, packer.finish()),
        0.0,
        manifest.instant(started),
        manifest.instant(clock.time()),
        until_s,
        reached,
        "",
    )
