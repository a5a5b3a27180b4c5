"""The lock of a place: one holder, dead ones taken over, a loss noticed; notes of readers."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from core.backup.folder import FolderPlace
from core.backup.lock import (
    LOCK,
    REMOVED,
    Holder,
    PlaceLock,
    Reading,
    _this_holder,
    current_holder,
    readers,
)
from core.backup.place import Place
from core.clock import SYSTEM_CLOCK, new_id
from core.errors import LockHeldError, NotFoundError, StorageError
from core.testing.clock import CountingIds, FakeClock

SET = "20261121T173045Z-1a2b3c4d"
HOLDER = """
import sys
from pathlib import Path
from core.backup.folder import FolderPlace
from core.backup.lock import PlaceLock, Reading
from core.clock import SYSTEM_CLOCK, new_id

place = FolderPlace(Path(sys.argv[1]), "backups")
with PlaceLock(place, "A backup", SYSTEM_CLOCK, new_id) as lock:
    lock.note(sys.argv[2])
    with Reading(place, [sys.argv[2]], "A restore", SYSTEM_CLOCK, new_id):
        print("held", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path) -> FolderPlace:
    """An empty folder."""
    return FolderPlace(tmp_path / "backups", "backups")


def lock_of(place: Place, clock: FakeClock | None = None, purpose: str = "A prune") -> PlaceLock:
    """A lock that a run of its own wants."""
    return PlaceLock(place, purpose, clock or FakeClock(), new_id)


@contextmanager
def other_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock and reads a set until it is told to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), SET],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def test_another_process_is_kept_out_until_it_ends(place: FolderPlace, tmp_path: Path) -> None:
    """It is told who holds the lock and with what; the file is gone when that one has ended."""
    with other_process(tmp_path / "backups") as process:
        with (
            pytest.raises(LockHeldError, match=f"A backup of {SET} is going on in backups"),
            PlaceLock(place, "A prune", SYSTEM_CLOCK, new_id),
        ):
            pass
        holder = current_holder(place, SYSTEM_CLOCK)
        assert holder is not None
        assert (holder.sets, holder.pid) == ((SET,), process.pid)
        assert [reader.sets for reader in readers(place, SYSTEM_CLOCK)[0]] == [(SET,)]
        process.communicate("", timeout=30)
    assert list(place.entries()) == []
    with PlaceLock(place, "A prune", SYSTEM_CLOCK, new_id):
        assert [entry.name for entry in place.entries()] == [LOCK]


def test_the_lock_of_a_killed_process_is_taken_over(place: FolderPlace, tmp_path: Path) -> None:
    """Killed with -9, it keeps nobody waiting, and its reader's note counts no more."""
    with other_process(tmp_path / "backups") as process:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        assert current_holder(place, SYSTEM_CLOCK) is None
        live, stale = readers(place, SYSTEM_CLOCK)
        assert (len(live), len(stale)) == (0, 1)
        with PlaceLock(place, "A prune", SYSTEM_CLOCK, new_id) as lock:
            lock.keep()
            holder = current_holder(place, SYSTEM_CLOCK)
            assert holder is not None
            assert holder.purpose == "A prune"


def test_a_lease_that_ran_out_is_taken_over_and_the_loss_noticed(place: FolderPlace) -> None:
    """Kept in time it lasts; after its time another has it, and each thread of the first hears."""
    clock = FakeClock()
    first, second = lock_of(place, clock, "A backup"), lock_of(place, clock)
    with first:
        for _ in range(5):
            clock.advance(100)
            first.keep()
            with pytest.raises(LockHeldError, match="A backup is going on"), second:
                pass
        clock.advance(121)
        with second:
            for call in (first.keep, first.keep, lambda: first.note(SET)):
                with pytest.raises(LockHeldError, match="lost its lock"):
                    call()
        assert list(place.entries()) == []
    with lock_of(place, clock):  # the first, ending later, took nothing away
        first.__exit__(None, None, None)
        assert current_holder(place, clock) is not None


