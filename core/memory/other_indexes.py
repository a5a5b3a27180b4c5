"""What stands of users in the index's other generations, which this process does not search."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from core.aws.capacity import NOTHING, Consumed
from core.aws.table import Table
from core.clock import Clock, Ids
from core.memory.index.copies import Copies
from core.memory.index.items import MessageItems
from core.memory.index.partition import partition_of
from core.memory.index.writer import IndexWriter
from core.memory.scope import Scope
from core.memory.sweeping import Grounds, Sweep, Swept


class IndexSweep(Sweep):
    """A pass over what an index holds, whatever stands in the history; that is left as it is."""

    def run(self) -> Swept:
        """Finds, and deletes if that was asked for; `places` are all that the index named."""
        places: set[str] = set()
        embeddings = self._grounds.embeddings
        if self._scope.whole:
            self._partition(embeddings, partition_of(self._scope.user_id), "index_entries")
            for page in self._items():
                places |= {str(item["embedding_id"]) for item in page}
                self._remove(embeddings, page, "vectors")
            return self._swept(places)
        rows = self._rows()
        items = [item for page in self._items() for item in page]
        named = {str(item["embedding_id"]) for item in items}
        days = {*self._listed_days(), *self._days({*rows, *named, *self._own})}
        heads = {str(head["timestamp_type"]) for page in self._heads(days) for head in page}
        # A row does not tell its message's id; the message does, and the vector.
        places = {*rows, *named, *(heads & self._indexed.keys())}
        self._from_index(sorted(places))
        self._remove(embeddings, items, "vectors")
        return self._swept(places)


class OtherIndexes:
    """Removes from the other generations what is removed or changed. Thread-safe.

    Which ones there are is asked anew each time. Raises what `Table` raises.
    """

    def __init__(
        self,
        elsewhere: Callable[[], Mapping[str, Table]],
        model: tuple[str, int],
        clock: Clock,
        ids: Ids,
    ) -> None:
        """`elsewhere` asks for their embeddings, by name."""
        self._elsewhere, self._model, self._clock, self._ids = elsewhere, model, clock, ids

    def sweep(
        self, grounds: Grounds, scope: Scope, own: Iterable[str], *, delete: bool
    ) -> Mapping[str, Swept]:
        """What each generation holds within a scope, by name; deleted if that is asked for."""
        places = tuple(own)
        return {
            name: IndexSweep(
                dataclasses.replace(grounds, embeddings=table),
                self._writer(table),
                scope,
                places,
                delete=delete,
            ).run()
            for name, table in self._elsewhere().items()
        }

    def take_out(self, user_id: str, places: Sequence[str]) -> Consumed:
        """Takes messages out that say something else now; their index makes up for it later."""
        consumed = NOTHING
        for table in self._elsewhere().values():
            consumed += self._writer(table).remove(user_id, places)
            consumed += self._items(table).delete(user_id, places)
        return consumed

    def _writer(self, table: Table) -> IndexWriter:
        # It only takes rows out, for which their model does not matter; nothing is kept of it.
        copies = Copies(*self._model)
        return IndexWriter(table, copies, self._items(table), self._model, self._clock, self._ids)

    def _items(self, table: Table) -> MessageItems:
        return MessageItems(table, *self._model)
