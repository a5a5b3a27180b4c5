"""LoCoMo (snap-research): long dated conversations of two speakers, in numbered sessions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import IO, Any

from core.memory.importing.arrays import objects
from core.memory.importing.records import Bad, Draft, UnusableError, as_object, required
from core.memory.keys import MICROSECONDS

_SESSION = re.compile(r"session_([0-9]{1,6})")
_DATE_FORMAT = "%I:%M %p on %d %B, %Y"


def read_locomo(stream: IO[bytes], sample: str | None = None) -> Iterator[Draft | Bad]:
    """The turns of all samples, or of one; records are numbered over the whole file."""
    number = 0
    for place, value in objects(stream):
        if isinstance(value, Bad):
            yield Bad(number + 1, f"sample {place}: {value.reason}")
            return
        try:
            record = as_object(value)
            name = str(record.get("sample_id") or f"sample-{place}")
            conversation = as_object(required(record, "conversation"))
        except UnusableError as error:
            number += 1
            yield Bad(number, f"sample {place}: {error}")
            continue
        if sample is not None and name != sample:
            continue
        for found in _turns(name, conversation, number):
            number += 1
            yield found


def _turns(sample: str, conversation: Mapping[str, Any], number: int) -> Iterator[Draft | Bad]:
    sessions = sorted(
        (int(match[1]), key) for key in conversation if (match := _SESSION.fullmatch(key))
    )
    for session, key in sessions:
        turns = conversation[key]
        if not isinstance(turns, list):
            number += 1
            yield Bad(number, f"{sample} session {session}: it is not a list of turns")
            continue
        begin_us = _date(conversation.get(f"{key}_date_time"))
        for order, turn in enumerate(turns):
            number += 1
            when = None if begin_us is None else begin_us + order * MICROSECONDS
            try:
                yield _turn(number, sample, session, as_object(turn), conversation, when)
            except UnusableError as error:
                yield Bad(number, f"{sample} session {session}, turn {order + 1}: {error}")


def _turn(
    number: int,
    sample: str,
    session: int,
    turn: Mapping[str, Any],
    conversation: Mapping[str, Any],
    when: int | None,
) -> Draft:
    speaker = str(required(turn, "speaker"))
    dia_id = str(required(turn, "dia_id"))
    text = required(turn, "text")
    if not isinstance(text, str):
        raise UnusableError("its 'text' is not a text")
    caption = turn.get("blip_caption")
    return Draft(
        number=number,
        role="user" if speaker == conversation.get("speaker_a") else "assistant",
        content=f"{text} [shares {caption}]" if caption else text,
        session_id=f"{sample}-session-{session}",
        timestamp_us=when,
        message_id=f"{sample}-{dia_id}",
        metadata={"speaker": speaker, "dia_id": dia_id, "sample_id": sample},
    )


def _date(value: object) -> int | None:
    # A session without a readable date goes on from the one before it.
    try:
        moment = datetime.strptime(str(value).strip(), _DATE_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) * MICROSECONDS
