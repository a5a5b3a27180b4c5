"""A data set: conversations, questions about them, and the turns that hold the answers."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, Any

from core.benchmark.evaluation.evidence import Evidence, Turns
from core.clock import Random
from core.errors import UsageError
from core.memory.importing import locomo
from core.memory.importing.arrays import objects
from core.memory.importing.drafts import Defaults, MessageMaker
from core.memory.importing.records import Bad
from core.memory.importing.source import open_source
from core.memory.model import Message

FORMATS = ("locomo",)
MAX_BYTES = 256 * 1024 * 1024
CATEGORIES: Mapping[int, str] = {
    1: "multi-hop",
    2: "temporal",
    3: "open-domain",
    4: "single-hop",
    5: "adversarial",
}
UNKNOWN_CATEGORY = "unknown"
_NOBODY = "evaluated"


@dataclass(frozen=True)
class Question:
    """A question, and the positions of the messages that hold what answers it."""

    text: str
    category: str
    evidence: frozenset[int]


@dataclass(frozen=True)
class Conversation:
    """Messages in the order of the file, and the questions that can be asked about them."""

    name: str
    messages: tuple[Message, ...]
    questions: tuple[Question, ...]

    @property
    def speakers(self) -> frozenset[str]:
        """Who speaks."""
        return frozenset(message.speaker for message in self.messages)


@dataclass(frozen=True)
class Tally:
    """What of a file was used: `questions` were read, `without_evidence` of them not asked.

    `repaired` entries of evidence were read otherwise than written, `unusable` ones left out.
    `troubles` tells of each question, turn or sample that could not be used as it stands.
    """

    questions: int = 0
    without_evidence: int = 0
    repaired: int = 0
    unusable: int = 0
    unusable_turns: int = 0
    troubles: tuple[str, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.questions + other.questions,
            self.without_evidence + other.without_evidence,
            self.repaired + other.repaired,
            self.unusable + other.unusable,
            self.unusable_turns + other.unusable_turns,
            self.troubles + other.troubles,
        )


@dataclass(frozen=True)
class Dataset:
    """A data set; `digest` is the SHA-256 of its file, as hex."""

    name: str
    digest: str
    conversations: tuple[Conversation, ...]
    tally: Tally

    @property
    def messages(self) -> int:
        """How many there are."""
        return sum(len(c.messages) for c in self.conversations)

    @property
    def questions(self) -> int:
        """How many can be asked."""
        return sum(len(c.questions) for c in self.conversations)

    def sampled(self, questions: int | None, seed: int) -> Dataset:
        """This data set with so many of its questions, drawn by `seed`; None: all of them.

        Raises:
            UsageError: fewer than one question.
        """
        if questions is None or questions >= self.questions:
            return self
        if questions < 1:
            raise UsageError(f"{questions} questions show nothing.", "Ask 1 or more.")
        all_of_them = [(c, n) for c in self.conversations for n in range(len(c.questions))]
        drawn = Random(seed).sample(range(len(all_of_them)), questions)
        kept = {(all_of_them[n][0].name, all_of_them[n][1]) for n in drawn}
        conversations = tuple(_with_questions(c, kept) for c in self.conversations)
        asked = tuple(c for c in conversations if c.questions)
        return Dataset(self.name, self.digest, asked, self.tally)


def _with_questions(conversation: Conversation, kept: set[tuple[str, int]]) -> Conversation:
    questions = tuple(
        q for n, q in enumerate(conversation.questions) if (conversation.name, n) in kept
    )
    return Conversation(conversation.name, conversation.messages, questions)


def open_dataset(file: str, file_format: str, stdin: IO[bytes]) -> Dataset:
    """Reads a data set; `-` is `stdin`.

    Raises:
        StorageError: the file can't be read.
        UsageError: there is no such format, or nothing in the file that can be evaluated.
    """
    if file_format not in FORMATS:
        raise UsageError(
            f"There is no format of data sets '{file_format}'.", f"Choose {', '.join(FORMATS)}."
        )
    with open_source(file, stdin) as source:
        raw = source.stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise UsageError(
            f"The data set '{file}' takes more than {MAX_BYTES >> 20} MiB.",
            "Split it by its conversations, and evaluate each part.",
        )
    name = "standard input" if file == "-" else PurePath(file).name
    return read_dataset(name, raw)


def read_dataset(name: str, raw: bytes) -> Dataset:
    """The data set in the bytes of a LoCoMo file.

    Raises:
        UsageError: two conversations have one name, or there is no question with evidence.
    """
    messages, tally = _messages(raw)
    conversations: list[Conversation] = []
    for sample, questions in _questions(raw):
        if any(sample == c.name for c in conversations):
            raise UsageError(
                f"The data set '{name}' has two conversations called '{sample:.60}'.",
                "Give each a `sample_id` of its own.",
            )
        found = messages.get(sample, [])
        asked, counted = _usable(sample, questions, found)
        tally += counted
        if asked:
            conversations.append(Conversation(sample, tuple(found), asked))
    if not conversations:
        raise UsageError(
            f"There is no question with evidence in '{name}'{_first(tally)}.",
            "Give a LoCoMo file: a list of samples with `conversation` and `qa`.",
        )
    return Dataset(name, hashlib.sha256(raw).hexdigest(), tuple(conversations), tally)


def _stream(raw: bytes) -> io.BufferedReader:
    # The readers look at a stream's beginning, which bytes alone don't let them.
    return io.BufferedReader(io.BytesIO(raw))


def _first(tally: Tally) -> str:
    return f" ({tally.troubles[0]})" if tally.troubles else ""


def _messages(raw: bytes) -> tuple[dict[str, list[Message]], Tally]:
    # They never expire: when something is evaluated must not change the bytes that are counted.
    maker = MessageMaker(Defaults(_NOBODY))
    found: dict[str, list[Message]] = {}
    troubles: list[str] = []
    for draft in locomo.read_locomo(_stream(raw)):
        made = draft if isinstance(draft, Bad) else maker.make(draft)
        if isinstance(made, Bad):
            troubles.append(f"record {made.number}: {made.reason}")
        elif not isinstance(draft, Bad):
            found.setdefault(str(draft.metadata["sample_id"]), []).append(made)
    return found, Tally(unusable_turns=len(troubles), troubles=tuple(troubles))


def _questions(raw: bytes) -> Iterator[tuple[str, Sequence[Any]]]:
    for place, record in objects(_stream(raw)):
        if isinstance(record, dict):
            questions = record.get("qa")
            name = str(record.get("sample_id") or f"sample-{place}")
            yield name, questions if isinstance(questions, list) else []


def _usable(
    sample: str, written: Sequence[Any], messages: Sequence[Message]
) -> tuple[tuple[Question, ...], Tally]:
    turns = Turns(str(message.metadata["dia_id"]) for message in messages)
    asked: list[Question] = []
    tally = Tally()
    for number, record in enumerate(written, 1):
        question, counted = _question(f"{sample}, question {number}", record, turns)
        tally += counted
        if question is not None:
            asked.append(question)
    return tuple(asked), tally


def _question(where: str, record: object, turns: Turns) -> tuple[Question | None, Tally]:
    text = record.get("question") if isinstance(record, dict) else None
    if not isinstance(record, dict) or not isinstance(text, str) or not text.strip():
        return None, Tally(1, 1, troubles=(f"{where}: it has no text",))
    evidence = turns.evidence(record.get("evidence"))
    tally = _counted(where, evidence)
    if not evidence.turns:
        return None, tally
    return Question(text, _category(record.get("category")), evidence.turns), tally


def _counted(where: str, evidence: Evidence) -> Tally:
    troubles = [f"{where}: {reason}" for reason in evidence.unusable]
    if not evidence.turns and not troubles:
        troubles = [f"{where}: it names no evidence"]
    return Tally(
        questions=1,
        without_evidence=not evidence.turns,
        repaired=evidence.repaired,
        unusable=len(evidence.unusable),
        troubles=tuple(troubles),
    )


def _category(value: object) -> str:
    number = int(value) if isinstance(value, str) and value in {"1", "2", "3", "4", "5"} else value
    if isinstance(number, int) and not isinstance(number, bool):
        return CATEGORIES.get(number, UNKNOWN_CATEGORY)
    return UNKNOWN_CATEGORY
