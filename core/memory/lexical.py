"""Search by words: BM25 over a user's newest messages, read anew at every search."""

from __future__ import annotations

import heapq

from core.aws.capacity import NOTHING
from core.memory import bm25
from core.memory.model import Message, Messages
from core.memory.retrieval import Hit, Hits
from core.memory.store import ConversationStore

MAX_MESSAGES = 20_000
MAX_CHARACTERS = 32 * 1024 * 1024
SOURCE = "lexical"


class LexicalRetriever:
    """BM25 over the newest messages, bounded in number and size."""

    def __init__(
        self,
        store: ConversationStore,
        *,
        max_messages: int = MAX_MESSAGES,
        max_characters: int = MAX_CHARACTERS,
        weights: bm25.Weights = bm25.DEFAULT,
    ) -> None:
        self._store = store
        self._max_messages = max_messages
        self._max_characters = max_characters
        self._weights = weights

    def search(self, user_id: str, query: str, limit: int) -> Hits:
        """At most `limit` messages that share words with `query`, best first."""
        read = self._read(user_id)
        messages = sorted(read.items, key=lambda m: (m.session_id, m.timestamp_us, m.message_id))
        scores = bm25.score(query, messages, self._weights)
        # Of equal scores the later message wins: what was said last is what holds.
        best = heapq.nlargest(
            limit, scores, key=lambda place: (scores[place], messages[place].timestamp_us, place)
        )
        hits = tuple(Hit(scores[place], SOURCE, messages[place]) for place in best)
        return Hits(hits, read.consumed, len(messages), read.complete)

    def _read(self, user_id: str) -> Messages:
        found: list[Message] = []
        consumed = NOTHING
        room = self._max_characters
        for page in self._store.read_all(user_id):
            consumed += page.consumed
            for message in page.items:
                room -= len(message.content)
                if len(found) == self._max_messages or room < 0:
                    return Messages(tuple(found), consumed, complete=False)
                found.append(message)
        return Messages(tuple(found), consumed)
