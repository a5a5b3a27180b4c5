"""Texts as search terms: words without those that say nothing, cut down to their stems. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
# Scripts without spaces: each pair of characters is a term.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]+")
_LISTED = """
    a about after again all also am an and any are aren't as at be because been before being
    but by can can't could did didn't do does doesn't doing don't down during each few for from
    further had has have having he he's her here hers him his how i i'd i'll i'm i've if in into
    is isn't it it's its just let's me more most my no nor not now of off on once only or other our
    out over own same she she's should so some such than that that's the their them then there
    these they they're this those through to too under until up us very was wasn't we we're were
    what what's when where which while who whom whose why will with won't would you you're your
    yours
"""
STOP_WORDS = frozenset(_LISTED.split())


def terms(text: str) -> Iterator[str]:
    """The terms of a text, in order, repeated as often as they stand there."""
    for match in _WORD.finditer(text):
        term = _term(match.group())
        if term is None:
            continue
        if _UNSPACED.search(term):
            yield from _pairs(term)
        else:
            yield term


def date_words(timestamp_us: int) -> str:
    """A message's date as people ask for it: `8 May 2023`."""
    day = datetime.fromtimestamp(timestamp_us // 1_000_000, UTC)
    return f"{day.day} {day:%B %Y}"


@lru_cache(maxsize=4096)
def _term(word: str) -> str | None:
    plain = unicodedata.normalize("NFKC", word).lower().replace("’", "'")
    if plain in STOP_WORDS:
        return None
    return stem(plain.split("'")[0]) or None


def _pairs(term: str) -> Iterator[str]:
    yield from (term[n : n + 2] for n in range(max(1, len(term) - 1)))


def stem(word: str) -> str:
    """A light English stem: plural, -ing, -ed, -ly and a final e or y are taken off.

    After D. Harman, "How effective is suffixing?" (1991), the S-stemmer, with the commonest
    endings of verbs added.
    """
    word = _singular(word)
    for ending in ("ingly", "edly", "ing", "ed", "ly"):
        base = word[: -len(ending)]
        if word.endswith(ending) and len(base) >= 3 and _VOWEL.search(base):
            word = _undoubled(base)
            break
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word.endswith("y") else word


_VOWEL = re.compile("[aeiouy]")


def _singular(word: str) -> str:
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    return word[:-1]


def _undoubled(base: str) -> str:
    doubled = len(base) > 3 and base[-1] == base[-2] and base[-1] not in "lsz"
    return base[:-1] if doubled else base
