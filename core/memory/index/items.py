"""Messages as items of conversation-embeddings: the vector, and the text that a context shows.

An item read for its exact vector brings the text along: both cost one half of a read unit, where
two items would cost two. So the beginning of the text stands here a second time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.aws.capacity import NOTHING, Consumed
from core.aws.codec import Item
from core.aws.requests import Key
from core.aws.table import Table
from core.errors import DamagedError
from core.llm.embedder import FloatArray
from core.memory.chunks import similarity_hash, user_chunk
from core.memory.index.known import Text
from core.memory.index.native import native_attributes
from core.memory.index.partition import partition_of, terms_key
from core.memory.index.rows import Indexed
from core.memory.model import Message
from core.memory.vectors import pack, unpack


@dataclass(frozen=True, eq=False)
class Fetched:
    """A message's item as read. `vector` is None where it holds none of the model asked for.

    `message` ends where the text does.
    """

    message: Message
    text: Text
    vector: FloatArray | None
    damaged: str | None = None


@dataclass(frozen=True, eq=False)
class Batch:
    """Messages' items by place, other items as they are, and which places nothing stands at."""

    messages: Mapping[str, Fetched]
    terms: tuple[Mapping[str, Any], ...]
    missing: tuple[str, ...]
    consumed: Consumed


NO_BATCH = Batch({}, (), (), NOTHING)


class MessageItems:
    """Messages' vectors and texts in the embeddings table. Thread-safe; raises as `Table` does."""

    def __init__(
        self, embeddings: Table, model: str, dimensions: int, *, native: bool = False
    ) -> None:
        """`native`: the table has a vector index of its own, which wants vectors as numbers."""
        self._native = native
        self._table = embeddings
        self._model = (model, dimensions)

    def item(self, indexed: Indexed) -> Item:
        """The item of a message."""
        message = indexed.message
        text = Text.of(message)
        item: dict[str, Any] = {
            **_key(message.user_id, indexed.place),
            "user_id": message.user_id,
            "session_id": message.session_id,
            "message_id": message.message_id,
            "timestamp": message.timestamp_us,
            "role": message.role,
            "content": text.content,
            "characters": text.characters,
        }
        if message.metadata:
            item["metadata"] = dict(message.metadata)
        if message.expires_at is not None:
            item["ttl"] = message.expires_at
        if indexed.vector is None and indexed.kept is not None:
            model, vector = indexed.kept
            own = {"vector_compressed": pack(vector), "model": model, "dimensions": vector.size}
            return {**item, **own}
        return {**item, **self.vector_attributes(indexed.vector)}

    def vector_attributes(self, vector: FloatArray | None) -> Item:
        """What an item holds of a vector; nothing for None."""
        if vector is None:
            return {}
        model, dimensions = self._model
        more = native_attributes(vector) if self._native else {}
        return {
            **more,
            "vector_compressed": pack(vector),
            "similarity_hash": similarity_hash(vector, model),
            "model": model,
            "dimensions": dimensions,
        }

    def fetch(self, user_id: str, places: Sequence[str], terms_of: Sequence[str] = ()) -> Batch:
        """The items of these places, and the terms of these segments, in one request up to 100."""
        partition = partition_of(user_id)
        keys = [_key(user_id, place) for place in places]
        keys += [{"user_chunk": partition, "embedding_id": terms_key(key)} for key in terms_of]
        if not keys:
            return NO_BATCH
        page = self._table.batch_get(keys)
        found = [item for item in page.items if item["user_chunk"] != partition]
        messages = {str(item["embedding_id"]): self._fetched(item) for item in found}
        return Batch(
            messages,
            tuple(item for item in page.items if item["user_chunk"] == partition),
            tuple(place for place in places if place not in messages),
            page.consumed,
        )

    def delete(self, user_id: str, places: Sequence[str]) -> Consumed:
        """Deletes the items of these places."""
        return self._table.batch_write((), [_key(user_id, place) for place in places])

    def _fetched(self, item: Mapping[str, Any]) -> Fetched:
        content = str(item.get("content", ""))
        text = Text(
            str(item.get("message_id", item["embedding_id"])),
            content,
            int(item.get("characters", len(content))),
            item.get("metadata") or {},
        )
        message = _message(item, text)
        if (item.get("model"), item.get("dimensions")) != self._model:
            return Fetched(message, text, None)
        try:
            vector = unpack(item.get("vector_compressed", b""))
        except DamagedError as error:
            return Fetched(message, text, None, error.what)
        if vector.size != self._model[1]:
            return Fetched(message, text, None, f"It has {vector.size} dimensions.")
        return Fetched(message, text, vector)


def _message(item: Mapping[str, Any], text: Text) -> Message:
    expiry = item.get("ttl")
    return Message(
        str(item.get("user_id", "")),
        str(item.get("session_id", "")),
        text.message_id,
        int(item.get("timestamp", 0)),
        str(item.get("role", "")),
        text.content,
        text.metadata,
        expires_at=None if expiry is None else int(expiry),
    )


def _key(user_id: str, place: str) -> Key:
    return {"user_chunk": user_chunk(user_id, place), "embedding_id": place}
