"""The store of the embedded endpoint where its disk refuses, or holds what a crash left."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from core.local.emulator import Emulator, TableCopy
from core.local.frames import encode
from core.local.store import Effect, Store

CONTROL = b'{"control":"state"}'


class FakeEmulator:
    """One table, its items in a list of changes."""

    def __init__(self) -> None:
        self.control = CONTROL
        self.restored: list[bytes] = []
        self.applied: list[Any] = []
        self.tables = frozenset({"t"})

    def journal_to(self, _current: object) -> None:
        """Changes are added by the test itself."""

    def table_ids(self) -> frozenset[str]:
        """The one table."""
        return self.tables

    def in_progress(self) -> frozenset[str]:
        """Nothing is under way."""
        return frozenset()

    def control_state(self) -> bytes:
        """What the test says."""
        return self.control

    def restore_control(self, state: bytes) -> None:
        """Notes it."""
        self.restored.append(state)

    def definitions(self, table_ids: frozenset[str]) -> list[bytes]:
        """None: the table was always there."""
        assert table_ids <= self.tables
        return []

    def apply(self, change: Any, *, revive: bool = False) -> bool:
        """Notes it."""
        self.applied.append(change)
        return not revive

    def settle(self) -> None:
        """Nothing is counted here."""

    def copy_tables(self) -> list[TableCopy]:
        """The table without items."""
        return [TableCopy("t", ["t", "table"], {}, (), 0)]


def open_store(folder: Path, **options: Any) -> tuple[Store, FakeEmulator, list[str]]:
    """A store, its emulator, and what it says."""
    emulator, said = FakeEmulator(), list[str]()
    return Store(folder, cast(Emulator, emulator), said.append, **options), emulator, said


def write(store: Store, name: str) -> None:
    """One change of an item, acknowledged."""
    store.journal.add(encode(["t", "set", "p", name, {"p": {"S": name}}]))
    store.before_answer(Effect.ITEMS)


def test_a_rotation_that_can_not_begin_refuses_no_answer(tmp_path: Path) -> None:
    """The change is in the journal already: it is acknowledged, and the trouble is told."""
    store, _, said = open_store(tmp_path, rotation_bytes=100)
    (tmp_path / "journal-000001.log").mkdir()
    write(store, "x" * 200)
    assert "could not be written" in said[-1]
    (tmp_path / "journal-000001.log").rmdir()
    write(store, "y" * 1000)
    store.close()
    assert (tmp_path / "journal-000001.log").is_file()


def test_what_no_checkpoint_holds_is_not_told_by_a_read_either(tmp_path: Path) -> None:
    """After a checkpoint that the disk refused, a read tries it again before it answers."""
    store, emulator, _ = open_store(tmp_path)
    (tmp_path / "control.snap.tmp").mkdir()
    with pytest.raises(OSError, match=r"control\.snap"):
        store.before_answer(Effect.CONTROL)
    with pytest.raises(OSError, match=r"control\.snap"):
        store.before_answer(Effect.NOTHING)
    (tmp_path / "control.snap.tmp").rmdir()
    store.before_answer(Effect.NOTHING)
    _, emulator, _ = open_store(tmp_path)
    assert emulator.restored == [CONTROL]


def test_a_damaged_control_snapshot_never_becomes_the_one_before(tmp_path: Path) -> None:
    """After falling back, the next checkpoint keeps the good one and not the damaged one."""
    store, emulator, _ = open_store(tmp_path)
    for state in (b'{"n":1}', b'{"n":2}'):
        emulator.control = state
        store.checkpoint()
    (tmp_path / "control.snap").write_bytes(b"rubbish")
    store, emulator, _ = open_store(tmp_path)
    emulator.control = b'{"n":3}'
    store.checkpoint()
    (tmp_path / "control.snap").unlink()  # as if killed between the two renames
    assert open_store(tmp_path)[1].restored == [b'{"n":1}']


def test_where_all_control_snapshots_are_damaged_it_refuses_every_time(tmp_path: Path) -> None:
    """It never begins anew over data that somebody may still want to rescue."""
    for name in ("control.snap", "control.prev.snap"):
        (tmp_path / name).write_bytes(b"rubbish")
    for _ in range(2):
        with pytest.raises(OSError, match="no control snapshot"):
            open_store(tmp_path)


def test_without_any_control_snapshot_items_are_not_thrown_away(tmp_path: Path) -> None:
    """Where control snapshots are gone but items are there, it refuses to begin anew."""
    store, _, _ = open_store(tmp_path)
    store.checkpoint()
    write(store, "one")
    store.journal.close()
    (tmp_path / "control.snap").unlink()
    with pytest.raises(OSError, match="no control snapshot"):
        open_store(tmp_path)


def test_a_journal_that_is_gone_is_told(tmp_path: Path) -> None:
    """Somebody took it away: what came after the snapshot is lost, and not silently."""
    store, _, _ = open_store(tmp_path)
    store.checkpoint()
    write(store, "one")
    store.close()
    assert open_store(tmp_path)[0].notes == []
    (tmp_path / "journal-000001.log").unlink()
    assert "journal-000001.log is missing" in open_store(tmp_path)[0].notes[-1]


def test_what_a_crash_left_of_a_snapshot_goes_at_the_next_start(tmp_path: Path) -> None:
    """A snapshot cut short takes no room for good."""
    (tmp_path / "items-000003.snap.tmp").write_bytes(b"half")
    open_store(tmp_path)
    assert not list(tmp_path.glob("*.tmp"))


def test_a_damaged_length_does_not_hide_the_rest_of_a_journal(tmp_path: Path) -> None:
    """Records after one whose length was damaged come back, and the damage is told."""
    store, _, _ = open_store(tmp_path)
    store.checkpoint()
    for n in range(3):
        write(store, str(n))
    store.journal.close()
    journal = tmp_path / "journal-000000.log"
    data = bytearray(journal.read_bytes())
    data[8 + 3] ^= 0x40  # the length of the first record, now beyond the end
    journal.write_bytes(bytes(data))
    store, emulator, _ = open_store(tmp_path)
    assert [change[3] for change in emulator.applied] == ["1", "2"]
    assert "damaged: 1 of its records" in store.notes[-1]
    assert journal.read_bytes() == bytes(data)
