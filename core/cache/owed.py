"""Invalidations that Redis has not confirmed yet: until then it is not believed on these tags."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# More than this many tags owed, and it is simpler to owe everything.
MOST_TAGS = 10_000


@dataclass(frozen=True)
class Debt:
    """Invalidations to be sent, each with the number of the latest call for it."""

    tags: Mapping[str, int]
    everything: int | None = None

    def __bool__(self) -> bool:
        return bool(self.tags) or self.everything is not None


class Owed:
    """The tags whose invalidation is owed. Thread-safe."""

    def __init__(self, most_tags: int = MOST_TAGS) -> None:
        self._most_tags = most_tags
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._tags: dict[str, int] = {}
        self._everything: int | None = None
        # Calls that are under way: nobody else need pay for them yet.
        self._in_hand: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._tags) or self._everything is not None

    def __len__(self) -> int:
        return len(self._tags)

    def owe(self, tags: Sequence[str]) -> Debt:
        """Notes an invalidation that begins now; its caller pays it, and calls `end`."""
        with self._lock:
            number = next(self._numbers)
            self._in_hand.add(number)
            self._tags.update(dict.fromkeys(tags, number))
            if len(self._tags) > self._most_tags:
                self._tags.clear()
                self._everything = next(self._numbers)
            return Debt(dict.fromkeys(tags, number))

    def owe_everything(self) -> Debt:
        """The same for all values."""
        with self._lock:
            self._everything = next(self._numbers)
            self._in_hand.add(self._everything)
            return Debt({}, self._everything)

    def covers(self, tags: Iterable[str]) -> bool:
        """True where a value with these tags can't be believed."""
        if not self:
            return False
        with self._lock:
            return self._everything is not None or any(tag in self._tags for tag in tags)

    def left(self, most: int) -> Debt:
        """What nobody is paying; no more than `most` tags of it."""
        with self._lock:
            tags = ((t, n) for t, n in self._tags.items() if n not in self._in_hand)
            everything = None if self._everything in self._in_hand else self._everything
            return Debt(dict(itertools.islice(tags, most)), everything)

    def end(self, debt: Debt, *, paid: bool) -> None:
        """Ends a payment; what was paid is forgotten, unless it was called for again meanwhile."""
        with self._lock:
            self._in_hand.difference_update(debt.tags.values())
            self._in_hand.discard(debt.everything or 0)
            if not paid:
                return
            for tag, number in debt.tags.items():
                if self._tags.get(tag) == number:
                    del self._tags[tag]
            if debt.everything is not None and debt.everything == self._everything:
                self._everything = None
