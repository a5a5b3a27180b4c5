"""Corpora made of messages, as the index makes them of its columns, and LoCoMo as such."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.memory.importing.drafts import Defaults, MessageMaker
from core.memory.importing.formats import choose_format, read
from core.memory.importing.records import Draft
from core.memory.importing.source import open_source
from core.memory.index.block import Voice
from core.memory.index.corpus import Corpus
from core.memory.index.words import hashed, voice_terms
from core.memory.model import Message
from core.memory.terms import date_words, terms

DEPTHS = (5, 10, 25, 50)


def corpus_of(messages: Sequence[Message], alive: Sequence[bool] | None = None) -> Corpus:
    """Messages as rows, in the order given; each session's are in order of time."""
    voices = list(dict.fromkeys(Voice(m.role, m.speaker) for m in messages))
    living = np.array([True] * len(messages) if alive is None else alive, np.bool_)
    lengths, postings = _postings(messages)
    previous, following = _beside(messages, living)
    return Corpus(
        lengths=lengths,
        times=np.array([m.timestamp_us for m in messages], np.int64),
        voice_of=np.array([voices.index(Voice(m.role, m.speaker)) for m in messages], np.int32),
        voice_terms=voice_terms(voices),
        previous=previous,
        following=following,
        alive=living,
        worded=np.ones(len(messages), np.bool_),
        postings=postings,
    )


_Found = tuple[npt.NDArray[np.integer], npt.NDArray[np.number]]


def _postings(
    messages: Sequence[Message],
) -> tuple[npt.NDArray[np.float32], Callable[[int], _Found]]:
    found: dict[int, list[tuple[int, int]]] = {}
    lengths = np.zeros(len(messages), np.float32)
    for row, message in enumerate(messages):
        # A date's words stand apart from the text's, as in the index: "May" may come twice.
        for text in (message.content, date_words(message.timestamp_us)):
            for term, count in Counter(map(hashed, terms(text))).items():
                found.setdefault(term, []).append((row, count))
                lengths[row] += count

    def postings(term: int) -> _Found:
        columns = np.array(found.get(term, []), np.int64).reshape(-1, 2)
        return columns[:, 0].astype(np.uint32), columns[:, 1].astype(np.uint8)

    return lengths, postings


def _beside(
    messages: Sequence[Message], alive: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    previous, following = np.full((2, len(messages)), -1, np.int32)
    last: dict[str, int] = {}
    for row in np.flatnonzero(alive).tolist():
        before = last.get(messages[row].session_id, -1)
        if before >= 0:
            previous[row], following[before] = before, row
        last[messages[row].session_id] = row
    return previous, following


@dataclass(frozen=True)
class Question:
    """A question, and the rows that hold its evidence."""

    text: str
    evidence: frozenset[int]


@dataclass(frozen=True, eq=False)
class Conversation:
    """One of LoCoMo's."""

    name: str
    messages: tuple[Message, ...]
    questions: tuple[Question, ...]

    @property
    def names(self) -> frozenset[str]:
        """Who speaks."""
        return frozenset(m.speaker for m in self.messages)

    def recall(self, search: Callable[[int, str], Iterable[int]]) -> dict[int, float]:
        """The mean part of the evidence, in percent, among the first rows that a search finds.

        `search` takes a question's number and text.
        """
        found: dict[int, list[float]] = {depth: [] for depth in DEPTHS}
        for number, question in enumerate(self.questions):
            rows = list(search(number, question.text))
            for depth, values in found.items():
                hits = question.evidence.intersection(rows[:depth])
                values.append(100 * len(hits) / len(question.evidence))
        return {depth: float(np.mean(values)) for depth, values in found.items()}


def conversations(path: Path) -> list[Conversation]:
    """LoCoMo's conversations, with those questions whose evidence is there."""
    messages: dict[str, list[Message]] = {}
    maker = MessageMaker(Defaults("u"))
    with path.open("rb") as stdin, open_source("-", stdin) as source:
        for draft in read(source, choose_format("auto", source)):
            assert isinstance(draft, Draft)
            message = maker.make(draft)
            assert isinstance(message, Message)
            messages.setdefault(str(draft.metadata["sample_id"]), []).append(message)
    return [
        Conversation(name, tuple(messages[name]), _questions(sample["qa"], messages[name]))
        for sample in json.loads(path.read_bytes())
        for name in [sample["sample_id"]]
    ]


def _questions(
    asked: Iterable[dict[str, object]], messages: Sequence[Message]
) -> tuple[Question, ...]:
    row_of = {str(m.metadata["dia_id"]): row for row, m in enumerate(messages)}
    found = []
    for one in asked:
        evidence = one["evidence"]
        assert isinstance(evidence, list)
        rows = frozenset(row_of[str(e)] for e in evidence if str(e) in row_of)
        if rows:
            found.append(Question(str(one["question"]), rows))
    return tuple(found)


def mean_over_questions(
    parts: Sequence[tuple[Conversation, dict[int, float]]],
) -> dict[int, float]:
    """Recalls of conversations, each weighed by its questions."""
    weights = [len(conversation.questions) for conversation, _ in parts]
    return {
        depth: float(np.average([recall[depth] for _, recall in parts], weights=weights))
        for depth in DEPTHS
    }
