"""Names in Redis: `{project}:kind:v:name` for values, `:t:tag` for tags, `:bus` for messages.

The braces are literal: a cluster keeps all keys of a project in one slot, so that one command can
read a value together with its tags. No name reaches into another's: separators are escaped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

from core.errors import UsageError

# Letters and marks that people use in ids stay readable; `:`, `{`, `}` and `%` are escaped.
_PLAIN = "-_.~@+=,/|#!$&*()"
_needs_nothing = re.compile(rf"[A-Za-z0-9{re.escape(_PLAIN)}]*").fullmatch


def escaped(text: str) -> str:
    """A text without separators, from which no other text makes the same.

    Raises:
        UsageError: it holds half of a surrogate pair.
    """
    if _needs_nothing(text):
        return text
    try:
        return quote(text, safe=_PLAIN)
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The cache key {text!r:.60} holds half of a surrogate pair, which is not text.",
            "Write it in proper Unicode.",
        ) from error


@dataclass(frozen=True)
class Namespace:
    """The keys of one kind of values of one project."""

    project: str
    kind: str

    @cached_property
    def prefix(self) -> str:
        """What all keys of this kind begin with, and no other's."""
        return f"{{{escaped(self.project)}}}:{escaped(self.kind)}:"

    def value(self, name: str) -> str:
        """Where a value is."""
        return f"{self.prefix}v:{escaped(name)}"

    def tag(self, tag: str) -> str:
        """Where a tag's token is."""
        return f"{self.prefix}t:{escaped(tag)}"

    @cached_property
    def everything(self) -> str:
        """Where the token is that every value of this kind depends on."""
        return f"{self.prefix}all"

    @property
    def bus(self) -> str:
        """The channel that tells what was invalidated."""
        return f"{self.prefix}bus"
