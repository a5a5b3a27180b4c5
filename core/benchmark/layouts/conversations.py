"""Conversations to measure with: made from a seed, or taken from a file.

Made ones resemble what people write to assistants: lengths spread like a log-normal (a median of
18 words from a person, 45 from an assistant), words as often as Zipf has them, sessions with
subjects of their own, small answers that come again and again ("Thanks!"), and facts that are
said once and asked for later, so that what is found can be told from what is not.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.benchmark.evaluation.dataset import Conversation, Question
from core.clock import Random
from core.memory.keys import MICROSECONDS
from core.memory.model import Message

USER = "benchmark"
_SYLLABLES = "ba be bo da de du fa fi ga go ka ke la le li lo ma me mi na no pa pe ra re sa so ta"
_VOCABULARY = 6000
_SUBJECT_WORDS = 40
_SESSION_MESSAGES = (6, 60)
_USER_WORDS, _ASSISTANT_WORDS, _SPREAD = 18, 45, 0.6
_MOST_WORDS = 400
_SMALL = ("Thanks!", "Okay.", "Go on, please.", "Yes, that is right.", "Can you say more?")
_SMALL_SHARE = 0.12
_FACT_EVERY = 12
_THINGS = (
    *("boat", "dog", "sister", "dentist", "garden", "guitar", "neighbour", "recipe", "teacher"),
    *("bicycle", "project", "café", "train", "village", "tent", "horse", "novel", "choir"),
)
_FACTS = (
    "By the way, the {thing} of {owner} is called {name}.",
    "I never told you that {owner} has a {thing} by the name of {name}.",
    "{owner}'s {thing} is {name}, in case it comes up.",
)
_QUESTIONS = (
    "What is the {thing} of {owner} called?",
    "Do you remember the name of {owner}'s {thing}?",
)
_MINUTE_US = 60 * MICROSECONDS
_OVERNIGHT_US = 14 * 60 * _MINUTE_US


@dataclass(frozen=True)
class _Fact:
    owner: str
    thing: str
    name: str

    def said(self, form: str) -> str:
        return form.format(thing=self.thing, owner=self.owner, name=self.name)


def made_conversation(
    messages: int, seed: int, *, user_id: str = USER, last_us: int
) -> Conversation:
    """A history of so many messages, and questions for the facts in it.

    The same arguments give the same conversation. The last message is of `last_us`.
    """
    rng = Random(f"{seed}/{messages}/{user_id}")
    words = _Words(rng)
    facts: list[tuple[int, _Fact]] = []
    made: list[Message] = []
    when, left, session = 0, 0, -1
    subject: tuple[str, ...] = ()
    for number in range(messages):
        if not left:
            left = rng.randint(*_SESSION_MESSAGES)
            session, subject = session + 1, words.subject()
            when += _OVERNIGHT_US
        left -= 1
        when += rng.randint(10 * MICROSECONDS, 3 * _MINUTE_US)
        if number % _FACT_EVERY == 0:
            fact = _Fact(words.name(), rng.choice(_THINGS), words.name())
            facts.append((number, fact))
            text = f"{words.aside(subject)} {fact.said(rng.choice(_FACTS))}"
        else:
            text = words.message(assistant=bool(number % 2), subject=subject)
        role = "assistant" if number % 2 else "user"
        made.append(Message(user_id, f"session-{session:05d}", f"m{number:06d}", when, role, text))
    shift = last_us - when
    questions = (
        Question(fact.said(rng.choice(_QUESTIONS)), "fact", frozenset((number,)))
        for number, fact in facts
    )
    return Conversation(str(messages), _shifted(made, shift), tuple(questions))


def probed(conversation: Conversation, seed: int, most: int = 50) -> Conversation:
    """The conversation with questions made of its own messages, for one that brings none.

    A question is half of a message's words; that message is what it is to find.
    """
    if conversation.questions:
        return conversation
    rng = Random(seed)
    long_ones = [n for n, m in enumerate(conversation.messages) if len(m.content.split()) >= 6]
    drawn = rng.sample(long_ones, min(most, len(long_ones)))
    questions = tuple(
        Question(_half(conversation.messages[n].content, rng), "own words", frozenset((n,)))
        for n in drawn
    )
    return Conversation(conversation.name, conversation.messages, questions)


def _half(text: str, rng: Random) -> str:
    words = text.split()[:60]
    kept = sorted(rng.sample(range(len(words)), max(3, len(words) // 2)))
    return " ".join(words[n] for n in kept)


def _shifted(messages: Sequence[Message], by_us: int) -> tuple[Message, ...]:
    return tuple(
        Message(m.user_id, m.session_id, m.message_id, m.timestamp_us + by_us, m.role, m.content)
        for m in messages
    )


class _Words:
    """Texts out of a vocabulary of its own."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        syllables = _SYLLABLES.split()
        parts = (rng.choices(syllables, k=rng.randint(1, 4)) for _ in range(_VOCABULARY))
        self._words = ["".join(some) for some in parts]
        # Zipf's law: the n-th word is as frequent as 1/n.
        self._weights = list(itertools.accumulate(1 / (n + 1) for n in range(_VOCABULARY)))
        self._names = self._all_names(syllables)

    def subject(self) -> tuple[str, ...]:
        """Words that a session comes back to."""
        return tuple(self._rng.sample(self._words[100:], _SUBJECT_WORDS))

    def name(self) -> str:
        """A name that nobody else has."""
        return next(self._names)

    def message(self, *, assistant: bool, subject: Sequence[str]) -> str:
        """What is said; now and then something small."""
        rng = self._rng
        if not assistant and rng.random() < _SMALL_SHARE:
            return rng.choice(_SMALL)
        mean = _ASSISTANT_WORDS if assistant else _USER_WORDS
        length = min(_MOST_WORDS, max(3, round(mean * rng.lognormvariate(0, _SPREAD))))
        return self._sentence(length, subject) + ("." if rng.random() < 0.8 else "?")

    def aside(self, subject: Sequence[str]) -> str:
        """A few words before something that is to be remembered."""
        return self._sentence(self._rng.randint(2, 8), subject) + "."

    def _sentence(self, length: int, subject: Sequence[str]) -> str:
        common = self._rng.choices(self._words, cum_weights=self._weights, k=length)
        spoken = (self._rng.choice(subject) if self._rng.random() < 0.25 else w for w in common)
        return " ".join(spoken).capitalize()

    def _all_names(self, syllables: Sequence[str]) -> Iterator[str]:
        used: set[str] = set()
        while True:
            name = "".join(self._rng.choices(syllables, k=4)).capitalize()
            if name not in used:
                used.add(name)
                yield name
