"""The optimized tables as a migration writes them: heads, parts, vectors and the index."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from core.aws.capacity import NOTHING, Consumed
from core.aws.codec import encode_item
from core.aws.requests import Change, Write, absent
from core.aws.table import batches
from core.errors import ConditionFailedError
from core.llm.embedder import FloatArray
from core.memory.index.rows import Indexed
from core.memory.items import LEAVING, from_item, part_prefix
from core.memory.keys import parts_partition
from core.memory.model import Message
from core.memory.parts import Parts
from core.migration.legacy import marked_only
from core.migration.ports import Each, Insert
from core.migration.standing import (
    Standing,
    Wanted,
    as_it_was,
    first_place,
    gone_from_index,
    is_same,
    leaving,
    name_of,
    own_places,
    share_parts,
    standing_of,
    wanted_of,
)
from core.migration.transform import Mapped, places_of

INLINE = "inline-"
"""What the model's name of an inline vector begins with that is not of the model in use."""
_AT_ONCE = 100
_LEVELS = 4
"""So many places a message may have: see `core.memory.keys.places`."""
# Whoever wrote another key than the memory's own indexed nothing by it.
_PLACE = re.compile(r"[0-9]{16}#")


@dataclass(frozen=True)
class Copied:
    """What came of messages to be copied: newly written, found equal, and found otherwise."""

    new: tuple[tuple[Mapped, str], ...]
    equal: tuple[tuple[Mapped, str], ...]
    other: tuple[Mapped, ...]


