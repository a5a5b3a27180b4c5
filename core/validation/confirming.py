"""Looks again, by strong reads, at what seemed wrong: writers go on, and scans take their time.

What two items say of each other is looked at twice, a moment apart: who saves a message writes
it first and indexes it then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, TypeVar

from core.clock import Clock
from core.errors import InterruptedRunError
from core.memory import keys
from core.memory.chunks import user_chunk
from core.memory.index.partition import partition_of
from core.memory.items import part_prefix
from core.memory.orphans import YOUNG_S
from core.transfer.patience import Stop
from core.validation.collecting import EMBEDDINGS, HISTORY, LARGE
from core.validation.comparing import disagreements
from core.validation.ledger import Ledger, Mark
from core.validation.looking import Looker, head_key
from core.validation.reading import HASH_CHARS, HeadSeen, Odd, hash63, read_history
from core.validation.reading_vectors import Row, VectorSeen, place_is_sound, read_embeddings

SETTLE_S = 2.0
"""Between two looks: who was between two writes has made the second one by then."""
_AT_ONCE = 64
_PLACES = 64
_WORKERS = 8
_OF_ROWS = frozenset({"row_without_message", "row_disagrees", "expired_indexed"})

T = TypeVar("T")


class Confirmer:
    """Takes what a ledger suspects, and notes there what is found. For one run."""

    def __init__(self, ledger: Ledger, looker: Looker, clock: Clock, stop: Stop) -> None:
        self._ledger, self._looker = ledger, looker
        self._clock, self._stop = clock, stop

    def confirm(self, *, settle_s: float, all_heads: bool, told: Callable[[], None]) -> None:
        """Looks again at everything.

        Args:
            settle_s: how long to wait before the second look.
            all_heads: whether the ledger knows every message, so that a missing one is missing.
            told: called after each batch.

        Raises:
            InterruptedRunError: somebody asked to stop.
        """
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="confirm") as pool:

            def over(things: Iterable[T], look: Callable[[T], list[Mark]]) -> None:
                for some in batched(things, _AT_ONCE):
                    self._go_on()
                    for marks in pool.map(look, some):
                        self._ledger.add("found", marks)
                    told()

            over(self._ledger.suspected(), self._by_itself)
            over(self._ledger.lost_terms(), self._terms)
            self._between(over, self._ledger.suspects(int(self._clock.time())), self._noted)
            if self._ledger.has_again():
                self._clock.sleep(settle_s)
                self._between(over, self._ledger.again(), _marks)
            over(
                self._ledger.unneeded_parts(),
                lambda parts: self._parts(*parts, all_heads=all_heads),
            )

    def _between(
        self,
        over: Callable[..., None],
        suspects: Iterator[tuple[str, str]],
        tell: Callable[[str, Mapping[str, Between]], list[Mark]],
    ) -> None:
        """Looks at what tables say of each other, user by user."""
        now_s = self._clock.time()
        for user, pairs in groupby(suspects, key=lambda pair: pair[0]):
            rows = self._looker.rows(user, now_s)

            def look(
                places: list[str], user: str = user, rows: Mapping[str, Row] = rows
            ) -> list[Mark]:
                return tell(user, look_between(self._looker, user, places, rows, now_s))

            over(batched((place for _, place in pairs), _PLACES), look)

    def _noted(self, user: str, found: Mapping[str, Between]) -> list[Mark]:
        """After the first look: what is wrong still is to be looked at again."""
        self._ledger.add("again", [(user, place) for place, b in found.items() if b.kinds])
        return []

    def _by_itself(self, mark: Mark) -> list[Mark]:
        item = self._looker.item(mark.source, mark.partition, mark.sort)
        if item is None:
            return []
        if mark.kind == LARGE:
            return self._large(item, mark)
        read: Callable[[Any], Any] = read_history if mark.source == HISTORY else read_embeddings
        seen = read(item)
        kinds = frozenset({seen.kind}) if isinstance(seen, Odd) else frozenset()
        if isinstance(seen, HeadSeen | VectorSeen):
            kinds = seen.kinds
        return [mark] if mark.kind in kinds else []

    def _large(self, item: Any, mark: Mark) -> list[Mark]:
        seen = read_history(item)
        if not isinstance(seen, HeadSeen) or seen.large is None or "wrong_type" in seen.kinds:
            return []
        expired = seen.ttl and seen.ttl <= self._clock.time()
        # Its parts may be gone already: they expire in no order.
        kind = None if expired else self._looker.content_kind(item)
        return [] if kind is None else [mark._replace(kind=kind)]

    def _terms(self, lost: tuple[str, str]) -> list[Mark]:
        user, run = lost
        missing = self._looker.lacks_terms(user, run)
        return [Mark("damaged_entry", EMBEDDINGS, partition_of(user), run)] if missing else []

    def _parts(self, user: str, message_id: str, digest: str, *, all_heads: bool) -> list[Mark]:
        kind = kind_of_parts(
            self._looker,
            (user, message_id, digest),
            self._ledger.places_of(user, hash63(message_id)),
            self._clock.time(),
            all_heads=all_heads,
        )
        partition = keys.parts_partition(user, message_id)
        return [] if kind is None else [Mark(kind, HISTORY, partition, f"{digest}#")]

    def _go_on(self) -> None:
        if self._stop():
            raise InterruptedRunError("Interrupted.", "Run the same command again.")


@dataclass(frozen=True)
class Between:
    """A message, its vector and its row as they stand, and what is wrong between them."""

    head: HeadSeen | None
    item: VectorSeen | None
    row: Row | None
    kinds: frozenset[str]


def look_between(
    looker: Looker, user: str, places: Sequence[str], rows: Mapping[str, Row], now_s: float
) -> dict[str, Between]:
    """What stands of messages, by place; `rows` is what the user's index shows."""
    items = looker.vectors_seen(user, places)
    # Last: a message that was deleted meanwhile went after its vector and its row.
    heads = looker.heads_seen(user, places)
    found = {}
    for place in places:
        head, item, row = heads.get(place), items.get(place), rows.get(place)
        found[place] = Between(head, item, row, disagreements(head, item, row, now_s))
    return found


