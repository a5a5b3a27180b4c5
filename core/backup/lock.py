"""One backup or prune of a place at a time, and none that removes what another is reading.

    lock.json              while a backup or a prune is going on; taken only where there is none
    readers/<run>.json     while a verify or a restore reads a set

Both are leases: they say until when they hold, and whoever finds one that ran out, or whose
process on this machine is dead, takes it over. Clocks of machines that share a place may differ
by up to a minute or so, no more. A remover first marks a set (`removed.json`), then looks for
readers; a reader first leaves its note, then looks for that mark: so one of them sees the other.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import msgspec

from core.aws.lease import process_runs, this_run
from core.backup.place import Place
from core.clock import Clock, Ids, iso
from core.errors import DamagedError, IalError, LockHeldError, NotFoundError

LEASE_S = 120.0
LOCK = "lock.json"
READERS = "readers"
REMOVED = "removed.json"
"""In a set's folder: it is being removed, and no backup any more."""
_MOST_BYTES = 64 * 1024
_TRIES = 10


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, doing what, with which sets, and until when (seconds since the epoch)."""

    run: str
    owner: str
    host: str
    namespace: str
    pid: int
    purpose: str
    since: str
    expires_at: float
    sets: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """As it stands in a file."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, body: bytes) -> Holder | None:
        """What a file says; None where it is none of ours."""
        try:
            return msgspec.json.decode(body, type=cls)
        except msgspec.MsgspecError:
            return None

    def is_stale(self, now_s: float) -> bool:
        """Whether it ran out, or its process is known to be dead."""
        if self.expires_at < now_s:
            return True
        here = self.host == this_run("").host and self.namespace == _namespace()
        return here and not process_runs(self.pid)


def _this_holder(purpose: str, clock: Clock, run: str, sets: Sequence[str]) -> Holder:
    owner, now = this_run(run), clock.time()
    return Holder(
        run=run,
        owner=str(owner),
        host=owner.host,
        namespace=_namespace(),
        pid=owner.pid,
        purpose=purpose,
        since=iso(int(now)),
        expires_at=now + LEASE_S,
        sets=tuple(sets),
    )


class PlaceLock:
    """The lock of a place while the block runs. Thread-safe.

    Raises:
        LockHeldError: another run holds it; says who, since when, doing what. Raised on entry,
            and by `keep` and `note` once it was lost: by then another run may be writing.
    """

    def __init__(self, place: Place, purpose: str, clock: Clock, ids: Ids) -> None:
        """A lock to be entered; `purpose` completes "… is going on", such as "A backup"."""
        self._place, self._clock = place, clock
        self._purpose, self._run = purpose, ids()
        self._thread_lock = threading.Lock()
        self._holder: Holder | None = None
        self._body = b""
        self._renew_at = 0.0
        self._lost: LockHeldError | None = None

    def __enter__(self) -> Self:
        holder = _this_holder(self._purpose, self._clock, self._run, ())
        self._take(holder)
        return self

    def __exit__(self, *_: object) -> None:
        # What can't be given back runs out by itself; what went wrong before is to be heard of.
        with self._thread_lock, suppress(IalError):
            if self._holder is not None and self._lost is None:
                self._place.swap(LOCK, self._body, None)
            self._holder = None

    def keep(self) -> None:
        """Makes the lease last; costs nothing unless a third of it has passed."""
        if self._lost is None and self._clock.monotonic() < self._renew_at:
            return
        with self._thread_lock:
            if self._lost is not None:
                raise self._lost
            if self._holder is not None and self._clock.monotonic() >= self._renew_at:
                self._renew(self._holder)

    def note(self, set_id: str) -> None:
        """Says which set this run works on: it is "in progress" for everyone else."""
        with self._thread_lock:
            if self._lost is not None:
                raise self._lost
            if self._holder is not None:
                self._renew(replace(self._holder, sets=(set_id,)))

    def _take(self, holder: Holder) -> None:
        body, found = holder.to_json(), None
        for _ in range(_TRIES):  # others may come and go meanwhile
            if self._place.put_new(LOCK, body):
                return self._now_holds(holder, body)
            before = self._read()
            if before is None:
                continue
            found = Holder.from_json(before)
            if found is None:
                raise _unreadable(self._place)
            if not found.is_stale(self._clock.time()):
                break
            if self._place.swap(LOCK, before, body):
                return self._now_holds(holder, body)
        raise _held(found, self._place)

    def _renew(self, holder: Holder) -> None:
        renewed = replace(holder, expires_at=self._clock.time() + LEASE_S)
        body = renewed.to_json()
        # Where somebody deleted it by hand, and nobody took it since, it is ours anew.
        if self._place.swap(LOCK, self._body, body) or self._place.put_new(LOCK, body):
            self._now_holds(renewed, body)
            return
        now = self._read()
        if now in (self._body, body):  # a write of ours whose answer was lost
            self._now_holds(renewed, now or b"")
            return
        self._lost = _held(Holder.from_json(now or b""), self._place, lost=True)
        raise self._lost

    def _now_holds(self, holder: Holder, body: bytes) -> None:
        self._holder, self._body = holder, body
        self._renew_at = self._clock.monotonic() + LEASE_S / 3

    def _read(self) -> bytes | None:
        try:
            return self._place.get(LOCK, _MOST_BYTES)
        except NotFoundError:
            return None


