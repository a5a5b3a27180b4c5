"""A user's index in the table: a partition that is a log of small and large runs of messages.

Sort keys, in `{user}#segments` of conversation-embeddings:

    L#{µs:016d}#e{token}   a save: its rows and their terms
    L#{µs:016d}#s{digest}  a segment: many rows, packed; its terms are under T
    L#{µs:016d}#x{token}   a removal: rows that are gone; expires by itself
    L$                     a token, drawn when the partition was begun
    T#{µs:016d}#s{digest}  the terms of that segment

Whoever reads takes the union; of rows with the same place the one with the highest key holds. So a
segment may stand beside the saves it was sealed from, two processes may seal the same ones, and
either may be killed at any point: nothing is hidden, nothing doubled.

The token stands after the log, so that whoever asks for what is new reads it along at no cost.
Where it has changed or gone, all that was there has been deleted: copies of it are worth nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.aws.capacity import Consumed, in_turn
from core.aws.codec import Item
from core.aws.requests import Key, KeyRange, Query
from core.aws.table import Table, query_pages
from core.errors import DamagedError
from core.memory.index.block import NEVER, Block, Postings
from core.memory.index.packing import (
    pack_block,
    pack_postings,
    unpack_block,
    unpack_postings,
)
from core.memory.keys import check_user, encoded

SEGMENT_ROWS = 128
LOG, TERMS = "L#", "T#"
BEGUN = "L$"
_END = "~"
FORGOTTEN_DAYS = 2
"""How long a removal is told to other processes; longer than any keeps its copy unasked."""
# Of an item: its sort key, and the names of its attributes.
_KEY_BYTES = 80
MAX_PAGES = 8
"""Pages of 1 MB that are read of a partition; about 150,000 messages."""


@dataclass(frozen=True)
class Run:
    """An item of the log as read. `terms` is None where they stand in an item of their own.

    `bytes` are about what reading it takes.
    """

    key: str
    block: Block
    terms: Postings | None
    bytes: int = 0

    @property
    def sealed(self) -> bool:
        """Whether it is a segment."""
        return kind_of(self.key) == "s"


@dataclass(frozen=True)
class Read:
    """Runs in order of their keys; `damaged` says what could not be read, and why.

    `last` is the highest key there was, damaged or not; `token` the partition's, None without one.
    """

    runs: tuple[Run, ...]
    consumed: Consumed
    last: str | None = None
    complete: bool = True
    damaged: tuple[str, ...] = ()
    token: str | None = None


@dataclass(frozen=True)
class Terms:
    """Terms of segments, by the segment's key."""

    by_key: Mapping[str, Postings]
    consumed: Consumed
    damaged: tuple[str, ...] = ()


def partition_of(user_id: str) -> str:
    """The partition of a user's index.

    Raises:
        UsageError: a user id that no message can have.
    """
    check_user(user_id)
    return f"{encoded(user_id)}#segments"


def kind_of(key: str) -> str:
    """`e` of a save, `s` of a segment, `x` of a removal."""
    return key.rsplit("#", 1)[1][:1]


def time_of(key: str) -> int:
    """The microseconds in a key."""
    return int(key.split("#")[1])


def terms_key(key: str) -> str:
    """Where the terms of a segment stand."""
    return TERMS + key.removeprefix(LOG)


