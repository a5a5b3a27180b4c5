"""Rows of an index as others see them: one by one, and beside each other. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.memory.index.block import Voice
from core.memory.index.known import Text
from core.memory.model import Message

RowArray = npt.NDArray[np.int32]
_NONE = -1


@dataclass(frozen=True)
class RowView:
    """What a row says of its message."""

    row: int
    place: str
    timestamp_us: int
    session_id: str
    voice: Voice


def message_of(user_id: str, view: RowView, text: Text) -> Message:
    """The message of a row and its text; the content ends where the text does."""
    return Message(
        user_id,
        view.session_id,
        text.message_id,
        view.timestamp_us,
        view.voice.role,
        text.content,
        text.metadata,
    )


def neighbours(
    session_of: RowArray, times: npt.NDArray[np.int64], alive: npt.NDArray[np.bool_]
) -> tuple[RowArray, RowArray]:
    """The rows before and after each in its session, in order of time; -1: there is none."""
    rows = np.nonzero(alive)[0]
    order = rows[np.lexsort((times[rows], session_of[rows]))]
    same = session_of[order][1:] == session_of[order][:-1]
    before = np.full(len(times), _NONE, np.int32)
    after = np.full(len(times), _NONE, np.int32)
    before[order[1:][same]] = order[:-1][same]
    after[order[:-1][same]] = order[1:][same]
    return before, after
