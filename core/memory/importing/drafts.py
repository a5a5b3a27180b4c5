"""Drafts to messages: what a file leaves out is worked out, the same way at every import."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from core.errors import UsageError
from core.memory import keys
from core.memory.importing.records import Bad, Draft
from core.memory.metadata import check_metadata
from core.memory.model import Message

# Records that come without any time begin here: a day nobody takes for a real one.
UNDATED_US = 946_684_800 * keys.MICROSECONDS  # 2000-01-01
STEP_US = 1000


@dataclass(frozen=True)
class Defaults:
    """What is the same for all messages of an import; `expires_at` None: never."""

    user_id: str
    session_id: str | None = None
    expires_at: int | None = None


class MessageMaker:
    """Makes messages of one file's drafts, in the order of the file."""

    def __init__(self, defaults: Defaults) -> None:
        self._defaults = defaults
        self._last_us = UNDATED_US - STEP_US
        self._own_session: str | None = None

    def make(self, draft: Draft) -> Message | Bad:
        """The message of a draft, or why there is none.

        A draft without a time stands a millisecond after the one before it. A draft without an
        id is named by its session, time, role and content; one without a session belongs to a
        session that is named by the file's first such message.
        """
        when = draft.timestamp_us
        dated = when is not None
        if when is None:
            when = self._last_us + STEP_US
        session = self._defaults.session_id or draft.session_id or self._session_of(draft)
        message = Message(
            user_id=self._defaults.user_id,
            session_id=session,
            message_id=draft.message_id or _digest(session, str(when), draft.role, draft.content),
            timestamp_us=when,
            role=draft.role,
            content=draft.content,
            metadata={**draft.metadata, **({} if dated else {"undated": True})},
            tokens=draft.tokens,
            expires_at=self._defaults.expires_at,
        )
        try:
            keys.check_message(message)
            check_metadata(message.metadata)
        except UsageError as error:
            return Bad(draft.number, error.what)
        self._last_us = when
        return message

    def _session_of(self, draft: Draft) -> str:
        if self._own_session is None:
            first = _digest(str(draft.timestamp_us), draft.role, draft.content)
            self._own_session = f"import-{first[:12]}"
        return self._own_session


def _digest(*parts: str) -> str:
    # Surrogates are refused later, with a sentence; here they must only not get in the way.
    joined = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(joined).hexdigest()[:32]
