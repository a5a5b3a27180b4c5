"""One table by a parallel scan; with a stream, brought to one instant by what changed meanwhile.

A segment is kept once its files and its note are put: a killed run scans only the others. Then
the stream is read from where it stood before the scan up to a whole second after it; items that
changed in between are taken out of the files that hold them, and their last images put into a
file of their own. So each key stands once, as an export's does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

import orjson

from core.aws.capacity import item_size
from core.aws.codec import WireItem
from core.backup import manifest
from core.backup.packing import Packed, Packer
from core.backup.plans import TablePlan
from core.backup.progress import Observer, Progress, Stage
from core.backup.table_files import TableFiles, Totals
from core.clock import Clock
from core.errors import DamagedError, InterruptedRunError, UsageError
from core.transfer.changes import Changes
from core.transfer.lines import item_line
from core.transfer.patience import Stop
from core.transfer.scanning import Scanner
from core.transfer.streams import KEPT_S, Stream, StreamPosition

WORKERS = 4
ITEM_OVERHEAD = 100
"""Bytes that storage is billed for besides an item's own."""
_LINES = 500


@dataclass(frozen=True)
class SegmentNote:
    """A segment that was scanned: its files, what they hold, and when it was read.

    `is_partial`: what changed meanwhile is not in its files, as it lies in one of its own.
    """

    segment: int
    files: tuple[Packed, ...]
    items: int
    item_bytes: int
    read_units: float
    started_at: str
    finished_at: str
    is_partial: bool = False


@dataclass(frozen=True)
class ScanResult:
    """What a scan made: `until_s` is the instant it was brought to, None where it was not."""

    totals: Totals
    read_units: float
    started_at: str
    finished_at: str
    until_s: int | None
    position: StreamPosition | None
    why_not: str


