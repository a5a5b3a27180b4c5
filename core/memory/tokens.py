"""How many tokens a text takes, estimated without a tokenizer's vocabulary.

Weights per character, by script, set so that the estimate is rarely below what current
byte-pair tokenizers count for ordinary text. The weights only add up, so the estimate of a whole
is never more than the sum of its parts' estimates.
"""

from __future__ import annotations

import re
from functools import lru_cache

_WORD_CHAR = 27
"""Hundredths of a token. Latin letters: about four to a token in running English; a little less in other languages."""
_RULES: tuple[tuple[re.Pattern[str], int], ...] = (
    (re.compile(r"[a-z ]"), _WORD_CHAR),
    (re.compile(r"[A-Z]"), 45),  # rare in prose; many in codes and base64, which take more
    (re.compile(r"[0-9]"), 50),
    (re.compile(r"[\n\t\r]"), 50),
    (re.compile(r"[!-/:-@\[-`{-~]"), 60),
    (re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"), 100),
    (re.compile(r"[\u00a0-\u024f]"), 60),  # Latin with accents
    (re.compile(r"[\u0370-\u05ff]"), 70),  # Greek, Cyrillic, Armenian, Hebrew
    (re.compile(r"[\u0600-\u1fff]"), 90),  # Arabic, Indic scripts, Thai and their neighbours
    (re.compile(r"[\u2000-\u2bff]"), 120),  # punctuation and symbols
    (re.compile(r"[\u3000-\u9fff\uac00-\ud7a3\uff00-\uffef]"), 130),  # CJK, kana, Hangul
)
_OTHER = 300
"""Emoji and whatever else takes up to four bytes, a token for most of them."""


def estimate_tokens(text: str) -> int:
    """An estimate of the tokens of `text`, rounded up; 0 for an empty one."""
    return -(-_hundredths(text) // 100)


def token_weight(text: str) -> float:
    """The estimate before rounding."""
    return _hundredths(text) / 100


def _hundredths(text: str) -> int:
    # Whole numbers: sums of fractions would depend on their order.
    plain = len(_PLAIN.findall(text))
    return plain * _WORD_CHAR + sum(map(_weight, _PLAIN.sub("", text)))


_PLAIN = re.compile(r"[a-z ]")


@lru_cache(maxsize=65536)
def _weight(character: str) -> int:
    return next((weight for rule, weight in _RULES if rule.match(character)), _OTHER)