def _marks(user: str, found: Mapping[str, Between]) -> list[Mark]:
    return [mark_of(kind, user, p) for p, between in found.items() for kind in between.kinds]


def kind_of_parts(
    looker: Looker,
    parts: tuple[str, str, str],
    places: Iterable[str],
    now_s: float,
    *,
    all_heads: bool,
) -> str | None:
    """What parts are that no head seems to need; None where one does, or there are none.

    Args:
        looker: reads what stands.
        parts: the user, the message's id, and how the content's hash begins.
        places: where messages of that id were seen.
        now_s: the time.
        all_heads: whether those are all that there are.
    """
    user, message_id, digest = parts
    prefix = part_prefix({"content_hash": digest})
    if not looker.query(keys.parts_partition(user, message_id), prefix):
        return None
    heads = [looker.head_seen(user, place) for place in places]
    if any(h is not None and h.large == (message_id, digest[:HASH_CHARS]) for h in heads):
        return None
    notes = looker.notes(user, message_id, digest)
    if any(note.noted_at > now_s - YOUNG_S for note, _ in notes):
        return "unfinished_parts"
    # Where a message of this id stands, its content may be about to become this one.
    if any(heads) or any(looker.stands_by(user, item) for _, item in notes):
        return "unfinished_parts"
    return "orphaned_parts" if notes or all_heads else "unfinished_parts"


def mark_of(kind: str, user: str, place: str) -> Mark:
    """Where a finding about a message is to be looked at."""
    if kind in _OF_ROWS:
        return Mark(kind, EMBEDDINGS, partition_of(user), place)
    if kind in ("unindexed", "row_without_item") and place_is_sound(place):
        key = head_key(user, place)
        return Mark(kind, HISTORY, key["user_date"], key["timestamp_type"])
    return Mark(kind, EMBEDDINGS, user_chunk(user, place), place)


def batched(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size`."""
    iterator = iter(things)
    while some := list(islice(iterator, size)):
        yield some