def test_a_lease_that_nobody_took_meanwhile_goes_on(place: FolderPlace) -> None:
    """A run that slept past its time keeps the lock, also where somebody deleted the file."""
    clock = FakeClock()
    with lock_of(place, clock) as lock:
        clock.advance(1000)
        lock.keep()
        assert current_holder(place, clock) is not None
        place.delete([LOCK])
        clock.advance(60)
        lock.keep()
        assert current_holder(place, clock) is not None


def test_of_many_takers_of_a_stale_lock_one_wins(place: FolderPlace) -> None:
    """Eight find the same dead lock at once; one gets it, the others are told whose it is."""
    clock = FakeClock()
    dead = replace(_this_holder("A backup", clock, new_id(), ()), pid=2**22 + 1)
    place.put(LOCK, dead.to_json())
    locks = [lock_of(place, clock) for _ in range(8)]

    def enter(lock: PlaceLock) -> bool:
        try:
            lock.__enter__()
        except LockHeldError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(enter, locks)).count(True) == 1


@pytest.mark.parametrize("elsewhere", ["host", "namespace"])
def test_a_process_elsewhere_is_never_taken_for_dead(place: FolderPlace, elsewhere: str) -> None:
    """Another machine's or container's process ids mean nothing here: only its time counts."""
    clock = FakeClock()
    dead = replace(_this_holder("A backup", clock, new_id(), ()), pid=2**22 + 1)
    on_host, in_container = replace(dead, host="elsewhere"), replace(dead, namespace="pid:[1]")
    other = on_host if elsewhere == "host" else in_container
    place.put(LOCK, other.to_json())
    with pytest.raises(LockHeldError), lock_of(place, clock):
        pass
    clock.advance(121)
    with lock_of(place, clock):
        pass


# A lock in all but the type of one field.
GOOD = _this_holder("A backup", FakeClock(), new_id(), ()).to_json()
ODD = GOOD.replace(b'"sets":[]', b'"sets":7')


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"\xff", b'{"sets": 3}', b"null", ODD])
def test_a_lock_file_of_nobody_is_left_to_a_person(place: FolderPlace, body: bytes) -> None:
    """A file that says nothing may be anyone's: refused, with what to do."""
    assert Holder.from_json(GOOD) is not None
    assert Holder.from_json(body) is None
    place.put(LOCK, body)
    with pytest.raises(LockHeldError, match="not which") as caught, lock_of(place):
        pass
    assert "delete that file" in (caught.value.cure or "")
    assert place.get(LOCK) == body


def test_reading_is_noted_kept_and_given_up(place: FolderPlace) -> None:
    """The note names the sets while the block runs and is kept; afterwards nothing is left."""
    clock = FakeClock()
    with Reading(place, [SET, "other"], "A restore", clock, CountingIds()) as reading:
        for _ in range(4):
            clock.advance(100)
            reading.keep()
            assert [reader.sets for reader in readers(place, clock)[0]] == [(SET, "other")]
        clock.advance(121)
        assert [len(found) for found in readers(place, clock)] == [0, 1]
    assert list(place.entries()) == []
    with Reading(place, [], "A verify", clock, new_id):
        assert list(place.entries()) == []


def test_a_set_that_is_being_removed_is_not_read(place: FolderPlace) -> None:
    """A reader that comes after the mark is refused and leaves no note."""
    place.put(f"{SET}/{REMOVED}", b"{}")
    with (
        pytest.raises(NotFoundError, match="is being removed"),
        Reading(place, [SET], "A restore", FakeClock(), new_id),
    ):
        pass
    assert readers(place, FakeClock()) == ([], [])


class ReadOnlyFolder(FolderPlace):
    """A folder that takes no files, as a mounted snapshot."""

    def put(self, name: str, body: bytes) -> None:
        """Refuses."""
        raise StorageError("The file can't be written: read-only.")


def test_a_read_only_place_can_be_read(tmp_path: Path) -> None:
    """No note can be left there, and none is needed."""
    clock = FakeClock()
    with Reading(ReadOnlyFolder(tmp_path), [SET], "A verify", clock, new_id) as reading:
        clock.advance(1000)
        reading.keep()
    assert list(tmp_path.iterdir()) == []
