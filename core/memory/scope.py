"""What is to be forgotten: all of a user, a session, a message, what is old, or certain places."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import UsageError
from core.memory import keys

MOST_DAYS = 36_500
_DAY_S = 86_400


@dataclass(frozen=True)
class Scope:
    """Which of a user's messages are meant; without any bound all of them.

    `message_id` may be a message's sort key as well. `before_us` are microseconds, not included.
    """

    user_id: str
    session_id: str | None = None
    message_id: str | None = None
    before_us: int | None = None
    places: frozenset[str] | None = None

    @property
    def whole(self) -> bool:
        """Whether all of the user is meant."""
        return self == Scope(self.user_id)

    @property
    def legacy(self) -> bool:
        """Whether the legacy tables' messages are meant too: those bounds that they know."""
        return self.before_us is None and self.places is None

    def covers(self, place: str, session_id: str | None, message_id: str | None) -> bool:
        """Whether the message at a sort key is meant."""
        return (
            (self.session_id is None or self.session_id == session_id)
            and (self.message_id is None or self.message_id in (message_id, place))
            and (self.before_us is None or time_of_place(place) < self.before_us)
            and (self.places is None or place in self.places)
        )

    def check(self, *, archives: bool = False) -> None:
        """Refuses ids that no message can have; with `archives` all but a whole user.

        Raises:
            UsageError: an id is empty, too long, or not text; or a session and a message are named.
        """
        keys.check_user(self.user_id)
        if self.session_id is not None:
            keys.check_session(self.session_id)
        if self.message_id is not None:
            keys.check_message_id(self.message_id)
        if self.session_id is not None and self.message_id is not None:
            raise UsageError(
                "A session and a message were named; only one of them can be forgotten at once.",
                "Name one of them: `--session ID` or `--message ID`.",
            )
        if archives and not self.whole:
            raise UsageError(
                "Archives are deleted with the whole user only.",
                "Leave out `--archives`, or `--session` and `--message`.",
            )

    def __str__(self) -> str:
        parts = [f"user '{self.user_id}'"]
        parts += [f"session '{self.session_id}'"] if self.session_id is not None else []
        parts += [f"message '{self.message_id}'"] if self.message_id is not None else []
        return ", ".join(parts)


def older_than(user_id: str, days: float, now_s: float) -> Scope:
    """The messages of a user that are older than so many days.

    Raises:
        UsageError: less than no days, or a number that is none.
    """
    if not 0 <= days < MOST_DAYS:
        raise UsageError(f"{days} is no age in days.", f"Give 0 to {MOST_DAYS} days.")
    before_us = max(0, int((now_s - days * _DAY_S) * keys.MICROSECONDS))
    return Scope(user_id, before_us=before_us)


def time_of_place(place: str) -> int:
    """The microseconds that a sort key begins with; 0 where it begins with something else."""
    time = place.split("#", 1)[0]
    return int(time) if time.isascii() and time.isdecimal() else 0
