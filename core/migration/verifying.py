"""Verification: both sides compared as wholes, what differs looked at again, and put right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from core.aws.codec import WireItem, encode_item
from core.errors import ConditionFailedError, DamagedError
from core.memory.model import content_hash
from core.migration.comparison import Comparison, Differing, Read, name_of, vector_owner
from core.migration.ledger import Day, Totals
from core.migration.legacy import wire
from core.migration.merging import Engine
from core.migration.sampling import Mismatch, Sampled, Sampler
from core.migration.standing import Standing, Wanted
from core.migration.transform import (
    SORT_KEY,
    Mapped,
    UnmappableError,
    is_expired,
    legacy_item,
    mapped,
    places_of,
)
from core.migration.wiring import Wiring
from core.transfer.scanning import Scanner, ScanPage

SCAN_SEGMENTS = 8
LOOKS = 12
"""So often what differs is looked at again, each time once following has caught up; what looks the
same twice is not written any more, and is not looked at further."""
_DAYS = 20


@dataclass(frozen=True)
class Verification:
    """What was compared, and what differs.

    `born` messages are only in the optimized tables and were written there. `repaired` is how
    many of those that differed were put right; `days` tells which counts differ.
    """

    totals: Totals
    expired: int
    mismatches: tuple[Mismatch, ...]
    days: tuple[Day, ...]
    sampled: Sampled
    born: int = 0
    repaired: int = 0

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.mismatches


Digests = tuple[bytes | None, ...]
Beside = Callable[[Sequence[Callable[[], None]]], None]
"""Runs tasks side by side, following meanwhile."""


@dataclass
class _Suspect:
    """A message that differed: its legacy key, its versions' ids, times and roles, and keys."""

    user_id: str
    sort_key: str
    ids: set[str] = field(default_factory=set)
    times: set[tuple[int, str]] = field(default_factory=set)
    keys: set[tuple[str, str]] = field(default_factory=set)

    def add(self, read: Read) -> None:
        """Adds a version of it."""
        self.ids.add(read.message_id)
        if read.time is not None:
            self.times.add(read.time)


@dataclass(frozen=True)
class _Seen:
    """What stands of a suspect this moment, on both sides."""

    item: Mapping[str, object] | None
    one: Mapped | None
    standing: tuple[Standing, ...]

    @property
    def digests(self) -> Digests:
        """What stands, in brief."""
        return (self.one.digest if self.one else None, *(s.digest for s in self.standing))