class OptimizedSide:
    """Reads and writes messages of the optimized tables. Thread-safe; raises as `Table` does."""

    def __init__(
        self,
        parts: Parts,
        insert: Insert,
        *,
        embed: bool = False,
        remake: bool = False,
        again: bool = True,
        aside: set[tuple[str, str]] | None = None,
        each: Each = map,
        spend: Callable[[float], object] = lambda _: None,
    ) -> None:
        """With `embed` what has no vector gets one; with `remake` inline ones are not used.

        `again`: somebody may have written some of it before. `spend` is told the write units of
        all that `insert` does not write. `aside` is shared with whoever else writes: what stands
        not at its first place. `each` does the same for many users, side by side if it can; with
        the plain `map` one goes through them once, and nothing of them is kept here.
        """
        self.again = again
        self._aside = set() if aside is None else aside
        self._each = each
        self._passes_by = each is map
        self._parts = parts
        self._table = parts.tables.history
        self._insert = insert
        self._embed = embed
        self._remake = remake
        self._spend = spend

    def copy(self, messages: Sequence[Mapped]) -> Copied:
        """Writes messages where nothing stands; the index is still to be told.

        Of those that found something, the very same message is told from anything else.
        """
        # Parts first: a head stands for complete ones.
        for one in messages:
            if one.stored.parts:
                self._write_parts(one)
        aside = self._standing_aside(messages)
        met = [one for one in messages if name_of(one) in aside]
        left = [one for one in messages if name_of(one) not in aside]
        new: list[tuple[Mapped, str]] = []
        equal: list[tuple[Mapped, str]] = []
        other: list[Mapped] = []
        for level in range(_LEVELS):
            written, taken = self._insert_at(level, left)
            new += written
            met += taken
            standing = self.standing([wanted_of([one.message]) for one in met]) if met else {}
            left = []
            for one in met:
                there = standing.get(name_of(one), ())
                if not there and level + 1 < _LEVELS:
                    left.append(one)  # another message has that place: the next one may be free
                elif len(there) == 1 and there[0].digest == one.digest:
                    equal.append((one, there[0].place))
                else:
                    other.append(one)
            met = []
            if not left:
                break
        return Copied(tuple(new), tuple(equal), tuple(other))

    def _insert_at(
        self, level: int, messages: Sequence[Mapped]
    ) -> tuple[list[tuple[Mapped, str]], list[Mapped]]:
        """Writes messages at their places of a level; answers those, and whose place is taken."""
        by_key: dict[tuple[str, str], Mapped] = {}
        crowded: list[Mapped] = []
        for one in messages:
            day, places = own_places(one)
            if (day, places[level]) in by_key:
                crowded.append(one)
            else:
                by_key[day, places[level]] = one
        heads = [
            encode_item({**one.stored.head, "timestamp_type": place})
            for (_, place), one in by_key.items()
        ]
        taken = {(i["user_date"]["S"], i["timestamp_type"]["S"]) for i in self._insert(heads)}
        written = [(one, key[1]) for key, one in by_key.items() if key not in taken]
        return written, [*(by_key[key] for key in taken), *crowded]

    def _standing_aside(self, messages: Sequence[Mapped]) -> Set[tuple[str, str]]:
        """Those that stand already, but not at their first place: it may be free by now."""
        if not self.again:
            return self._aside
        keys = {}
        for one in messages:
            day, places = own_places(one)
            keys[day, places[1]] = name_of(one)
        found = self.at(keys)
        return {keys[s.key] for s in found if s.message_id == keys[s.key][1]} | self._aside

    def index(self, copied: Iterable[tuple[Mapped, str]], *, keep: bool = False) -> None:
        """Puts messages into the index, each with its inline vector if it is of use.

        With `keep` those that have none there keep the vector that stands, which somebody paid for.
        """
        by_user: dict[str, list[Indexed]] = {}
        for one, place in copied:
            by_user.setdefault(one.message.user_id, []).append(self._indexed(one, place))

        def index(user_id: str) -> float:
            indexed = by_user[user_id]
            if keep and not self._remake:
                indexed = self._with_standing(user_id, indexed)
            if self._embed:
                indexed = self._with_vectors(indexed)
            consumed = self._parts.writer.add(user_id, indexed)
            consumed += self._parts.writer.seal(user_id)
            if self._passes_by:
                # Nobody asks here: what is known of a user would only be counted again and again.
                self._parts.copies.drop(user_id)
            self._parts.invalidate(user_id)
            return consumed.write_units

        for units in self._each(index, by_user):
            self._spend(units)

    def standing(self, wanted: Sequence[Wanted]) -> dict[tuple[str, str], list[Standing]]:
        """What stands of messages at any of their places, by user and message id."""
        keys: dict[tuple[str, str], None] = {}
        for one in wanted:
            for message_id in one.ids:
                for timestamp_us, role in one.times:
                    day, places = places_of(one.user_id, timestamp_us, role, message_id)
                    keys |= dict.fromkeys((day, place) for place in places)
        ids = {(one.user_id, message_id) for one in wanted for message_id in one.ids}
        found: dict[tuple[str, str], list[Standing]] = {}
        for some in batches(list(keys), _AT_ONCE):
            asked = [{"user_date": day, "timestamp_type": place} for day, place in some]
            for head in self._table.batch_get(asked, consistent=True).items:
                who = (str(head.get("user_id")), str(head.get("message_id")))
                if who in ids and not self._expired(head):
                    found.setdefault(who, []).append(standing_of(head))
        return found

    def at(self, keys: Iterable[tuple[str, str]]) -> list[Standing]:
        """What stands at these keys, whatever it is."""
        asked = [{"user_date": day, "timestamp_type": place} for day, place in keys]
        found = self._table.batch_get(asked, consistent=True).items if asked else ()
        return [standing_of(head) for head in found if "message_id" in head]

    def bring(self, one: Mapped, standing: Sequence[Standing], *, thorough: bool) -> bool:
        """Makes the message stand once, as it is; answers whether anything was written.

        With `thorough` it is indexed again even if it stood as it is: whoever wrote it may have
        been killed before the index was told.

        Raises:
            ConditionFailedError: somebody else wrote it since `standing` was read.
        """
        self.take_out(gone_from_index(one, standing))
        place, wrote = self.put(one, standing)
        if wrote or thorough:
            self.index([(one, place)], keep=not wrote)
        return wrote or bool(leaving(one, standing))

    def put(self, one: Mapped, standing: Sequence[Standing]) -> tuple[str, bool]:
        """As `bring`, but for the index; answers the place, and whether the head was written.

        What leaves is to be taken out of the index before, and what was written put into it
        afterwards: then all of it can be repeated.

        Raises:
            ConditionFailedError: somebody else wrote it since `standing` was read.
        """
        wrong = leaving(one, standing)
        kept = next((s for s in standing if s not in wrong), None)
        same = kept is not None and kept.digest == one.digest
        if kept is not None and same:
            place = kept.place
        elif kept is None and wrong:
            place = self._move(one, wrong.pop(0))
        else:
            place = self._write(one, kept)
        self.delete(one.message.user_id, wrong, in_favour_of=one)
        return place, not same

    def remove(self, user_id: str, standing: Sequence[Standing]) -> None:
        """Deletes messages: from the index first, their heads last, so that it can be repeated.

        Raises:
            ConditionFailedError: see `delete`.
        """
        self.take_out((user_id, one.place) for one in standing)
        self.delete(user_id, standing)

    def delete(
        self, user_id: str, standing: Sequence[Standing], in_favour_of: Mapped | None = None
    ) -> None:
        """Deletes heads, and their parts unless they are those of one that stays.

        Raises:
            ConditionFailedError: somebody else wrote or deleted one since `standing` was read; or
                it was deleted at the first try, whose answer got lost.
        """
        if not standing:
            return
        consumed = NOTHING
        for one in standing:
            key = {"user_date": one.user_date, "timestamp_type": one.place}
            consumed += self._mark(one)
            with marked_only():
                consumed += self._table.delete(key, as_it_was(one, marked=True)).consumed
            consumed += self._drop_parts(one, in_favour_of)
        gone = {one.message_id for one in standing}
        self._parts.store.forget(lambda m: m.user_id == user_id and m.message_id in gone)
        self._parts.invalidate(user_id)
        self._spend(consumed.write_units)

    def take_out(self, gone: Iterable[tuple[str, str]]) -> None:
        """Takes messages out of the index, each a user id and a sort key: once for each user."""
        by_user: dict[str, set[str]] = {}
        for user_id, place in gone:
            if _PLACE.match(place):
                by_user.setdefault(user_id, set()).add(place)

        def take_out(user_id: str) -> float:
            places = sorted(by_user[user_id])
            consumed = self._parts.writer.remove(user_id, places)
            consumed += self._parts.others.take_out(user_id, places)
            return (consumed + self._parts.items.delete(user_id, places)).write_units

        for units in self._each(take_out, by_user):
            self._spend(units)

    def message(self, standing: Standing) -> Message | None:
        """The whole message that stands; None where its parts are gone by now.

        Raises:
            DamagedError: its content can't be put together.
        """
        if "content_parts" not in standing.head:
            return from_item(standing.head)
        read = self._parts.store.read_places(standing.head["user_id"], [standing.place])
        for _, found in read.items:
            return from_item({**standing.head, "content": found.content})
        return None

    def _move(self, one: Mapped, old: Standing) -> str:
        """Puts a message at its place and takes it from another, both or neither."""
        if one.stored.parts:
            self._write_parts(one)
        day, places = own_places(one)
        taken = {s.place for s in self.at((day, place) for place in places)}
        place = next((place for place in places if place not in taken), places[-1])
        key = {"user_date": old.user_date, "timestamp_type": old.place}
        head = {**one.stored.head, "timestamp_type": place}
        consumed = self._mark(old)
        with marked_only():
            consumed += self._table.transact(
                (
                    Write("delete", key=key, condition=as_it_was(old, marked=True)),
                    Write("put", head, condition=absent("user_date")),
                )
            )
        self._spend((consumed + self._drop_parts(old, one)).write_units)
        self._parts.store.forget(lambda m: m.message_id == old.message_id)
        self._note_aside(one, place)
        return place

    def _mark(self, standing: Standing) -> Consumed:
        """Marks what is about to be deleted, so that the stream tells who did."""
        key = {"user_date": standing.user_date, "timestamp_type": standing.place}
        change = Change(set={LEAVING: True})
        return self._table.update(key, change, as_it_was(standing)).consumed

    def _note_aside(self, one: Mapped, place: str) -> None:
        if place != first_place(one)[1]:
            self._aside.add(name_of(one))

    def _write(self, one: Mapped, kept: Standing | None) -> str:
        message = one.message
        if kept is not None:
            over = str(kept.head["content_hash"]) if "content_hash" in kept.head else None
            consumed = self._parts.store.replace(
                kept.place, message, carried=message.extra, over=over
            )
            self._spend(consumed.write_units)
            return kept.place
        if one.stored.parts:
            self._write_parts(one)
        for place in own_places(one)[1]:
            put = self._table.put_new({**one.stored.head, "timestamp_type": place})
            self._spend(put.consumed.write_units)
            # An answer may have got lost: what stands is its own first try.
            if put.new or is_same(put.existing, one):
                self._note_aside(one, place)
                return place
        raise ConditionFailedError(
            f"The message '{message.message_id:.60}' finds every key of its time and role taken.",
            "Look at that user's messages: `ialctl validate`.",
        )

    def _write_parts(self, one: Mapped) -> None:
        note = {**(one.stored.note or {}), "noted_at": int(self._parts.clock.time())}
        consumed = self._table.put(note).consumed
        self._spend((consumed + self._table.batch_write(one.stored.parts)).write_units)

    def _drop_parts(self, standing: Standing, in_favour_of: Mapped | None) -> Consumed:
        """Deletes the parts of a message that went, unless they are those of one that stays."""
        head = standing.head
        shared = in_favour_of is not None and share_parts(standing, in_favour_of)
        if "content_parts" not in head or shared:
            return NOTHING
        partition = parts_partition(head["user_id"], head["message_id"])
        numbers = range(int(head["content_parts"]))
        gone = [
            {"user_date": partition, "timestamp_type": f"{part_prefix(head)}{number:06d}"}
            for number in numbers
        ]
        return self._table.batch_write((), gone)

    def _indexed(self, one: Mapped, place: str) -> Indexed:
        vector = None if self._remake else one.vector
        if vector is None or vector.size == self._parts.embedder.dimensions:
            return Indexed(one.message, place, vector)
        return Indexed(one.message, place, kept=(f"{INLINE}{vector.size}", vector))

    def _with_standing(self, user_id: str, indexed: list[Indexed]) -> list[Indexed]:
        bare = [one.place for one in indexed if one.vector is None]
        found: dict[str, FloatArray] = {}
        for some in batches(bare, _AT_ONCE):
            for place, fetched in self._parts.items.fetch(user_id, some).messages.items():
                if fetched.vector is not None:
                    found[place] = fetched.vector
        return [
            dataclasses.replace(one, vector=found[one.place], kept=None)
            if one.vector is None and one.place in found
            else one
            for one in indexed
        ]

    def _with_vectors(self, indexed: list[Indexed]) -> list[Indexed]:
        bare = [one for one in indexed if one.vector is None]
        made = iter(self._parts.saver.embed([one.message for one in bare]).vectors)
        return [
            one if one.vector is not None else dataclasses.replace(one, vector=next(made))
            for one in indexed
        ]

    def _expired(self, head: Mapping[str, Any]) -> bool:
        ttl = head.get("ttl")
        return ttl is not None and int(ttl) <= self._parts.clock.time()
