"""Which histories a benchmark runs over: made ones of stated sizes, or those of a file."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO

from core.benchmark.evaluation.dataset import MAX_BYTES, Conversation, read_dataset
from core.benchmark.layouts.conversations import USER, made_conversation, probed
from core.benchmark.layouts.plan import MOST_MESSAGES, History, Scenario
from core.clock import Clock
from core.errors import UsageError
from core.memory.importing import formats
from core.memory.importing.drafts import Defaults, MessageMaker
from core.memory.importing.records import Bad
from core.memory.importing.source import Source, open_source
from core.memory.keys import MICROSECONDS
from core.memory.model import Message

_DAY_S, _EVENING_S = 86_400, 6 * 3600
_LEAST = 2


@dataclass(frozen=True)
class Given:
    """The scenario of a file, the file's name, and the SHA-256 of what it holds, as hex."""

    scenario: Scenario
    name: str
    digest: str


def made_scenarios(sizes: Sequence[int], seed: int, clock: Clock) -> tuple[Scenario, ...]:
    """A history of each size; it ended yesterday.

    Raises:
        UsageError: a size that shows nothing, or that no machine has the time for.
    """
    for size in sizes:
        if not _LEAST <= size <= MOST_MESSAGES:
            raise UsageError(
                f"A history of {size:,} messages can't be measured.",
                f"Name sizes from {_LEAST} to {MOST_MESSAGES:,}.",
            )
    last_us = _last_us(clock)
    return tuple(_made(size, seed, last_us) for size in sorted(set(sizes)))


def many_users(users: int, messages: int, seed: int, clock: Clock) -> Scenario:
    """So many users, with a history each.

    Raises:
        UsageError: fewer than one, or more messages in all than a machine has the time for.
    """
    if users < 1 or messages < _LEAST or users * messages > 10 * MOST_MESSAGES:
        raise UsageError(
            f"{users:,} users with {messages:,} messages each can't be loaded.",
            f"Name 1 user or more, with {_LEAST} messages or more, and no more than "
            f"{10 * MOST_MESSAGES:,} in all.",
        )
    last_us = _last_us(clock)
    made = made_conversation(messages, seed, last_us=last_us)
    histories = (History(f"{USER}-u{number:06d}", made) for number in range(users))
    return Scenario(f"{users:,} × {messages:,}", tuple(histories))


def file_scenario(file: str, stdin: IO[bytes], seed: int) -> Given:
    """The conversations of a LoCoMo file, each a history; or the messages of another, as one.

    A file that brings no questions gets them of its own words (see `probed`).

    Raises:
        StorageError: the file can't be read.
        UsageError: it is no file of conversations, or holds too few or too many messages.
    """
    with open_source(file, stdin) as source:
        chosen = _format(source)
        raw = source.stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise UsageError(f"'{file}' takes more than {MAX_BYTES >> 20} MiB.", "Take a part of it.")
    name = source.name if file == "-" else PurePath(file).name
    digest = hashlib.sha256(raw).hexdigest()
    if chosen == "locomo":
        conversations = read_dataset(name, raw).conversations
    else:
        conversations = (_read(name, raw, chosen),)
    histories = tuple(_history(c, n, seed) for n, c in enumerate(conversations))
    return Given(Scenario(name, histories), name, digest)


def _format(source: Source) -> formats.Format:
    try:
        return formats.choose_format("auto", source)
    except UsageError as error:
        raise UsageError(
            error.what, "Give LoCoMo, a ChatGPT export, or JSON lines with `role` and `content`."
        ) from error


def _last_us(clock: Clock) -> int:
    """Yesterday at six in the evening, UTC.

    Messages are kept by day: were the hour that of the run, other runs would count otherwise.
    """
    return round(clock.time() // _DAY_S * _DAY_S - _EVENING_S) * MICROSECONDS


def _history(conversation: Conversation, number: int, seed: int) -> History:
    user = f"{USER}-{number}"
    messages = (dataclasses.replace(m, user_id=user) for m in conversation.messages)
    held = Conversation(conversation.name, tuple(messages), conversation.questions)
    return History(user, probed(held, seed))


def _read(name: str, raw: bytes, chosen: formats.Format) -> Conversation:
    stream = io.BufferedReader(io.BytesIO(raw))
    drafts = formats.read(Source(name, stream, len(raw), ""), chosen)
    maker = MessageMaker(Defaults(USER))
    made = (draft if isinstance(draft, Bad) else maker.make(draft) for draft in drafts)
    good = (message for message in made if isinstance(message, Message))
    messages = tuple(itertools.islice(good, MOST_MESSAGES + 1))
    spoken = sum(len(m.content.split()) >= 6 for m in messages)
    if not spoken or len(messages) > MOST_MESSAGES:
        raise UsageError(
            f"'{name}' holds {len(messages):,} usable messages, {spoken:,} of some length.",
            f"Give one with some sentences, and {MOST_MESSAGES:,} messages at most.",
        )
    unique = {m.message_id: m for m in messages}
    return Conversation(name, tuple(unique.values()), ())


def _made(size: int, seed: int, last_us: int) -> Scenario:
    user = f"{USER}-{size}"
    conversation = made_conversation(size, seed, user_id=user, last_us=last_us)
    return Scenario(f"{size:,}", (History(user, conversation),))