class IndexPartition:
    """Reads and writes users' index partitions. Thread-safe; raises what `Table` raises."""

    def __init__(self, embeddings: Table) -> None:
        self._table = embeddings

    def read(self, user_id: str, after: str | None = None, *, consistent: bool = False) -> Read:
        """The newest runs: all, or those after a key. Bounded by MAX_PAGES, then not complete."""
        low = LOG if after is None else f"{after} "
        query = Query(
            partition_of(user_id),
            KeyRange(low=low, high=BEGUN),
            ascending=after is not None,
            consistent=consistent,
        )
        pages = [self._table.query(query)]
        while pages[-1].next_key is not None and len(pages) < MAX_PAGES:
            pages.append(self._table.query(query, pages[-1].next_key))
        items = [item for page in pages for item in page.items]
        return _read(items, in_turn(p.consumed for p in pages), complete=pages[-1].next_key is None)

    def begin(self, user_id: str, token: str) -> tuple[str, Consumed]:
        """Gives the partition this token unless it has one; answers the one it has."""
        put = self._table.put_new({**_key(partition_of(user_id), BEGUN), "token": token})
        return str((put.existing or {"token": token})["token"]), put.consumed

    def token(self, user_id: str) -> tuple[str | None, Consumed]:
        """The partition's token as it stands this moment."""
        got = self._table.get(_key(partition_of(user_id), BEGUN), consistent=True)
        return (None if got.item is None else str(got.item["token"])), got.consumed

    def read_exactly(self, user_id: str, since: str = LOG) -> Read:
        """All runs from a key on as they stand this moment, in as many pages as there are."""
        query = Query(partition_of(user_id), KeyRange(low=since, high=LOG + _END), consistent=True)
        pages = list(query_pages(self._table, query))
        items = [item for page in pages for item in page.items]
        return _read(items, in_turn(p.consumed for p in pages), complete=True)

    def newest_us(self, user_id: str) -> tuple[int, Consumed]:
        """The time in the highest key there is this moment; 0 where there is none."""
        query = Query(
            partition_of(user_id),
            KeyRange(low=LOG, high=LOG + _END),
            ascending=False,
            limit=1,
            attributes=("embedding_id",),
            consistent=True,
        )
        page = self._table.query(query)
        return max((time_of(str(i["embedding_id"])) for i in page.items), default=0), page.consumed

    def newest_terms(self, user_id: str, segments: int, below: str | None = None) -> Terms:
        """The terms of so many newest segments, in one request; `below` a segment's key, or all."""
        high = TERMS + _END if below is None else _before(terms_key(below))
        query = Query(
            partition_of(user_id),
            KeyRange(low=TERMS, high=high),
            ascending=False,
            limit=segments,
        )
        page = self._table.query(query)
        return read_terms(page.items, page.consumed)

    def all_terms(self, user_id: str, keys: Sequence[str]) -> Terms:
        """The terms of these segments."""
        if not keys:
            return Terms({}, Consumed())
        partition = partition_of(user_id)
        wanted = [{"user_chunk": partition, "embedding_id": terms_key(key)} for key in keys]
        page = self._table.batch_get(wanted)
        return read_terms(page.items, page.consumed)

    def save_item(self, user_id: str, key: str, block: Block, terms: Postings) -> Item:
        """The item of a save, or (`terms` empty) of a removal."""
        return _with_expiry(
            {
                "user_chunk": partition_of(user_id),
                "embedding_id": key,
                "rows": pack_block(block),
                "terms": pack_postings(terms, len(block)),
            },
            block,
        )

    def put_segment(
        self, user_id: str, at_us: int, block: Block, terms: Postings
    ) -> tuple[str, Consumed]:
        """Writes a segment, its terms first; the same rows give the same key, which it answers."""
        rows, words = pack_block(block), pack_postings(terms, len(block))
        digest = hashlib.sha256(rows + words).hexdigest()[:12]
        key = f"{LOG}{at_us:016d}#s{digest}"
        partition = partition_of(user_id)
        core = {"user_chunk": partition, "embedding_id": key, "rows": rows}
        other = {"user_chunk": partition, "embedding_id": terms_key(key), "terms": words}
        consumed = self._table.put(_with_expiry(other, block)).consumed
        return key, consumed + self._table.put(_with_expiry(core, block)).consumed

    def delete(self, user_id: str, keys: Iterable[str]) -> Consumed:
        """Deletes runs, each before its terms: terms without a run are found by no one."""
        partition = partition_of(user_id)
        runs = list(dict.fromkeys(keys))
        consumed = self._table.batch_write((), [_key(partition, key) for key in runs])
        segments = [_key(partition, terms_key(key)) for key in runs if kind_of(key) == "s"]
        return consumed + self._table.batch_write((), segments) if segments else consumed


def _before(key: str) -> str:
    """A key below this one and above all lower ones that there are: its last character less one."""
    return key[:-1] + chr(ord(key[-1]) - 1) + _END


def _key(partition: str, sort_key: str) -> Key:
    return {"user_chunk": partition, "embedding_id": sort_key}


def _with_expiry(item: dict[str, Any], block: Block) -> Item:
    # An item may go by itself once the last of its rows has expired.
    if len(block) and not np.any(block.expires == NEVER):
        item["ttl"] = int(block.expires.max())
    return item


def _read(found: Sequence[Mapping[str, Any]], consumed: Consumed, *, complete: bool) -> Read:
    runs, damaged = [], []
    items = [item for item in found if item["embedding_id"] != BEGUN]
    token = next((str(i.get("token")) for i in found if i["embedding_id"] == BEGUN), None)
    for item in sorted(items, key=lambda i: str(i["embedding_id"])):
        try:
            runs.append(_run(item))
        except DamagedError as error:
            damaged.append(f"{item['embedding_id']}: {error.what}")
    last = max((str(item["embedding_id"]) for item in items), default=None)
    return Read(tuple(runs), consumed, last, complete, tuple(damaged), token)


def _run(item: Mapping[str, Any]) -> Run:
    key, rows = str(item["embedding_id"]), _bytes(item, "rows")
    block = unpack_block(rows)
    size = _KEY_BYTES + len(str(item["user_chunk"])) + len(rows)
    if "terms" not in item:
        return Run(key, block, None, size)
    return Run(key, block, _postings(item, len(block)), size + len(_bytes(item, "terms")))


def read_terms(items: Iterable[Mapping[str, Any]], consumed: Consumed) -> Terms:
    """The terms in items of segments' terms."""
    found, damaged = {}, []
    for item in items:
        key = LOG + str(item["embedding_id"]).removeprefix(TERMS)
        try:
            found[key] = unpack_postings(_bytes(item, "terms"))[0]
        except DamagedError as error:
            damaged.append(f"{item['embedding_id']}: {error.what}")
    return Terms(found, consumed, tuple(damaged))


def _postings(item: Mapping[str, Any], rows: int) -> Postings:
    postings, of_rows = unpack_postings(_bytes(item, "terms"))
    if of_rows != rows:
        raise DamagedError(
            f"An entry of the index holds terms of {of_rows} messages beside {rows} messages.",
            "Index the user's messages again: `ialctl index`.",
        )
    return postings


def _bytes(item: Mapping[str, Any], name: str) -> bytes:
    value = item.get(name)
    if not isinstance(value, bytes | bytearray):
        raise DamagedError(
            f"An entry of the index has no bytes under '{name}'.",
            "Index the user's messages again: `ialctl index`.",
        )
    return bytes(value)