class Verifier:
    """Compares the two sides of a migration."""

    def __init__(
        self,
        wiring: Wiring,
        sampler: Sampler,
        folder: Path,
        beside: Beside,
        catch_up: Callable[[], None],
        leading: Engine,
        keep: Callable[[WireItem], None] = lambda _: None,
    ) -> None:
        """What does not fit into memory goes to `folder`.

        `keep` is given each head that is about to be removed because the legacy table has none.
        """
        self._keep = keep
        self._wiring = wiring
        self._sampler = sampler
        self._folder = folder
        self._beside = beside
        self._catch_up = catch_up
        self._leading = leading

    def verify(self, *, sample: int | None, repair: bool, live: bool) -> Verification:
        """Compares everything, and of `sample` users (None: all) what engines would be told.

        With `live` messages that were born in the optimized tables are no difference.
        """
        self._catch_up()
        with Comparison(
            self._folder, self._wiring.clock, self._wiring.parts.options.generation
        ) as comparison:
            self._read(comparison)
            suspects, vectors = self._suspects(comparison, comparison.differing())
            found = self._looked_at_again(suspects)
            lone = self._lone_vectors(vectors)
            sampled = self._sampled(comparison, sample)
            repaired = 0
            if repair:
                before = len(found) + len(lone) + len(sampled.mismatches)
                self._repair(suspects, found, (*lone, *sampled.mismatches))
                found = self._looked_at_again(suspects)
                lone = self._lone_vectors(vectors)
                sampled = self._sampled(comparison, sample)
                repaired = before - len(found) - len(lone) - len(sampled.mismatches)
            born = sum(1 for m in found if live and m.born)
            told = [m for m in found if not (live and m.born)]
            mismatches = (*told, *lone, *sampled.mismatches)
            return Verification(
                comparison.ledger.totals(),
                comparison.expired,
                mismatches,
                tuple(comparison.ledger.unlike(_DAYS)) if mismatches else (),
                sampled,
                born,
                repaired,
            )

    def _sampled(self, comparison: Comparison, sample: int | None) -> Sampled:
        found: list[Sampled] = []
        users = comparison.ledger.users()
        self._beside([lambda: found.append(self._sampler.look(users, sample))])
        return found[0]

    def _read(self, comparison: Comparison) -> None:
        readers = {
            "legacy": comparison.read_legacy,
            "optimized": comparison.read_optimized,
            "embeddings": comparison.read_vectors,
        }
        tasks: list[Callable[[], None]] = []
        for side, read in readers.items():
            tasks += [partial(read, pages) for pages in self._segments(side)]
        self._beside(tasks)

    def _segments(self, side: str) -> Iterator[Iterator[ScanPage]]:
        wiring = self._wiring
        scanner = Scanner(
            wiring.session,
            wiring.names[side],
            wiring.reading,
            wiring.clock,
            consistent=True,
            stop=wiring.ask_while_waiting,
        )
        for number in range(SCAN_SEGMENTS):
            yield scanner.pages(number, SCAN_SEGMENTS)

    def _suspects(
        self, comparison: Comparison, differing: Differing
    ) -> tuple[dict[tuple[str, str], _Suspect], set[tuple[str, str]]]:
        """The messages behind the names that differ, and the vectors, by user and place."""
        suspects: dict[tuple[str, str], _Suspect] = {}
        vectors: set[tuple[str, str]] = set()
        if differing.names or differing.vectors:
            reads = {"legacy": comparison.legacy_read, "optimized": comparison.optimized_read}
            for side, read in reads.items():
                for page in (page for pages in self._segments(side) for page in pages):
                    for one in filter(None, map(read, page.items)):
                        if one.name in differing.names:
                            _add(suspects, one, side)
                        if name_of(one.user_id, one.key[1]) in differing.vectors:
                            vectors.add((one.user_id, one.key[1]))
        if differing.vectors:
            now_s = self._wiring.clock.time()
            generation = self._wiring.parts.options.generation
            for page in (page for pages in self._segments("embeddings") for page in pages):
                owners = filter(
                    None, (vector_owner(item, now_s, generation) for item in page.items)
                )
                vectors |= {owner for owner in owners if name_of(*owner) in differing.vectors}
        for key in comparison.large:
            self._add_damaged(suspects, key)
        return suspects, vectors | comparison.large_owners()

    def _add_damaged(self, suspects: dict[tuple[str, str], _Suspect], key: tuple[str, str]) -> None:
        """Adds a message of many parts that can't be put together."""
        for standing in self._wiring.optimized.at([key]):
            if self._fault(standing):
                head = standing.head
                user, sort_key = str(head["user_id"]), str(head.get(SORT_KEY, head["message_id"]))
                suspect = suspects.setdefault((user, sort_key), _Suspect(user, sort_key))
                suspect.ids.add(standing.message_id)
                suspect.times.add((int(head["timestamp"]), str(head["role"])))
                suspect.keys.add(key)

    def _looked_at_again(self, suspects: Mapping[tuple[str, str], _Suspect]) -> list[Mismatch]:
        """What still differs once all that has changed meanwhile has been followed."""
        left = dict(suspects)
        found: dict[tuple[str, str], Mismatch] = {}
        before: dict[tuple[str, str], Digests] = {}
        for _ in range(LOOKS):
            if not left:
                break
            self._catch_up()
            seen = {key: self._seen(one) for key, one in left.items()}
            told = {key: self._mismatch(left[key], one) for key, one in seen.items()}
            found |= {key: mismatch for key, mismatch in told.items() if mismatch is not None}
            level = {key for key, mismatch in told.items() if mismatch is None}
            found = {key: mismatch for key, mismatch in found.items() if key not in level}
            # What is written this moment differs for a moment: what stays as it was is certain.
            still = {key for key, one in seen.items() if before.get(key) == one.digests}
            left = {key: one for key, one in left.items() if key not in level | still}
            before = {key: one.digests for key, one in seen.items()}
        return list(found.values())

    def _seen(self, suspect: _Suspect) -> _Seen:
        key = (suspect.user_id, suspect.sort_key)
        item = self._wiring.legacy.get_many([key]).get(key)
        one = None
        if item is not None and not is_expired(wire(item), self._wiring.clock.time()):
            try:
                one = mapped(wire(item))
            except UnmappableError:
                item = None
        ids, times = set(suspect.ids), set(suspect.times)
        if one is not None:
            ids.add(one.message.message_id)
            times.add((one.message.timestamp_us, one.message.role))
        wanted = Wanted(suspect.user_id, frozenset(ids), frozenset(times))
        stands = {
            s.key: s for there in self._wiring.optimized.standing([wanted]).values() for s in there
        }
        # Where it stood another one may stand by now.
        at = self._wiring.optimized.at(sorted(suspect.keys))
        stands |= {s.key: s for s in at if s.message_id in ids}
        return _Seen(item, one, tuple(stands.values()))

    def _mismatch(self, suspect: _Suspect, seen: _Seen) -> Mismatch | None:
        kind, why, where = self._kind(seen)
        if not kind:
            return None
        born = seen.item is None and all(SORT_KEY not in s.head for s in seen.standing)
        return Mismatch(kind, suspect.user_id, suspect.sort_key, why, where, born=born)

    def _kind(self, seen: _Seen) -> tuple[str, str, tuple[str, str] | None]:
        for standing in seen.standing:
            if not _is_placed(standing):
                return "misplaced", "it stands under a key that is not its own", standing.key
            fault = self._fault(standing)
            if fault:
                return "damaged", fault, standing.key
        if len(seen.standing) > 1:
            return "twice", "it stands more than once", seen.standing[1].key
        if seen.one is None and not seen.standing:
            return "", "", None
        if not seen.standing:
            return "missing", "only the legacy table has it", None
        only = seen.standing[0]
        if seen.one is None:
            return "extra", "only the optimized tables have it", only.key
        if only.digest != seen.one.digest:
            return "changed", _unlike(seen.one, only), only.key
        return "", "", None

    def _fault(self, standing: Standing) -> str:
        try:
            message = self._wiring.optimized.message(standing)
        except (DamagedError, KeyError, TypeError, ValueError):
            return "its content can't be put together"
        if message is None:
            return "its parts are gone"
        same = content_hash(message.content) == standing.head.get("content_hash")
        return "" if same else "its content changed"

    def _lone_vectors(self, vectors: Iterable[tuple[str, str]]) -> list[Mismatch]:
        """Those of the vectors that have no message, and of the messages without their item."""
        found = []
        for user_id, place in sorted(vectors):
            why = self._sampler.fault(user_id, place)
            if why:
                found.append(Mismatch("vector", user_id, place, why))
        return found

    def _repair(
        self,
        suspects: Mapping[tuple[str, str], _Suspect],
        found: Sequence[Mismatch],
        others: Sequence[Mismatch],
    ) -> None:
        for mismatch in found:
            suspect = suspects[mismatch.user_id, mismatch.sort_key]
            # Who writes it this moment makes it right himself, or it is found again.
            with suppress(ConditionFailedError, UnmappableError):
                self._put_right(self._seen(suspect))
        for user_id in sorted({mismatch.user_id for mismatch in others}):
            # Content that is lost on both sides is found again, and named.
            with suppress(DamagedError):
                self._sampler.repair(user_id)
        for mismatch in others:
            if mismatch.kind == "vector":
                with suppress(ConditionFailedError):
                    self._sampler.put_text_right(mismatch.user_id, mismatch.sort_key)

    def _put_right(self, seen: _Seen) -> None:
        """Makes both sides equal: as the leading side has it, or as the one has it that does."""
        optimized, legacy = self._wiring.optimized, self._wiring.legacy
        sound = [s for s in seen.standing if not self._fault(s)]
        if seen.one is not None and (self._leading == "legacy" or not sound):
            # What is damaged is written again, though by its head it is the same.
            unlike = (s if s in sound else replace(s, digest=b"") for s in seen.standing)
            optimized.bring(seen.one, list(unlike), thorough=True)
            return
        if self._leading == "legacy":
            for standing in seen.standing:
                self._keep(wire(standing.head))
                optimized.remove(str(standing.head["user_id"]), [standing])
            return
        message = optimized.message(sound[0]) if sound else None
        if message is None:
            return  # nothing to put it right from: a backup has to
        optimized.bring(
            mapped(encode_item(legacy_item(message, None))), seen.standing, thorough=True
        )
        legacy.put(message, seen.item)


def _add(suspects: dict[tuple[str, str], _Suspect], one: Read, side: str) -> None:
    key = (one.user_id, one.sort_key)
    suspect = suspects.setdefault(key, _Suspect(*key))
    suspect.add(one)
    if side == "optimized":
        suspect.keys.add(one.key)


def _is_placed(standing: Standing) -> bool:
    head = standing.head
    day, places = places_of(
        str(head["user_id"]), int(head["timestamp"]), str(head["role"]), standing.message_id
    )
    return standing.user_date == day and standing.place in places


def _unlike(one: Mapped, standing: Standing) -> str:
    """Which attributes differ, in words."""
    names = one.stored.head.keys() | standing.head.keys()
    left = {"user_date", "timestamp_type", "content", "content_z", "content_parts"}
    unlike = sorted(n for n in names - left if one.stored.head.get(n) != standing.head.get(n))
    return f"{', '.join(unlike) or 'its content'} differ" + ("s" if len(unlike) < 2 else "")