class TableScan:
    """Scans one table. For one run."""

    def __init__(
        self,
        files: TableFiles,
        plan: TablePlan,
        scanner: Scanner,
        stream: Stream | None,
        clock: Clock,
        observe: Observer,
        stop: Stop = lambda: False,
    ) -> None:
        self._files = files
        self._plan = plan
        self._scanner = scanner
        self._stream = stream
        self._clock = clock
        self._observe = observe
        self._stop = stop
        self._lock = threading.Lock()
        self._failed = threading.Event()
        self._items = self._bytes = 0
        self._units = 0.0

    def scan(self) -> tuple[SegmentNote, ...]:
        """Scans the segments that are not kept yet; answers all, in order.

        Raises:
            NotFoundError: the table was deleted meanwhile.
            InterruptedRunError: somebody asked to stop; what is done is kept.
        """
        notes = {note.segment: note for note in self._kept()}
        for note in notes.values():
            self._tell(note.items, note.item_bytes, note.read_units)
        pending = [n for n in range(self._plan.segments) if n not in notes]
        notes |= {note.segment: note for note in self._scan(pending)}
        return tuple(notes[number] for number in sorted(notes))

    def brought_to(self, until_s: int, notes: Sequence[SegmentNote]) -> ScanResult:
        """What was scanned, as it stood at a whole second of the service's clock; as it was
        found where there is no stream, or it no longer reaches back.

        Raises:
            InterruptedRunError: somebody asked to stop; what is done is kept.
        """
        position = self._plan.position
        if position is None or self._stream is None:
            return _result(notes, self._plan.why_not)
        if until_s - position.since_s > KEPT_S:
            why_not = "it took longer than the stream keeps its records"
            return self._as_found(notes, why_not)
        return self._replayed(self._stream, position, until_s, notes)

    def _as_found(self, notes: Sequence[SegmentNote], why_not: str) -> ScanResult:
        """What was scanned, where the stream is of no use; all of it, though a run that was
        killed had begun to take out what changed."""
        whole = {note.segment: note for note in notes if not note.is_partial}
        again = self._scan([note.segment for note in notes if note.is_partial])
        whole |= {note.segment: note for note in again}
        return _result([whole[number] for number in sorted(whole)], why_not)

    def _kept(self) -> Iterable[SegmentNote]:
        for path, content in self._files.notes():
            try:
                note = manifest.load(content, SegmentNote, path)
            except DamagedError:
                continue  # scanned again
            self._go_on()
            if all(map(self._files.is_whole, note.files)):
                yield note

    def _scan(self, pending: list[int]) -> list[SegmentNote]:
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="scan") as pool:
            futures = [pool.submit(self._segment, number) for number in pending]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            if any(future.exception() for future in done):
                self._failed.set()
                for future in futures:
                    future.cancel()
        return _results(futures)

    def _segment(self, number: int) -> SegmentNote:
        packer = self._files.packer("segment", number)
        started = self._clock.time()
        items = size = 0
        units = 0.0
        for page in self._scanner.pages(number, self._plan.segments):
            if self._failed.is_set():
                raise InterruptedRunError("Another segment failed.")
            packer.add([item_line(item) for item in page.items])
            page_bytes = page.bytes + ITEM_OVERHEAD * len(page.items)
            items, size = items + len(page.items), size + page_bytes
            units += page.read_units
            self._tell(len(page.items), page_bytes, page.read_units)
        note = SegmentNote(
            number,
            packer.finish(),
            items,
            size,
            units,
            manifest.instant(started),
            manifest.instant(self._clock.time()),
        )
        self._files.put_note(f"{number:06d}", note)
        return note

    def _replayed(
        self,
        stream: Stream,
        position: StreamPosition,
        until_s: int,
        notes: Sequence[SegmentNote],
    ) -> ScanResult:
        self._tell(0, 0, 0.0, "replaying")
        result = _result(notes, "")
        with Changes() as changes:
            try:
                reached = stream.read(position, until_s, changes.fold)
            except UsageError as error:  # trimmed, or turned off
                return self._as_found(notes, error.what.rstrip("."))
            totals = result.totals
            if len(changes):
                rewritten = [self._without(note, changes, until_s) for note in notes]
                totals = _added(_result(rewritten, "").totals, self._images(changes, until_s))
        return replace(result, totals=totals, until_s=until_s, position=reached)

    def _without(self, note: SegmentNote, changes: Changes, until_s: int) -> SegmentNote:
        """The segment without the items that changed; files without any stay as they are."""
        files: list[Packed] = []
        items, size = note.items, note.item_bytes
        for number, packed in enumerate(note.files):
            self._go_on()
            dropped, dropped_bytes = self._count(packed, changes)
            if not dropped:
                files.append(packed)
                continue
            packer = self._files.packer("segment", note.segment, number, until_s)
            _add_all(packer, self._unchanged(packed, changes))
            files.extend(packer.finish())
            items, size = items - dropped, size - dropped_bytes
        if tuple(files) == note.files:
            return note
        made = replace(note, files=tuple(files), items=items, item_bytes=size, is_partial=True)
        self._files.put_note(f"{note.segment:06d}", made)
        return made

    def _count(self, packed: Packed, changes: Changes) -> tuple[int, int]:
        found = [
            item_size(item) + ITEM_OVERHEAD
            for item in map(_item, self._files.lines(packed))
            if changes.has(self._plan.key_attributes.of(item))
        ]
        return len(found), sum(found)

    def _unchanged(self, packed: Packed, changes: Changes) -> Iterable[bytes]:
        for line in self._files.lines(packed):
            self._go_on()
            if not changes.has(self._plan.key_attributes.of(_item(line))):
                yield line + b"\n"

    def _images(self, changes: Changes, until_s: int) -> Totals:
        packer = self._files.packer("changed", until_s)
        items = size = 0
        for image in changes.images():
            self._go_on()
            packer.add([item_line(image)])
            items, size = items + 1, size + item_size(image) + ITEM_OVERHEAD
        return Totals(items, size, packer.finish() if items else ())

    def _go_on(self) -> None:
        if self._stop():
            raise InterruptedRunError("Interrupted.")

    def _tell(self, items: int, size: int, units: float, stage: Stage = "scanning") -> None:
        with self._lock:
            self._items += items
            self._bytes += size
            self._units += units
            told = Progress(
                self._plan.table,
                stage,
                self._items,
                self._bytes,
                self._units,
                self._plan.items or None,
                self._plan.bytes or None,
            )
        self._observe(told)


def _item(line: bytes) -> WireItem:
    found: WireItem = orjson.loads(line)["Item"]
    return found


def _add_all(packer: Packer, lines: Iterable[bytes]) -> None:
    batch: list[bytes] = []
    for line in lines:
        batch.append(line)
        if len(batch) >= _LINES:
            packer.add(batch)
            batch = []
    packer.add(batch)


def _results(futures: list[Future[SegmentNote]]) -> list[SegmentNote]:
    """All results, or the error that the others ended for."""
    failures = [f.exception() for f in futures if not f.cancelled() and f.exception()]
    for failure in sorted(failures, key=lambda e: isinstance(e, InterruptedRunError)):
        if failure is not None:
            raise failure
    return [future.result() for future in futures]


def _added(one: Totals, other: Totals) -> Totals:
    return Totals(
        one.items + other.items, one.item_bytes + other.item_bytes, one.files + other.files
    )


def _result(notes: Sequence[SegmentNote], why_not: str) -> ScanResult:
    totals = Totals(
        sum(note.items for note in notes),
        sum(note.item_bytes for note in notes),
        tuple(packed for note in notes for packed in note.files),
    )
    return ScanResult(
        totals,
        sum(note.read_units for note in notes),
        min(note.started_at for note in notes),
        max(note.finished_at for note in notes),
        None,
        None,
        why_not,
    )
