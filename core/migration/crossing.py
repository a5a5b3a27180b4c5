"""Where copying and following meet: an item is in one hand at a time.

A copy writes what a page of the scan held; meanwhile the follower may have brought the same item
to a newer state. So the follower announces a key before it reads the item, and waits while the
key is in a copy's hands; a copy leaves out each key that was announced since its page was asked
for, or is in the follower's hands. What a copy writes was therefore read after all that the
follower brought of it before.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Self

Key = tuple[str, str]
"""A legacy key: user id and sort key."""


class Ticket:
    """One page's way through, from before it is asked for until it is written."""

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self.announced: set[Key] = set()
        self.held: set[Key] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def claim(self, keys: Iterable[Key]) -> set[Key]:
        """Takes those of the keys that are not announced; the rest is the follower's."""
        return self._crossing.claim(self, keys)

    def close(self) -> None:
        """Gives back what was taken."""
        self._crossing.close(self)


class Crossing:
    """Which keys are in a copy's hands. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: set[Ticket] = set()
        self._followed: set[Key] = set()

    def open(self) -> Ticket:
        """A ticket for a page that has not been asked for yet."""
        ticket = Ticket(self)
        with self._changed:
            self._open.add(ticket)
        return ticket

    def claim(self, ticket: Ticket, keys: Iterable[Key]) -> set[Key]:
        """See `Ticket.claim`."""
        with self._changed:
            left = ticket.announced | self._followed
            taken = {key for key in keys if key not in left}
            ticket.held |= taken
        return taken

    def close(self, ticket: Ticket) -> None:
        """See `Ticket.close`."""
        with self._changed:
            self._open.discard(ticket)
            ticket.held.clear()
            self._changed.notify_all()

    def announce(self, keys: Iterable[Key]) -> None:
        """The follower is about to read these items: no copy takes them from now on."""
        wanted = set(keys)
        with self._changed:
            self._followed = wanted
            for ticket in self._open:
                ticket.announced |= wanted

    def done(self) -> None:
        """The follower has brought what it announced."""
        with self._changed:
            self._followed = set()

    def is_busy(self, keys: Iterable[Key]) -> bool:
        """Whether one of the keys is in a copy's hands."""
        with self._changed:
            return any(not ticket.held.isdisjoint(keys) for ticket in self._open)

    def wait(self, timeout_s: float) -> None:
        """Waits until a copy gives something back, at most so long."""
        with self._changed:
            self._changed.wait(timeout_s)
