"""What a message, its vector and its row of the index say of each other. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from core.validation.reading import HeadSeen
from core.validation.reading_vectors import Row, VectorSeen


def disagreements(
    head: HeadSeen | None, item: VectorSeen | None, row: Row | None, now_s: float
) -> frozenset[str]:
    """The kinds of what is wrong between the three; None is what does not stand.

    A row that says that its message is gone, or that has expired, is to be left out.
    """
    if head is None:
        return frozenset(_without_message(item, row, now_s))
    if head.about is None:
        # What is wrong with the message itself comes first: nothing can be held against it.
        return frozenset()
    expired = 0 < head.ttl <= now_s
    return frozenset((*_of_item(head, item), *_of_row(head, item, row, expired=expired)))


def _without_message(item: VectorSeen | None, row: Row | None, now_s: float) -> Iterator[str]:
    if item is not None and not 0 < item.ttl <= now_s:
        yield "vector_without_message"
    if row is not None:
        yield "row_without_message"


def _of_item(head: HeadSeen, item: VectorSeen | None) -> Iterator[str]:
    if item is None or item.about is None:
        return
    if item.about != head.about:
        yield "vector_disagrees"
    if head.text is not None and item.text != head.text:
        yield "stale_vector"
    if item.ttl != head.ttl:
        yield "expiry_disagrees"


def _of_row(
    head: HeadSeen, item: VectorSeen | None, row: Row | None, *, expired: bool
) -> Iterator[str]:
    if expired:
        if row is not None:
            yield "expired_indexed"
        return
    if row is None:
        yield "unindexed"
        return
    if row.session != head.session:
        yield "row_disagrees"
    if row.ttl != head.ttl:
        yield "expiry_disagrees"
    if item is None:
        yield "row_without_item"