class Reading:
    """A note that sets are being read while the block runs: a prune leaves them alone.

    On a place that can't be written it does nothing: whoever may only read can't hold up others.

    Raises:
        NotFoundError: a set is just being removed.
    """

    def __init__(
        self, place: Place, set_ids: Sequence[str], purpose: str, clock: Clock, ids: Ids
    ) -> None:
        """A note to be left; without sets (a bare export folder) there is none."""
        self._place, self._clock, self._purpose = place, clock, purpose
        self._sets, self._run = tuple(set_ids), ids()
        self._name = f"{READERS}/{self._run}.json"
        self._renew_at = float("inf")

    def __enter__(self) -> Self:
        if self._sets:
            self._write()
        for set_id in self._sets:
            if is_removed(self._place, set_id):
                self.__exit__()
                raise NotFoundError(
                    f"The backup '{set_id}' in {self._place.url} is being removed.",
                    "`ialctl backup list` shows those there are.",
                    code="NoSuchKey",
                )
        return self

    def __exit__(self, *_: object) -> None:
        if self._renew_at < float("inf"):
            with suppress(IalError):
                self._place.delete([self._name])

    def keep(self) -> None:
        """Makes the note last; costs nothing unless a third of its time has passed."""
        if self._clock.monotonic() >= self._renew_at:
            self._write()

    def _write(self) -> None:
        holder = _this_holder(self._purpose, self._clock, self._run, self._sets)
        with suppress(IalError):
            self._place.put(self._name, holder.to_json())
            self._renew_at = self._clock.monotonic() + LEASE_S / 3


def is_removed(place: Place, set_id: str) -> bool:
    """Whether a set is marked as being removed."""
    try:
        place.get(f"{set_id}/{REMOVED}", _MOST_BYTES)
    except NotFoundError:
        return False
    except DamagedError:  # too large for a mark of ours, but there
        return True
    return True


def current_holder(place: Place, clock: Clock) -> Holder | None:
    """Who holds the lock of a place now; None where nobody does, or only a dead run."""
    try:
        found = Holder.from_json(place.get(LOCK, _MOST_BYTES))
    except (NotFoundError, DamagedError):
        return None
    return None if found is None or found.is_stale(clock.time()) else found


def readers(place: Place, clock: Clock) -> tuple[list[Holder], list[str]]:
    """Who reads sets of a place now, and the names of notes that dead readers left."""
    live: list[Holder] = []
    stale: list[str] = []
    for entry in place.entries(READERS):
        try:
            found = Holder.from_json(place.get(entry.name, _MOST_BYTES))
        except NotFoundError:
            continue  # done since
        except DamagedError:
            found = None
        if found is None or found.is_stale(clock.time()):
            stale.append(entry.name)
        else:
            live.append(found)
    return live, stale


def _namespace() -> str:
    # Process ids mean the same only within one: containers may share a host's name and a folder.
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _unreadable(place: Place) -> LockHeldError:
    return LockHeldError(
        f"The file '{LOCK}' in {place.url} says that another run is going on, but not which.",
        "Make sure that no backup or prune is going on there, then delete that file.",
        owner="unknown",
        since="unknown",
    )


def _held(found: Holder | None, place: Place, *, lost: bool = False) -> LockHeldError:
    owner, since = (found.owner, found.since) if found else ("another run", "just now")
    doing = found.purpose if found else "Another run"
    on = f" of {', '.join(found.sets)}" if found and found.sets else ""
    what = f"{doing}{on} is going on in {place.url}: {owner} holds the lock since {since}."
    if lost:
        what = f"This run lost its lock (was it stopped for minutes?). {what}"
    return LockHeldError(
        what,
        "Wait until it has ended; the lock of a run that died is taken over by itself, "
        f"at the latest {LEASE_S:g} s after it.",
        owner=owner,
        since=since,
    )
