"""What the embedded endpoint acknowledged, kept on disk.

    control.snap, control.prev.snap   everything but items and streams; written before the answer
                                      to any request that may have changed it
    items-000007.snap                 all items and streams at one instant
    journal-000007.log                every change of an item or stream since that instant

Start: the newest whole items snapshot, then every journal from its number on. The snapshot before
it, and that one's journal, are kept: where the newest is damaged nothing is lost. A journal that
has outgrown its snapshot is rotated and a new snapshot written beside the running work; entries
are after-images, so an entry that a snapshot already holds does no harm.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum
from pathlib import Path

from core.local.emulator import Emulator, TableCopy
from core.local.frames import MAGIC, ReadReport, decode, read_frames, write_whole
from core.local.journal import Journal

CONTROL = "control.snap"
CONTROL_PREVIOUS = "control.prev.snap"
MIN_ROTATION_BYTES = 64 * 1024 * 1024
_NUMBERED = re.compile(r"(items|journal)-(\d{6})\.(snap|log)")
_END = b'["end"]'


class Effect(Enum):
    """What a request may change."""

    READS_ITEMS = "reads items"
    NOTHING = "nothing"
    ITEMS = "items"
    CONTROL = "control"


class Store:
    """The state of one endpoint on disk. `before_answer` runs on the event loop only."""

    def __init__(
        self,
        folder: Path,
        emulator: Emulator,
        say: Callable[[str], None],
        rotation_bytes: int = MIN_ROTATION_BYTES,
    ) -> None:
        self._folder = folder
        self._emulator = emulator
        self._say = say
        self._rotation_bytes = rotation_bytes
        self._control_checksum = 0
        self._known_tables: frozenset[str] = frozenset()
        self._in_progress: frozenset[str] = frozenset()
        self._checkpoint_due = False
        self._fell_back = False
        self._snapshot_bytes = 0
        self._number = 0
        self._writer: threading.Thread | None = None
        self.notes: list[str] = []
        self.journal = self._restore()
        emulator.journal_to(lambda: self.journal)

    def before_answer(self, effect: Effect) -> None:
        """Makes what the answer tells of safe from a kill.

        An answer that only tells what stands needs a checkpoint where something that was in
        progress at the last one (a stack, a change set) has come to its end since.

        Raises:
            OSError: the disk refuses; the answer must not go out.
        """
        if effect is Effect.READS_ITEMS:
            # A write that the disk refused stays pending; what is asked now is answered.
            with suppress(OSError):
                self.journal.flush()
            return
        if effect is Effect.NOTHING:
            if self._checkpoint_due or self._in_progress - self._emulator.in_progress():
                self.checkpoint()
            return
        if effect is Effect.CONTROL or (self.journal.has_pending and self._has_new_table()):
            self.checkpoint()
        self.journal.flush()
        if self.journal.size > max(self._rotation_bytes, self._snapshot_bytes):
            self._rotate()

    def checkpoint(self) -> None:
        """Writes the control state if it changed.

        Raises:
            OSError: the disk refuses; what stood there stands, and the next answer tries again.
        """
        self._checkpoint_due = True
        self._in_progress = self._emulator.in_progress()
        state = self._emulator.control_state()
        checksum = zlib.crc32(state)
        if checksum != self._control_checksum:
            write_whole(self._folder / CONTROL, [state], self._folder / CONTROL_PREVIOUS)
            self._control_checksum = checksum
            self._note_new_tables()
        self._checkpoint_due = False

    def _note_new_tables(self) -> None:
        # In the journal, too: with a control snapshot that is damaged later, items stay usable.
        tables = self._emulator.table_ids()
        with self.journal.lock:
            for definition in self._emulator.definitions(tables - self._known_tables):
                self.journal.add(definition)
        self._known_tables = tables

    def sync(self) -> None:
        """Brings the journal to the disk; called at least every second."""
        self.journal.sync()

    def close(self) -> None:
        """A clean stop: everything in snapshots, the journal empty.

        Raises:
            OSError: the disk refuses; the journal still holds everything.
        """
        self.checkpoint()
        if self._writer is not None:
            self._writer.join()
        self.journal.flush()
        if self.journal.size > len(MAGIC):
            number, tables = self._open_next()
            self._write_snapshot(number, tables)
        self.journal.close()

    # Rotation -------------------------------------------------------------------------------

    def _has_new_table(self) -> bool:
        return not self._emulator.table_ids() <= self._known_tables

    def _rotate(self) -> None:
        if self._writer is not None and self._writer.is_alive():
            return
        try:
            number, tables = self._open_next()
        except OSError as error:
            self._put_off_rotation("journal", self._number + 1, error)
            return
        self._writer = threading.Thread(
            target=self._write_beside, args=(number, tables), name="snapshot", daemon=True
        )
        self._writer.start()

    def _open_next(self) -> tuple[int, list[TableCopy]]:
        """Begins the next journal; returns its number and the state that it begins from."""
        with self.journal.lock:
            self.journal.flush()
            self.journal.sync()
            following = Journal(self._path("journal", self._number + 1))
            tables = self._emulator.copy_tables()
            finished, self.journal = self.journal, following
            self._number += 1
        finished.close()
        return self._number, tables

    def _write_beside(self, number: int, tables: list[TableCopy]) -> None:
        try:
            self._write_snapshot(number, tables)
        except OSError as error:
            self._put_off_rotation("snapshot", number, error)

    def _put_off_rotation(self, what: str, number: int, error: OSError) -> None:
        # Nothing is lost: the journals since the last good snapshot are kept.
        self._say(f"The {what} {number} could not be written ({error}); trying again later.")
        self._snapshot_bytes = max(self._snapshot_bytes, self.journal.size * 2)

    def _write_snapshot(self, number: int, tables: list[TableCopy]) -> None:
        path = self._path("items", number)
        self._snapshot_bytes = write_whole(path, _frames(tables))
        snapshots = sorted(n for kind, n, _ in self._numbered() if kind == "items")
        keep_from = snapshots[-2] if len(snapshots) > 1 else 0
        for _, old, file in self._numbered():
            if old < keep_from:
                file.unlink(missing_ok=True)

    # Start ----------------------------------------------------------------------------------

    def _restore(self) -> Journal:
        for left in self._folder.glob("*.tmp"):
            left.unlink(missing_ok=True)  # of a snapshot that a crash cut short
        self._restore_control()
        self._known_tables = self._emulator.table_ids()
        snapshot = self._load_newest_snapshot()
        journals = sorted(n for kind, n, _ in self._numbered() if kind == "journal")
        self._tell_missing(snapshot, journals)
        report = ReadReport()
        for number in (n for n in journals if n >= snapshot):
            report = ReadReport()
            self._apply(read_frames(self._path("journal", number), report))
            self._tell_damage(self._path("journal", number), report)
        self._emulator.settle()
        self._number = max([snapshot, *journals], default=0)
        last = self._path("journal", self._number)
        if journals and journals[-1] == self._number and not report.damaged_frames:
            return Journal(last, report.good_bytes)
        self._number += bool(journals)
        return Journal(self._path("journal", self._number))

    def _restore_control(self) -> None:
        found = [p for p in (CONTROL, CONTROL_PREVIOUS) if (self._folder / p).exists()]
        for name in found:
            state = self._read_control(self._folder / name)
            if state is None:
                self._note(f"The snapshot {name} is damaged; the one before it is used.")
                continue
            if name == CONTROL_PREVIOUS and len(found) > 1:
                # Out of the way: the next checkpoint must not keep it as the one before.
                path = self._folder / CONTROL
                path.replace(path.with_suffix(".damaged"))
                self._fell_back = True
            self._emulator.restore_control(state)
            self._control_checksum = zlib.crc32(state) if name == CONTROL else 0
            return
        if found or self._holds_changes():
            raise OSError(
                f"no control snapshot in {self._folder} can be read; "
                "move the folder away to begin anew, or restore it from a copy"
            )

    def _holds_changes(self) -> bool:
        # No item is ever written before the table it belongs to is.
        return any(
            kind == "items" or path.stat().st_size > len(MAGIC)
            for kind, _, path in self._numbered()
        )

    @staticmethod
    def _read_control(path: Path) -> bytes | None:
        report = ReadReport()
        states = list(read_frames(path, report))
        return bytes(states[0]) if report.complete and len(states) == 1 else None

    def _load_newest_snapshot(self) -> int:
        numbers = sorted((n for kind, n, _ in self._numbered() if kind == "items"), reverse=True)
        for number in numbers:
            path = self._path("items", number)
            if self._is_whole(path):
                self._apply(read_frames(path, ReadReport()))
                self._snapshot_bytes = path.stat().st_size
                return number
            self._note(f"The snapshot {path.name} is damaged; the one before it is used.")
            path.replace(path.with_suffix(".damaged"))
        if numbers and 0 not in {n for kind, n, _ in self._numbered() if kind == "journal"}:
            self._note("No items snapshot can be read: only what the journals hold is back.")
        return 0

    @staticmethod
    def _is_whole(path: Path) -> bool:
        report = ReadReport()
        ends = [payload == _END for payload in read_frames(path, report)]
        return report.complete and ends[-1:] == [True]

    def _apply(self, frames: Iterable[memoryview]) -> None:
        for payload in frames:
            if payload != _END:
                for change in decode(payload):
                    self._emulator.apply(change, revive=self._fell_back)

    def _tell_missing(self, snapshot: int, journals: list[int]) -> None:
        # A journal is begun before the snapshot of its number: there is one for each.
        newest = max([snapshot, *journals])
        for number in sorted({*range(max(snapshot, 1), newest + 1)} - {*journals}):
            name = self._path("journal", number).name
            self._note(f"The journal {name} is missing: what only it held is lost.")

    def _tell_damage(self, path: Path, report: ReadReport) -> None:
        if report.damaged_frames:
            self._note(
                f"The journal {path.name} is damaged: {report.damaged_frames} of its records "
                "can't be read and were passed over."
            )
        elif report.torn_bytes:
            self._say(f"{path.name}: an unfinished last record ({report.torn_bytes} B) dropped.")

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self._say(text)

    def _path(self, kind: str, number: int) -> Path:
        return self._folder / f"{kind}-{number:06d}.{'snap' if kind == 'items' else 'log'}"

    def _numbered(self) -> list[tuple[str, int, Path]]:
        found = ((path, _NUMBERED.fullmatch(path.name)) for path in self._folder.iterdir())
        return [(match[1], int(match[2]), path) for path, match in found if match]


def _frames(tables: list[TableCopy]) -> Iterable[bytes]:
    for table in tables:
        yield from table.frames()
    yield _END
