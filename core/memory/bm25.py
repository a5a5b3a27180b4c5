"""BM25 over the messages of a conversation, with half of each neighbour's score added. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.memory.model import Message
from core.memory.terms import date_words, terms


@dataclass(frozen=True)
class Weights:
    """How much what counts.

    `k1` and `b` are BM25's own (Robertson and Zaragoza, "The Probabilistic Relevance Framework",
    2009). `neighbour` is the part of a score that goes to the turns right before and after;
    `speaker` is what the rarity of a name weighs in the turns of who bears it.
    """

    k1: float = 1.2
    b: float = 0.5
    neighbour: float = 0.5
    speaker: float = 2.0


DEFAULT = Weights()


@dataclass(frozen=True)
class _Counted:
    speaker: frozenset[str]
    hits: Mapping[str, int]
    length: int


def score(query: str, messages: Sequence[Message], weights: Weights = DEFAULT) -> dict[int, float]:
    """Scores above 0, by position in `messages`.

    A name of someone who speaks in these messages matches only what that person says: in the
    text it stands where others address them, which is rarely what is asked for.

    Args:
        query: a question, in words.
        messages: in order of time within a session, sessions in any order.
        weights: how much what counts.
    """
    wanted = Counter(terms(query))
    names = frozenset(t for name in {m.speaker for m in messages} for t in terms(name))
    counted = [_count(message, wanted, names) for message in messages]
    own = _own_scores(wanted, counted, weights)
    return _with_neighbours(own, messages, weights)


def _count(message: Message, wanted: Mapping[str, int], names: frozenset[str]) -> _Counted:
    found: Counter[str] = Counter()
    length = 0
    for term in terms(f"{message.content} {date_words(message.timestamp_us)}"):
        length += 1
        if term in wanted and term not in names:
            found[term] += 1
    return _Counted(frozenset(terms(message.speaker)), found, length)


def _own_scores(
    wanted: Mapping[str, int],
    counted: Sequence[_Counted],
    weights: Weights,
) -> dict[int, float]:
    mean = sum(c.length for c in counted) / max(1, len(counted)) or 1.0
    frequency = Counter(term for c in counted for term in c.hits)
    rarity = {
        term: math.log(1 + (len(counted) - n + 0.5) / (n + 0.5)) for term, n in frequency.items()
    }
    spoken = Counter(term for c in counted for term in c.speaker if term in wanted)
    names_rarity = {
        t: math.log(1 + (len(counted) - n + 0.5) / (n + 0.5)) for t, n in spoken.items()
    }
    scores = {}
    for place, one in enumerate(counted):
        damping = weights.k1 * (1 - weights.b + weights.b * one.length / mean)
        value = sum(
            rarity[term] * n * (weights.k1 + 1) / (n + damping) for term, n in one.hits.items()
        )
        if value:
            value += weights.speaker * sum(names_rarity.get(t, 0.0) for t in one.speaker)
            scores[place] = value
    return scores


def _with_neighbours(
    own: Mapping[int, float], messages: Sequence[Message], weights: Weights
) -> dict[int, float]:
    total = dict(own)
    for place, value in own.items():
        for beside in (place - 1, place + 1):
            if 0 <= beside < len(messages) and _together(messages[place], messages[beside]):
                total[beside] = total.get(beside, 0.0) + weights.neighbour * value
    return total


def _together(one: Message, other: Message) -> bool:
    return one.session_id == other.session_id
